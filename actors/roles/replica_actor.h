#pragma once
// replica_actor: drives one Scheduler and the ranks that carry out its plans. Holds no policy; see
// runtime/scheduler/scheduler.h and step_collector.h.
//   making  --RankMade (all)-----------> serving (ReplicaServing to the coordinator)
//   making  --rank failed, died--------> ended   (stays to answer AwaitServing, until StopReplica)
//   serving --RunSequence, StepDone----> serving
//   serving --rank failed, died, late--> ended (ReplicaLost to coordinator and gateway)
//   any     --StopReplica--------------> stopping --last StepDone--> ended

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "actors/messages/rank_factory.h"
#include "cluster/replica/step_collector.h"
#include "actors/messages/type_ids.h"
#include "actors/messages/wire_roundtrip.h"
#include "runtime/clock.h"

namespace herd::actors {

struct ReplicaConfig {
  routing::ReplicaGeneration generation;
  scheduler::SchedulerConfig scheduler;
  std::uint32_t ranks = 1;
  RankFactory make_rank;
  std::function<void(ReplicaId, const Status& why)> abort_replica;  // may be empty
  OnStep on_step{};  // may be empty
  std::chrono::milliseconds step_timeout{120'000};
  bool wire_roundtrip = false;
  std::function<Instant()> clock;
  bool own_threads = true;  // of the ranks; off where a test runs every actor on its own thread
  scheduler::SchedulerProbe scheduler_probe = {};  // tests
};

class ReplicaState {
 public:
  using Self = ReplicaHandle::stateful_pointer<ReplicaState>;
  explicit ReplicaState(Self self) : self_(self) {}
  void start(ReplicaConfig config, CoordinatorHandle coordinator, GatewayHandle gateway);

  void on_rank_made(const RankMade& made);
  void on_run(const RunSequence& order);
  void on_stop_sequence(SequenceId sequence);
  void on_step_done(const StepDone& done);
  void on_check_deadline();
  void on_stop();
  void on_kill_rank(std::uint32_t rank);
  caf::typed_response_promise<Status> on_await_serving();
  [[nodiscard]] ReplicaStats stats() const;

 private:
  enum class Phase { kMaking, kServing, kStopping, kEnded };
  void pump();
  void publish(std::vector<step::TokenDelta> deltas);
  void fail_group(const Status& why);
  void end_ranks();
  void answer_waiting(const Status& status);

  Self self_;
  ReplicaConfig config_;
  CoordinatorHandle coordinator_;
  GatewayHandle gateway_;
  WireRoundtrip through_wire_{false};
  Phase phase_ = Phase::kMaking;
  std::optional<scheduler::Scheduler> scheduler_;
  std::optional<replica::StepCollector> collector_;
  std::vector<ShardHandle> ranks_;
  std::uint32_t ranks_made_ = 0;
  bool deadline_armed_ = false;
  std::vector<caf::typed_response_promise<Status>> waiting_for_service_;
  Status start_failure_;  // the replica then stays to say so, until it is stopped
};

ReplicaHandle::behavior_type replica_actor(ReplicaState::Self self, ReplicaConfig config, CoordinatorHandle coordinator,
                                           GatewayHandle gateway);

}  // namespace herd::actors
