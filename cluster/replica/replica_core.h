#pragma once
// ReplicaCore: everything a replica decides beside its scheduler. Pure: no clock, no I/O, no actor library; events in,
// effects out.
//
//   making  --on_rank_joined (all)------> serving (SayServing)
//   making  --rank failed, lost, on_stop> ended
//   serving --on_submission, on_result--> serving
//   serving --rank failed, lost, hangs--> ended   (AbortGroup first of all, then SayLost)
//   serving --rank gave its step up-----> aborted (AbortGroup) --it is known why--> ended (SayLost)
//   serving --on_drain------------------> draining --nothing is left, or its time is over--> stopping
//   serving, draining --on_stop---------> stopping --last result--> ended (SayLost as kStopped)
// Draining it goes on with what it has and takes nothing new; stopping it finishes the steps that are in flight.
// Whatever ends it, SayLost and EndGeneration are the last effects; an ended one has no effects beyond refusals.
//
// A rank gives its step up when another does not come to a collective. Who that is, and whether it died of what it computed,
// may be heard of later: the loss is said when every rank has answered or is gone, or none of them says more.
//
// A sequence whose prompt another replica has in its cache may wait until the KV blocks are here (block_fetches.h); others take blocks
// of this one (block_exports.h). One that drains stays for a moment after its last sequence left, so that what was computed for these
// can follow them.
//
// Sequences of several gateways run side by side: each attempt (gateway, sequence, attempt) gets a sequence id of the
// replica's own, which scheduler and ranks know; deltas go to the gateway that submitted. A newer attempt of a sequence ends
// the one that is open; the open one's repeat, or one older than it, is dropped and counted.

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "cluster/replica/attempt_table.h"
#include "cluster/replica/move_messages.h"
#include "cluster/replica/move_stats.h"
#include "cluster/replica/progress_watch.h"
#include "cluster/replica/replica_moves.h"
#include "cluster/replica/step_collector.h"
#include "cluster/replica/steps_out.h"
#include "cluster/routing/replica_generation.h"
#include "cluster/routing/replica_loss.h"
#include "kernels/progress.h"
#include "runtime/scheduler/scheduler.h"
#include "runtime/scheduler/step_cost.h"
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
struct SayServing {};                       // to the coordinator and whoever watches over its generations
// What a supervisor wants to know of the steps that were under way when a generation was lost.
struct LastSteps {
  double operation_s = 0.0;   // the longest that one of their operations was predicted to take
  double steps_s = 0.0;       // what all of them together were: a device is in them as a whole
  bool no_progress = false;   // it was lost because a rank made none
  bool operator==(const LastSteps&) const = default;
};
struct SayLost {                            // to the same, and to gateways
  routing::ReplicaLoss loss;
  LastSteps last{};
};
struct AbortGroup { Status why; };          // ranks that wait in a collective return
struct EndGeneration {};                    // the last effect of all; its ranks may be in another one later
struct StepFinished {                       // for metrics
  step::StepStats stats;
  double step_s = 0.0;
};
// Call on_timer then; the last one said holds. Not said again for every step: on_timer says when to come back.
struct WakeReplicaAt { Instant at; };
// A KV block that came from another replica (SendToHolder, SendToTaker: replica_moves.h). To its rank alone, before any plan that is
// said later.
struct GiveBlock {
  SharedBlockBytes bytes;
};

using ReplicaEffect = std::variant<ExecuteOnRanks, SendDeltas, SayServing, SayLost, AbortGroup, EndGeneration, StepFinished,
                                   WakeReplicaAt, SendToHolder, SendToTaker, GiveBlock>;
using ReplicaEffects = std::vector<ReplicaEffect>;

struct ReplicaCoreConfig {
  routing::ReplicaGeneration generation;
  scheduler::SchedulerConfig scheduler;
  std::uint32_t ranks = 1;         // at least 1
  double step_seconds_max = 120;   // a step that is out for longer fails the group; so does joining it
  WatchConfig watch{};
  // What steps and operations are predicted to take: plans and watch go by it. nullopt: operations take next to nothing, and
  // chunks are bounded by rows alone.
  std::optional<scheduler::StepCost> cost{};
  MoveConfig moves{};  // KV blocks from and to other replicas
};

struct ReplicaStats {
  bool serving = false;
  std::uint64_t steps = 0;          // finished
  std::uint64_t stale_results = 0;  // of another epoch, step or rank, or a repeat, and blocks read in another epoch: dropped
  std::uint64_t stale_submissions = 0;  // of an attempt that was open already, or older than the open one: dropped
  // What its steps are predicted to take as of now, so that gateways route by load; 0: not known.
  double decode_step_s = 0.0;   // a step of the sequences that run
  double prompt_token_s = 0.0;  // a token of a prompt, in a full chunk
  double saved_s = 0.0;  // what the tokens that its prefix cache had would have taken, each at the prediction of its time
  scheduler::SchedulerStats scheduler;
  MoveStats moves;
  bool operator==(const ReplicaStats&) const = default;
};

class ReplicaCore {
 public:
  // Only tests give a probe.
  explicit ReplicaCore(const ReplicaCoreConfig& config, const scheduler::SchedulerProbe& probe = {});

