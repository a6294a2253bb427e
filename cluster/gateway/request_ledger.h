#pragma once
// RequestLedger: the sequences a gateway owes an end. Pure: no clock, no I/O.
//
//   accept ──> unrouted ──on_routed──> running ──terminal delta, close──> gone
//                 ^                       │
//                 └── lost, link lost, ───┘   attempt + 1, tokens = prompt + delivered
//                     refused as full; could not be sent: the same attempt again
//
// A delta is admitted only when it comes from the replica of the current attempt and its token is the next one; late and
// duplicate ones are dropped and counted. Any number of losses and moves is survived. Two deaths are not, when each was the
// rank's own while it computed this sequence: after the first the sequence is a suspect, its next attempt runs alone past the
// step that was fatal (Submission::alone_until), and the second condemns it. Past that step the suspicion is over.
//
// Where a rank has left word which sequence it was working on (ReplicaLoss::at_work), only that one is a suspect. Its second death is
// believed wherever it ran; and when two ranks died of the same one at once, these were two deaths.
//
// A death is often seen as a cut link first, and its cause is told later: an entry remembers the attempt that left so, and
// the notice makes it a suspect then, wherever it is.

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <vector>

#include "cluster/routing/cluster_view.h"
#include "cluster/routing/replica_loss.h"
#include "kernels/status.h"
#include "runtime/ids.h"
#include "runtime/step/submission.h"

namespace herd::gateway {

struct RequestLedgerStats {
  std::uint64_t accepted = 0;  // = open + finished + aborted + failed
  std::uint64_t refused = 0;   // never accepted: ledger full
  std::uint64_t finished = 0;  // stop, length, stop string
  std::uint64_t aborted = 0;   // their request ended for another reason
  std::uint64_t failed = 0;    // also those a replica refused for what they are
  // Why attempts were cut short.
  std::uint64_t moves = 0;            // drained, refused as full, link cut
  std::uint64_t losses = 0;           // replica lost, and this sequence not under suspicion
  std::uint64_t suspected_kills = 0;  // rank died of itself in a step with this sequence; perhaps told after a move
  std::uint64_t condemned = 0;        // second ones of these
  std::uint64_t replayed = 0;         // attempts after the first
  std::uint64_t tokens_delivered = 0;
  std::uint64_t stale_deltas = 0;      // of an older attempt, another gateway, or no open sequence
  std::uint64_t duplicate_deltas = 0;  // of the current attempt, token already delivered
  std::size_t open = 0;
  bool operator==(const RequestLedgerStats&) const = default;
};

class RequestLedger {
 public:
  // An attempt that ended without a notice of its replica's loss, which may still come.
  struct Left {
    step::AttemptKey attempt;
    routing::ReplicaGeneration from;
    std::uint32_t delivered = 0;    // tokens, then
    std::uint32_t alone_until = 0;  // it had been sent with that
  };
  // One sequence that is owed an end.
  struct Entry {
    RequestId request;
    std::uint32_t choice = 0;
    step::Submission submission;  // tokens: prompt + delivered; attempt: the current one
    // Who may run it; empty: any, until the first replica takes it.
    routing::NumericsId numerics;
    std::optional<routing::Route> on;  // where the current attempt runs
    Status first_death;                // not ok: a suspect
    bool was_named = false;            // by the rank that died: it was this one and no other
    Status lost_because;               // of the last attempt that was cut short
    std::optional<Left> left;          // until it is past the step that could have been fatal
    std::uint32_t outputs_end = 0;     // outputs of positions below went out
    std::uint32_t refusals = 0;        // in a row, by replicas without room

    [[nodiscard]] bool suspect() const { return !first_death.ok(); }
    [[nodiscard]] std::uint32_t delivered() const {
      return static_cast<std::uint32_t>(submission.tokens.size()) - submission.prompt_tokens;
    }
  };

  RequestLedger(GatewayId gateway, std::size_t open_sequences_max)
      : gateway_(gateway), open_sequences_max_(open_sequences_max) {}

  // Opens an entry under the next number (from 1 on) and writes gateway, number and attempt into the submission.
  // kOverloaded when full.
  [[nodiscard]] Expected<SequenceId> accept(RequestId request, std::uint32_t choice, step::Submission submission,
                                            const routing::NumericsId& numerics);
  [[nodiscard]] const Entry* find(SequenceId sequence) const;  // null: not open
  // The current attempt of an unrouted sequence runs there now: what to send.
  [[nodiscard]] step::Submission on_routed(SequenceId sequence, const routing::Route& to);

