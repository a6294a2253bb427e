#include "actors/ranks/kv_commit.h"

#include <algorithm>
#include <chrono>
#include <system_error>
#include <utility>

#include "cluster/placement/replica_sizing.h"
#include "kernels/commit_memory.h"
#include "kernels/device.h"

namespace herd::actors {
namespace {

constexpr std::uint64_t kKeepMost = std::uint64_t{512} << 20;
// A huge page: a stop waits for one piece, which takes a busy machine long enough.
constexpr std::size_t kPieceBytes = std::size_t{2} << 20;
// How much is committed on one look at the memory there is.
constexpr std::uint64_t kLookBytes = std::uint64_t{8} << 20;
// Below everything that serves; not the least, with which a busy machine would keep a stop waiting.
constexpr int kNiceness = 10;
constexpr std::chrono::milliseconds kRestMax{50};

// Does a piece of work; beside a step it then rests so long that it takes a tenth of a core, which streams hardly feel.
template <class Piece>
void beside_steps(const ProgressWord& progress, const Piece& piece) {
  const auto begin = std::chrono::steady_clock::now();
  piece();
  if (progress.read().operation == Operation::kIdle) return;
  const auto took = std::chrono::steady_clock::now() - begin;
  std::this_thread::sleep_for(std::min<std::chrono::nanoseconds>(9 * took, kRestMax));
}

void run(const MemorySpans& memory, const model::RopeTable& rope, const ProgressWord& progress, const KvCommit::Warn& warn,
         const std::stop_token& stop) {
  lower_thread_priority(kNiceness);
  bool more = true;
  while (more && !stop.stop_requested()) beside_steps(progress, [&] { more = rope.fill_more(); });
  const CommitPorts ports{[] { return committable_bytes(); },
                          [&](std::byte* begin, std::size_t bytes) {
                            beside_steps(progress, [&] { commit_memory(begin, bytes); });
                          }};
  const CommitResult result = commit_all(memory, ports, stop);
  if (result.short_of_memory() && warn) warn(commit_warning(result));
}

}  // namespace

std::uint64_t memory_to_keep(std::uint64_t left_at_first) { return std::min(kKeepMost, left_at_first / 8); }

CommitResult commit_all(const MemorySpans& memory, const CommitPorts& ports, const std::stop_token& stop) {
  CommitResult result;
  std::size_t longest = 0;
  for (const auto& layer : memory) {
    result.all += layer.size();
    longest = std::max(longest, layer.size());
  }
  result.left = ports.left();
  const std::uint64_t keep = memory_to_keep(result.left);
  std::uint64_t looked_at = 0;  // how much was committed then
  for (std::size_t begin = 0; begin < longest; begin += kPieceBytes) {
    for (const auto& layer : memory) {
      const auto rest = layer.subspan(std::min(begin, layer.size()));
      const auto piece = rest.first(std::min(kPieceBytes, rest.size()));
      if (result.committed - looked_at + piece.size() > kLookBytes) {
        result.left = ports.left();
        looked_at = result.committed;
      }
      result.stopped = stop.stop_requested();
      if (result.stopped || result.left < keep + kLookBytes) return result;
      ports.commit(piece.data(), piece.size());
      result.committed += piece.size();
    }
  }
  return result;
}

std::string commit_warning(const CommitResult& result) {
  const auto size = [](std::uint64_t bytes) { return placement::gigabytes(static_cast<double>(bytes)); };
  return "warning: KV cache: " + size(result.committed) + " of " + size(result.all) +
         " are in memory, and only " + size(result.left) +
         " are left to this machine or container: another program may have taken what was free at start. Requests that need "
         "more may end this process; lower --kv-cache-memory, free memory or raise its limit";
}

KvCommit::KvCommit(MemorySpans memory, std::shared_ptr<const model::RopeTable> rope, std::shared_ptr<const ProgressWord> progress,
                   Warn warn) {
  try {
    thread_ = std::jthread([memory = std::move(memory), rope = std::move(rope), progress = std::move(progress),
                            warn = std::move(warn)](const std::stop_token& stop) { run(memory, *rope, *progress, warn, stop); });
  } catch (const std::system_error&) {
    return;
  }
}

}  // namespace herd::actors
