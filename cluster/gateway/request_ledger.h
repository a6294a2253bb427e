#pragma once
// RequestLedger: the sequences a gateway owes a terminal event. Pure: no clock, no I/O, no CAF.
//
//   accept ──> unrouted ──on_routed──> running ──terminal delta──> closed
//                 ^                       │
//                 └── on_replica_lost ────┘   attempt + 1, tokens = prompt + delivered
//
// A delta is admitted only when its attempt is the current one and its token is the next one; late and
// duplicate ones are dropped and counted. Each accepted sequence ends in exactly one terminal delta:
// every method that can end one returns it, and the entry is gone afterwards.

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <vector>

#include "cluster/routing/replica_generation.h"
#include "kernels/status.h"
#include "runtime/ids.h"
#include "runtime/step/submission.h"

namespace herd::gateway {

struct RequestLedgerConfig {
  std::size_t open_sequences_max = 4096;  // more are refused with kOverloaded
  std::uint32_t attempts_max = 3;         // replicas that may fail one sequence before it fails; at least 1
  [[nodiscard]] Status validate() const;
};

struct RequestLedgerStats {
  std::uint64_t accepted = 0;  // = open + finished + aborted + failed
  std::uint64_t refused = 0;   // never accepted: ledger full, id in use
  std::uint64_t finished = 0;  // terminal events: stop, length
  std::uint64_t aborted = 0;
  std::uint64_t failed = 0;    // also those a replica refused
  std::uint64_t replayed = 0;  // attempts after the first
  std::uint64_t tokens_delivered = 0;
  std::uint64_t stale_deltas = 0;      // of an older attempt or of no open sequence
  std::uint64_t duplicate_deltas = 0;  // of the current attempt, token already delivered
  std::size_t open = 0;
  bool operator==(const RequestLedgerStats&) const = default;
};

class RequestLedger {
 public:
  explicit RequestLedger(const RequestLedgerConfig& config) : config_(config) {}

  // Opens an entry; from here one terminal event is owed. kOverloaded when full, kBadInput when the id is open.
  Status accept(step::Submission submission);

  // Open, and no replica has it: ask for a route that leaves failed_generations() out.
  [[nodiscard]] bool needs_route(SequenceId sequence) const;
  [[nodiscard]] std::vector<routing::ReplicaGeneration> failed_generations(SequenceId sequence) const;

  // What to send there: prompt + delivered tokens under the current attempt; the entry then belongs to that
  // replica. Nothing when the sequence needs no route any more, or that generation is known to be lost (it is
  // then among the failed ones, and the sequence still needs a route).
  [[nodiscard]] std::optional<step::Submission> on_routed(SequenceId sequence, routing::ReplicaGeneration replica);
  // No replica can take it: its terminal delta, if it still needs a route. It tells what took the last one.
  [[nodiscard]] std::optional<step::TokenDelta> on_unroutable(SequenceId sequence, const Status& why);

  // The delta to pass on, or nothing when it is stale or a duplicate. A token out of order ends the sequence.
  // Cache hits and times are passed on as they come: they are those of the attempt that made the delta.
  [[nodiscard]] std::optional<step::TokenDelta> on_delta(const step::TokenDelta& delta);

  // The client is gone or too slow (`why` not ok). The terminal delta, and who must be told to stop.
  struct Aborted {
    step::TokenDelta terminal;
    std::optional<routing::ReplicaGeneration> running_on;
  };
  [[nodiscard]] std::optional<Aborted> on_abort(SequenceId sequence, const Status& why);

  // Every sequence that generation (or an older one) was running: orphans to route again under attempt + 1, or terminal
  // deltas when their attempts are spent. Rising ids. A repeat yields nothing.
  struct Orphans {
    std::vector<SequenceId> to_route;
    std::vector<step::TokenDelta> terminal;
  };
  [[nodiscard]] Orphans on_replica_lost(routing::ReplicaGeneration replica, const Status& why);

  [[nodiscard]] std::vector<SequenceId> open_sequences() const;  // rising
  [[nodiscard]] RequestLedgerStats stats() const;
  void check_integrity() const;

 private:
  struct Entry {
    step::Submission submission;          // tokens: prompt + delivered; attempt: the current one
    std::optional<routing::ReplicaGeneration> replica;  // where the current attempt runs
    std::vector<routing::ReplicaGeneration> failed;     // at most attempts_max + the replicas there are
    Status lost_because;                       // of the last attempt, not ok when there was one
    std::uint32_t outputs_end = 0;             // outputs of positions below went out
  };
  using Entries = std::map<SequenceId, Entry>;

  [[nodiscard]] bool is_lost(routing::ReplicaGeneration replica) const;
  // Counts the end, forgets the entry.
  step::TokenDelta close(Entries::iterator entry, step::TokenDelta terminal);
  step::TokenDelta close(Entries::iterator entry, step::FinishReason reason, const Status& why);

  RequestLedgerConfig config_;
  RequestLedgerStats stats_;
  Entries open_;
  std::map<ReplicaId, Epoch> lost_;  // the last lost epoch of each replica
};

}  // namespace herd::gateway
