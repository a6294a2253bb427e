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

#include "kernels/status.h"
#include "runtime/clock.h"
#include "runtime/ids.h"
#include "runtime/scheduler/submission.h"

namespace herd::routing {

struct RequestLedgerConfig {
  std::size_t open_sequences_max = 4096;  // more are refused with kOverloaded
  std::uint32_t attempts_max = 3;         // replicas that may fail one sequence before it fails
  [[nodiscard]] Status validate() const;
};

struct RequestLedgerStats {
  std::uint64_t accepted = 0;
  std::uint64_t refused = 0;          // never accepted: ledger full, id in use, malformed
  std::uint64_t finished = 0;         // terminal events by kind; accepted = open + these
  std::uint64_t aborted = 0;
  std::uint64_t failed = 0;
  std::uint64_t replayed = 0;         // attempts after the first
  std::uint64_t tokens_delivered = 0;
  std::uint64_t stale_deltas = 0;     // of an older attempt or of no open sequence
  std::uint64_t duplicate_deltas = 0; // of the current attempt, token already delivered
  std::size_t open = 0;
  bool operator==(const RequestLedgerStats&) const = default;
};

class RequestLedger {
 public:
  explicit RequestLedger(RequestLedgerConfig config) : config_(config) {}

  // Opens an entry; from here one terminal event is owed. kOverloaded when full, kBadInput when the id is open.
  Status accept(scheduler::Submission submission, Instant now);

  // What to send next for an unrouted sequence: prompt + delivered tokens under the current attempt. The entry
  // then belongs to that replica. Nothing when the sequence has ended meanwhile or is already routed.
  [[nodiscard]] std::optional<scheduler::Submission> on_routed(SequenceId sequence, ReplicaId replica);
  // Replicas that failed the sequence; the next route leaves them out.
  [[nodiscard]] std::vector<ReplicaId> failed_replicas(SequenceId sequence) const;

  // The delta to pass on, or nothing when it is stale or a duplicate.
  [[nodiscard]] std::optional<scheduler::TokenDelta> on_delta(const scheduler::TokenDelta& delta);

  // The client is gone (or out of credit). The terminal delta, and where the attempt runs (for an Abort there).
  struct Aborted {
    scheduler::TokenDelta terminal;
    std::optional<ReplicaId> replica;
    std::uint32_t attempt = 0;
  };
  [[nodiscard]] std::optional<Aborted> on_abort(SequenceId sequence, scheduler::FinishReason reason, Status why);

  // Every sequence the replica was running: orphans to route again under attempt + 1, or, when their attempts are
  // spent, terminal deltas. In order of sequence id.
  struct Orphans {
    std::vector<SequenceId> to_route;
    std::vector<scheduler::TokenDelta> terminal;
  };
  [[nodiscard]] Orphans on_replica_lost(ReplicaId replica, const Status& why, Instant now);

  // No replica can take the sequence: its terminal delta.
  [[nodiscard]] std::optional<scheduler::TokenDelta> on_unroutable(SequenceId sequence, Status why);

  [[nodiscard]] std::vector<SequenceId> open_sequences() const;  // rising
  [[nodiscard]] RequestLedgerStats stats() const;
  void check_integrity() const;

 private:
  struct Entry {
    scheduler::Submission submission;   // tokens: prompt + delivered; attempt: the current one
    std::optional<ReplicaId> replica;   // where the current attempt runs
    std::vector<ReplicaId> failed;      // replicas that failed earlier attempts
    Instant accepted;
  };
  [[nodiscard]] scheduler::TokenDelta close(std::map<SequenceId, Entry>::iterator entry,
                                            scheduler::FinishReason reason, Status why);

  RequestLedgerConfig config_;
  RequestLedgerStats stats_;
  std::map<SequenceId, Entry> open_;
};

}  // namespace herd::routing
