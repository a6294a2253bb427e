#pragma once
// ReplicaPaces: how fast tokens come from each replica, as one gateway sees it, and which replica is far slower than another one:
// its machine swaps, is throttled, or is stopped and continued all the time. Pure.
//
// Measured is the time from one token of a sequence to its next. A replica with much to do is slower as well, so that one counts as
// slow only when it is by the step and also by the token, and in one stretch after the other: a single long pause is something else.

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <unordered_map>

#include "cluster/routing/replica_generation.h"
#include "cluster/routing/replica_load.h"
#include "runtime/clock.h"
#include "runtime/ids.h"

namespace herd::routing {

class ReplicaPaces {
 public:
  static constexpr double kFactor = 8.0;           // so many times slower is slow
  static constexpr double kStretchSeconds = 0.5;   // in which tokens were waited for
  static constexpr std::size_t kStretches = 3;     // one after the other

  // A token of that sequence came from there. True: a stretch is over, and whether the replica is slow may be another answer now.
  [[nodiscard]] bool on_token(ReplicaGeneration from, SequenceId sequence, Instant now);
  // It has ended, or its next token comes from somewhere else.
  void on_left(SequenceId sequence) { last_.erase(sequence); }
  // What the replica says of itself.
  void on_load(ReplicaGeneration replica, const ReplicaLoad& load) { replicas_[replica].said = load; }
  // What was measured of it does not count any more.
  void measure_anew(ReplicaGeneration replica) { replicas_[replica].stretches = 0; }
  template <class Keep>
  void keep_only(Keep keep) {
    std::erase_if(replicas_, [&](const auto& entry) { return !keep(entry.first); });
  }

  // It was measured for so long that it may be compared.
  [[nodiscard]] bool is_known(ReplicaGeneration replica) const;
  // Slower than `other` for all that is known. Of one that has sent nothing lately, what it says of itself counts, if what the slow
  // one says of itself agrees.
  [[nodiscard]] bool is_slower(ReplicaGeneration replica, ReplicaGeneration other, Instant now) const;

 private:
  struct Pace {
    double step_s = 0.0;      // from a sequence's token to its next
    double sequences = 1.0;   // that shared a step
    Instant at;
  };
  struct Replica {
    void add(Instant begin, Instant end);
    [[nodiscard]] bool close_stretch(Instant now);
    std::array<Pace, kStretches> paces{};  // the last ones, in a ring
    std::size_t stretches = 0;             // that there were
    double sum_s = 0.0;                    // of the stretch of now: waited for tokens, by all sequences
    double waited_s = 0.0;                 // by any of them
    std::uint32_t tokens = 0;
    Instant waited_until;
    ReplicaLoad said;
  };
  struct Last {
    ReplicaGeneration from;
    Instant at;
  };
  [[nodiscard]] static bool is_slower(const Pace& pace, const Pace& other);
  [[nodiscard]] static std::optional<Pace> said_pace(const Replica& replica);

  std::map<ReplicaGeneration, Replica> replicas_;
  std::unordered_map<SequenceId, Last> last_;  // token of each sequence
};

}  // namespace herd::routing
