#pragma once
// ReplicaCore: everything a replica decides beside its scheduler. Pure: no clock, no I/O, no actor library; events in,
// effects out.
//
//   making  --on_rank_made (all)--------> serving (SayServing)
//   making  --rank failed, lost, on_stop> ended   (AbortGroup unless stopped, SayStartFailed)
//   serving --on_submission, on_result--> serving
//   serving --rank failed, lost, late---> ended   (AbortGroup first of all, then SayLost)
//   serving --on_stop-------------------> stopping --last result--> ended (SayLost as kStopped)
// Whatever ends it, EndRanks is the last effect; an ended one has no effects beyond refusals.
//
// Sequences of several gateways run side by side: each attempt (gateway, sequence, attempt) gets a sequence id of the
// replica's own, which scheduler and ranks know; deltas go to the gateway that submitted. A newer attempt of a sequence ends
// the one that is open; the open one's repeat, or one older than it, is dropped and counted.

#include <cstdint>
#include <deque>
#include <map>
#include <string>
#include <variant>
#include <vector>

#include "cluster/replica/attempt_table.h"
#include "cluster/replica/step_collector.h"
#include "cluster/routing/replica_generation.h"
#include "cluster/routing/replica_loss.h"
#include "runtime/scheduler/scheduler.h"
#include "runtime/step/attempt_key.h"
#include "runtime/step/submission.h"

namespace herd::replica {

// To every rank.
struct ExecuteOnRanks {
  step::StepPlan plan;
};
// To one gateway, in the order they were made.
struct SendDeltas {
  GatewayId gateway;
  std::vector<step::TokenDelta> deltas;
};
struct SayServing {};                       // to the coordinator
struct SayStartFailed { Status why; };      // to whoever waits for it to serve
struct SayLost { routing::ReplicaLoss loss; };  // to coordinator and gateways
struct AbortGroup { Status why; };          // ranks that wait in a collective return
struct EndRanks {};                         // the last effect of all
struct StepFinished {                       // for metrics
  step::StepStats stats;
  double step_s = 0.0;
};
// Call on_timer then; the last one said holds. Not said again for every step: on_timer says when to come back.
struct WakeReplicaAt { Instant at; };

using ReplicaEffect = std::variant<ExecuteOnRanks, SendDeltas, SayServing, SayStartFailed, SayLost, AbortGroup, EndRanks,
                                   StepFinished, WakeReplicaAt>;
using ReplicaEffects = std::vector<ReplicaEffect>;

struct ReplicaCoreConfig {
  routing::ReplicaGeneration generation;
  scheduler::SchedulerConfig scheduler;
  std::uint32_t ranks = 1;         // at least 1
  double step_seconds_max = 120;   // a step that is out for longer fails the group
};

struct ReplicaStats {
  bool serving = false;
  std::uint64_t steps = 0;          // finished
  std::uint64_t stale_results = 0;  // of another epoch, step or rank, or a repeat: dropped
  std::uint64_t stale_submissions = 0;  // of an attempt that was open already, or older than the open one: dropped
  scheduler::SchedulerStats scheduler;
};

class ReplicaCore {
 public:
  // Only tests give a probe.
  explicit ReplicaCore(const ReplicaCoreConfig& config, const scheduler::SchedulerProbe& probe = {});

  // From its ranks. A failed status ends the group; `why` of a lost rank names the rank. A step that a rank gave up
  // (kAborted: its collective did not come about in time) counts as kOverdue, one that failed otherwise as kDiedOfItself.
  void on_rank_made(std::uint32_t rank, const Status& status, ReplicaEffects& effects);
  void on_result(step::StepResult result, Instant now, ReplicaEffects& effects);
  void on_rank_lost(std::uint32_t rank, routing::LossCause cause, const Status& why, ReplicaEffects& effects);

  // From gateways. A refusal is a terminal delta (kRefused).
  void on_submission(step::Submission submission, Instant now, ReplicaEffects& effects);
  void on_abort(const step::AttemptKey& attempt, Instant now, ReplicaEffects& effects);
  // That gateway is gone: what it asked for ends, and nobody is told.
  void on_gateway_gone(GatewayId gateway, Instant now, ReplicaEffects& effects);

  void on_timer(Instant now, ReplicaEffects& effects);
  void on_stop(Instant now, ReplicaEffects& effects);

  [[nodiscard]] bool serving() const;
  [[nodiscard]] bool ended() const;
  [[nodiscard]] ReplicaStats stats() const;
  void check_integrity() const;

 private:
  enum class Phase : std::uint8_t { kMaking, kServing, kStopping, kEnded };
  struct StepOut {
    StepId step;
    std::vector<routing::AttemptInStep> attempts;
  };

  void pump(Instant now, ReplicaEffects& effects);
  void send_plan(step::StepPlan plan, Instant now, ReplicaEffects& effects);
  void arm_deadline(ReplicaEffects& effects);
  void end_attempt(SequenceId own, ReplicaEffects& effects);
  // Each with its gateway, sequence and attempt put back; an attempt that ends is forgotten.
  void publish(std::vector<step::TokenDelta> deltas, ReplicaEffects& effects);
  void fail_group(routing::LossCause cause, const Status& why, ReplicaEffects& effects);
  void end(ReplicaEffects& effects);
  [[nodiscard]] std::vector<routing::AttemptInStep> attempts_in_step() const;
  [[nodiscard]] Status named(const Status& why) const;

  ReplicaCoreConfig config_;
  Phase phase_ = Phase::kMaking;
  scheduler::Scheduler scheduler_;
  StepCollector collector_;
  AttemptTable attempts_;
  std::map<SequenceId, std::uint32_t> emitted_at_start_;  // tokens, of the own ids that ranks know
  std::vector<bool> ranks_made_;
  std::deque<StepOut> steps_out_;  // as the collector waits for them
  std::uint64_t stale_submissions_ = 0;
  bool deadline_armed_ = false;
};

}  // namespace herd::replica
