#pragma once
// Collective: moves bytes between the ranks of one tensor-parallel group; herd adds, in tree order (rule 7).
// Enqueued on the same stream as operations: errors, deadline and abort surface at the executor's wait.
//
// All ranks of a group call the same operations in the same order. Each rank numbers its own; a group that can compare
// gives itself up when the operations of one number differ, and its status names both sides.

#include <cstddef>
#include <cstdint>
#include <string>

#include "kernels/status.h"

namespace herd {

// What an operation is for: ranks compare it, and messages say it.
enum class CollectiveName : std::uint8_t {
  kEmbedding = 0,
  kAttention,       // partial sums of the attention output
  kMlp,             // partial sums of the MLP
  kLogits,          // whole rows of logits
  kSampling,        // what every rank's slice says of each row that is sampled
  kCandidates,      // more of the likeliest tokens, for rows whose filters need them
  kPromptLogprobs,
  kTest,
  kCount
};

// "attention", "sampling", …; "?" for a number that is none of them.
[[nodiscard]] const char* collective_name(CollectiveName name);

// One operation as one rank sees it. Plain data: it may lie in memory that processes share.
struct CollectiveOperation {
  enum class Kind : std::uint8_t { kAllGather = 0, kExchange, kSend, kReceive };
  std::uint64_t number = 0;  // of this rank's operations in this group, from 1; of a send, among those of its pair
  std::uint64_t bytes = 0;   // that this rank gives (kExchange: to each rank; kReceive: that it takes)
  Kind kind = Kind::kAllGather;
  CollectiveName name = CollectiveName::kTest;
  bool operator==(const CollectiveOperation&) const = default;
};

// "all_gather 17 (mlp, 4096 bytes)".
[[nodiscard]] std::string describe(const CollectiveOperation& operation);

class Collective {
 public:
  virtual ~Collective() = default;
  [[nodiscard]] virtual int rank() const = 0;
  [[nodiscard]] virtual int size() const = 0;

  // Every rank gives `bytes` at `send`; `receive` gets size() * bytes in rank order. `send` may be this rank's place in
  // `receive`, which spares a copy; it overlaps nothing else of it.
  virtual void all_gather(CollectiveName name, const void* send, void* receive, std::size_t bytes) = 0;

  // Every rank gives size() slices of `slice_bytes` at `send`, slice i for rank i; `receive` gets the slices that are for
  // this rank, in rank order. They do not overlap. What a group cannot do gives it up, here and in both below.
  virtual void exchange(CollectiveName name, const void* send, void* receive, std::size_t slice_bytes);

  // From one rank to another, which calls receive() with the same name and number of bytes; those of one pair come in
  // order. send() may return before the other rank has the bytes; they are free again then.
  virtual void send(CollectiveName name, int to, const void* data, std::size_t bytes);
  virtual void receive(CollectiveName name, int from, void* data, std::size_t bytes);

  // Makes waiting ranks return; every later call does nothing. The first reason stays. Any thread.
  virtual void abort(const char* reason) = 0;
  // Ok, or why the group is broken (kAborted: abort, deadline, ranks in different operations). Any thread.
  [[nodiscard]] virtual Status status() const = 0;
};

}  // namespace herd
