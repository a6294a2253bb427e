#pragma once
// SlowReplicas: which replicas a gateway leaves alone because others are far faster (replica_paces.h). Pure.
//
//   usual ──far slower than another that serves──> slow: what runs there moves, nothing new goes there while others have room
//     ^                                              │ after its rest one sequence is sent there
//     └── no longer slower ── on trial: one sequence at a time <┘ ── still slower ──> slow, for twice as long

#include <cstdint>
#include <map>
#include <span>

#include "cluster/routing/replica_generation.h"
#include "cluster/routing/replica_paces.h"
#include "runtime/clock.h"
#include "runtime/ids.h"

namespace herd::routing {

class SlowReplicas {
 public:
  static constexpr double kRestSeconds = 5.0;  // doubles with each time, up to
  static constexpr double kRestSecondsMax = 60.0;

  // A token of that sequence came from there. True: it is time to judge the replica.
  [[nodiscard]] bool on_token(ReplicaGeneration from, SequenceId sequence, Instant now);
  // Beside others that serve. True: it is slow from here on.
  [[nodiscard]] bool judge(ReplicaGeneration replica, std::span<const ReplicaGeneration> others, Instant now);
  void on_left(SequenceId sequence) { paces_.on_left(sequence); }
  void on_load(ReplicaGeneration replica, const ReplicaLoad& load) { paces_.on_load(replica, load); }
  // A sequence was sent there that it is judged by.
  void on_trial(ReplicaGeneration replica);
  // The others are gone.
  template <class Keep>
  void keep_only(Keep keep) {
    paces_.keep_only(keep);
    std::erase_if(marks_, [&](const auto& entry) { return !keep(entry.first); });
    std::erase_if(times_, [&](const auto& entry) { return !keep(entry.first); });
  }

  [[nodiscard]] bool empty() const { return marks_.empty(); }  // all are as usual
  [[nodiscard]] bool is_marked(ReplicaGeneration replica) const { return marks_.contains(replica); }  // slow, or on trial
  // What runs there is to go on elsewhere.
  [[nodiscard]] bool is_slow(ReplicaGeneration replica) const;
  // While others have room: `running` sequences are there, and no further one is to come.
  [[nodiscard]] bool is_spared(ReplicaGeneration replica, std::uint32_t running, Instant now) const;
  [[nodiscard]] std::uint64_t ejections() const { return ejections_; }

 private:
  struct Mark {
    bool on_trial = false;
    Instant asked_again;      // not before
  };
  ReplicaPaces paces_;
  std::map<ReplicaGeneration, Mark> marks_;           // of those that are not as usual
  std::map<ReplicaGeneration, std::uint32_t> times_;  // that one was found slow
  std::uint64_t ejections_ = 0;
};

}  // namespace herd::routing