  // Ranks are asked to join the group. Not said: joining takes as long as it takes.
  void on_start(Instant now, ReplicaEffects& effects);
  // From its ranks. A failed status ends the group; `why` of a lost rank names the rank. Of a rank that gave up (kAborted:
  // another did not come) see above; one that failed otherwise died of itself.
  void on_rank_joined(std::uint32_t rank, const Status& status, ReplicaEffects& effects);
  void on_result(step::StepResult result, Instant now, ReplicaEffects& effects);
  // `at_work`: own id of the sequence that it was working on when it died of itself; 0: nobody knows.
  void on_rank_lost(std::uint32_t rank, routing::LossCause cause, const Status& why, ReplicaEffects& effects,
                    SequenceId at_work = {});

  // From gateways. A refusal is a terminal delta (kRefused).
  void on_submission(step::Submission submission, Instant now, ReplicaEffects& effects);
  void on_abort(const step::AttemptKey& attempt, Instant now, ReplicaEffects& effects);
  // That gateway is gone: what it asked for ends, and nobody is told.
  void on_gateway_gone(GatewayId gateway, Instant now, ReplicaEffects& effects);

  // From other replicas: KV blocks that this one takes, or that are taken from it.
  void on_move(const MoveEvent& event, Instant now, ReplicaEffects& effects);
  void on_block_read(Epoch epoch, step::BlockBytes bytes, Instant now, ReplicaEffects& effects);

  // `ranks`: a reading of every rank's progress; empty: nobody can read them, and only step_seconds_max bounds a hang.
  void on_timer(Instant now, std::span<const Progress> ranks, ReplicaEffects& effects);
  // Take nothing new, and stop once no sequence is left, after `drain_s` at the latest; [0, 86400]. A later one replaces the earlier.
  void on_drain(double drain_s, Instant now, ReplicaEffects& effects);
  void on_stop(Instant now, ReplicaEffects& effects);

  [[nodiscard]] bool serving() const;  // it takes sequences
  // It has taken some and takes no more.
  [[nodiscard]] bool draining() const { return phase_ == Phase::kDraining || phase_ == Phase::kStopping; }
  // The open attempt that this id of a plan stands for; nullopt: it is over.
  [[nodiscard]] std::optional<step::AttemptKey> attempt_of(SequenceId own) const { return attempts_.attempt_of(own); }
  [[nodiscard]] bool ended() const;
  [[nodiscard]] ReplicaStats stats() const;
  // What changed in its prefix cache is to be told now: a sequence has ended, and the next prompt may begin with it. Otherwise it is
  // told with the next report.
  [[nodiscard]] bool news_are_due() const { return ended_since_news_ && has_news(); }
  [[nodiscard]] bool has_news() const { return scheduler_.blocks().has_news(); }
  [[nodiscard]] kv::BlockNews take_news();
  // For who comes anew, when there is no news. nullopt: it caches nothing.
  [[nodiscard]] std::optional<kv::BlockNews> all_news() const;
  void check_integrity() const;

 private:
  enum class Phase : std::uint8_t { kMaking, kServing, kDraining, kStopping, kAborted, kEnded };
  using Failure = StepCollector::Failure;

  [[nodiscard]] Status why_refused() const;  // it does not serve
  void pump(Instant now, ReplicaEffects& effects);
  void count_saved();
  // It has ranks that compute, or are about to end with what they have.
  [[nodiscard]] bool at_work() const { return phase_ == Phase::kServing || draining(); }
  void refuse(SequenceId own, Status why, ReplicaEffects& effects);
  // Sequences whose blocks have come, or will not, go on; what is to be said to other replicas is.
  void settle_moves(Instant now, ReplicaEffects& effects);
  [[nodiscard]] double prompt_token_s() const;
  void arm_timer(Instant now, ReplicaEffects& effects);
  // Who hangs, or which step is overdue.
  [[nodiscard]] std::optional<Failure> look(Instant now, std::span<const Progress> ranks);
  void end_attempt(SequenceId own, ReplicaEffects& effects);
  // Each with its gateway, sequence and attempt put back; an attempt that ends is forgotten.
  void publish(std::vector<step::TokenDelta> deltas, ReplicaEffects& effects);
  void on_failure(Failure failure, Instant now, ReplicaEffects& effects);
  void abort_group(const Status& why, ReplicaEffects& effects);
  void fail_group(const Failure& failure, ReplicaEffects& effects);
  // Nobody died of itself as far as is known by now.
  void fail_as_given_up(ReplicaEffects& effects);
  void end(const Failure& failure, ReplicaEffects& effects, SequenceId at_work = {});
  [[nodiscard]] std::vector<std::uint32_t> not_joined() const;
  [[nodiscard]] LastSteps last_steps() const;

  ReplicaCoreConfig config_;
  Phase phase_ = Phase::kMaking;
  scheduler::Scheduler scheduler_;
  StepCollector collector_;
  ProgressWatch watch_;
  AttemptTable attempts_;
  ReplicaMoves moves_;
  StepsOut steps_out_;  // as the collector waits for them
  std::vector<bool> ranks_joined_;
  // kMaking: joining has failed then; kDraining: it stops then; kAborted: what is not known then is not waited for.
  std::optional<Instant> phase_ends_at_;
  Status given_up_because_;               // kAborted
  std::uint64_t stale_submissions_ = 0;
  double saved_s_ = 0.0;
  std::uint64_t hit_tokens_counted_ = 0;  // in saved_s_
  bool ended_since_news_ = false;         // a sequence
  std::optional<Instant> wakes_at_;
};

}  // namespace herd::replica