  // It could not be sent there, so nobody has seen that attempt: unrouted again as it was. False: it does not run there.
  [[nodiscard]] bool on_unsent(routing::ReplicaGeneration to, const step::AttemptKey& attempt);

  // What a delta means.
  struct Verdict {
    enum class Kind : std::uint8_t {
      kDropped,   // stale, duplicate, or empty
      kDeliver,   // `delta` goes on
      kFinished,  // the same, and it was the last: the entry is gone
      kMoved,     // the replica is full: unrouted again under the next attempt
      kFailed,    // `why`: the sequence cannot go on; the entry is still open, but runs nowhere unless `runs_on`
    };
    Kind kind = Kind::kDropped;
    RequestId request;
    std::uint32_t choice = 0;
    step::TokenDelta delta{};
    Status why{};
    bool cleared = false;  // the suspicion is over with this delta (kDeliver)
    bool suspect = false;  // it was one before
    bool runs_on = false;
    bool blames_caller = false;  // kFailed: refused as it was asked, and nothing of it had been computed
  };
  [[nodiscard]] Verdict on_delta(routing::ReplicaGeneration from, const step::TokenDelta& delta);

  // Sequences whose attempt was cut short (rising numbers): unrouted again under the next attempt. The condemned stay
  // open, for the caller to close, and are not among `moved`. A repeat yields nothing.
  struct Orphans {
    struct Moved {
      SequenceId sequence;
      bool was_suspect = false;
      routing::Route from;
      step::AttemptKey attempt;  // the one that ended
      bool runs_on = false;      // there: it is to be stopped
    };
    struct Condemned {
      SequenceId sequence;
      std::optional<routing::ReplicaGeneration> from;  // it was lost with; nullopt: it runs or waits elsewhere
      Status why;
    };
    std::vector<Moved> moved;
    std::vector<Condemned> condemned;
  };
  // The notice of a loss; its `why` is not ok. Older generations of that replica went with it, should their own loss be still on the way.
  [[nodiscard]] Orphans on_replica_lost(const routing::ReplicaLoss& loss);
  // Only the link was cut (a move), or a newer view does not have that generation any more (a loss).
  enum class Unreachable : std::uint8_t { kLinkCut, kBuried };
  [[nodiscard]] Orphans on_unreachable(routing::ReplicaGeneration replica, Unreachable how, const Status& why);

  // A sequence that runs goes on elsewhere, as its replica drains or is slow: unrouted under the next attempt. The one that ended there
  // is to be stopped.
  [[nodiscard]] Orphans::Moved move(SequenceId sequence, const Status& why);

  enum class End : std::uint8_t { kFinished, kAborted, kFailed };
  // Forgets an open sequence.
  void close(SequenceId sequence, End how);

  [[nodiscard]] std::vector<routing::ReplicaGeneration> in_use() const;  // something runs there; rising
  [[nodiscard]] RequestLedgerStats stats() const;
  // The count of open sequences on each generation is compared by the caller.
  void check_integrity() const;
  [[nodiscard]] const std::map<SequenceId, Entry>& open() const { return open_; }

 private:
  using Entries = std::map<SequenceId, Entry>;
  // The attempt was cut short: the next one begins, and needs a route.
  void unroute(Entry& entry, const Status& why);
  // Its attempt leaves a replica of which nobody knows yet whether it has just died of it.
  static void remember_left(Entry& entry);
  [[nodiscard]] static Orphans::Moved moved(SequenceId sequence, const Entry& entry);
  // The entry ran on the lost generation, or on an older one.
  void lose(SequenceId sequence, Entry& entry, const routing::ReplicaLoss& loss, Orphans& orphans);
  // It had left that generation when nobody knew yet that it had died.
  void lose_after_all(SequenceId sequence, Entry& entry, const routing::ReplicaLoss& loss, Orphans& orphans);
  [[nodiscard]] static Status condemnation(const Entry& entry, const Status& why);

  [[nodiscard]] Verdict on_terminal(Entries::iterator entry, Verdict verdict);

  GatewayId gateway_;
  std::size_t open_sequences_max_;
  RequestLedgerStats stats_;
  Entries open_;
  std::uint64_t last_sequence_ = 0;
};

}  // namespace herd::gateway
