#pragma once
// KV memory is promised to requests that are accepted, and comes from the system when it is first written. Committing it before
// that takes the wait for fresh pages off the steps, and finds out in time when another program has taken what was promised. The
// RoPE table, which steps find no sooner than they need it, is computed first.

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include "kernels/progress.h"
#include "runtime/model/rope_table.h"

namespace herd::actors {

using MemorySpans = std::vector<std::span<std::byte>>;  // of one layer each, alike

struct CommitPorts {
  std::function<std::uint64_t()> left;  // bytes that the system may still give
  std::function<void(std::byte* begin, std::size_t bytes)> commit;
};

struct CommitResult {
  std::uint64_t committed = 0;  // bytes
  std::uint64_t all = 0;
  std::uint64_t left = 0;  // for others, when it ended
  bool stopped = false;    // asked to
  [[nodiscard]] bool short_of_memory() const { return committed < all && !stopped; }
};

// How much is left to others: half a gigabyte, or an eighth where there is little.
[[nodiscard]] std::uint64_t memory_to_keep(std::uint64_t left_at_first);

// A piece of every layer after another, since block ids are taken from the low end. Ends early when only memory_to_keep would be
// left, and when `stop` is requested.
[[nodiscard]] CommitResult commit_all(const MemorySpans& memory, const CommitPorts& ports, const std::stop_token& stop);

// What a person should know when not all of it is there.
[[nodiscard]] std::string commit_warning(const CommitResult& result);

// All of the RoPE table, then that, on a thread of its own with low priority, as nobody waits for it. Where no thread can
// be had, steps find both as they need them. When destroyed it ends after a piece and, beside steps, a
// rest of 50 ms at most; the memory outlives it.
class KvCommit {
 public:
  using Warn = std::function<void(const std::string&)>;  // on that thread
  // `progress` of the rank whose memory it is: while that computes, this takes little.
  KvCommit(MemorySpans memory, std::shared_ptr<const model::RopeTable> rope, std::shared_ptr<const ProgressWord> progress, Warn warn);

 private:
  std::jthread thread_;
};

}  // namespace herd::actors
