#pragma once
// replica_actor: carries out what a ReplicaCore says: plans go to its ranks, deltas to the gateways that joined. Holds no
// policy and no phases; see cluster/replica/replica_core.h. A replica whose ranks could not be made stays, to answer
// AwaitServing, until StopReplica.

#include <functional>
#include <map>
#include <optional>
#include <vector>

#include "actors/messages/rank_factory.h"
#include "actors/messages/type_ids.h"
#include "actors/roles/wake_timer.h"
#include "cluster/replica/replica_core.h"
#include "runtime/clock.h"

namespace herd::actors {

struct ReplicaConfig {
  replica::ReplicaCoreConfig core;
  routing::ReplicaView view;  // as the coordinator is told of it once it serves
  // Makes ranks that wait in the group's collectives return. May be empty.
  std::function<void(const Status& why)> abort_group;
  OnStep on_step{};  // may be empty
  std::function<Instant()> clock;
  scheduler::SchedulerProbe scheduler_probe{};  // tests
};

class ReplicaState {
 public:
  using Self = ReplicaHandle::stateful_pointer<ReplicaState>;
  explicit ReplicaState(Self self) : self_(self) {}
  void start(ReplicaConfig config, std::vector<ShardHandle> ranks, CoordinatorHandle coordinator);

  // Asks the core, says how things stand, and does what the core said, in that order: whoever sees the last token of all
  // finds the numbers up to date.
  template <class Ask>
  void decide(Ask ask) {
    const Instant now = config_.clock();
    ask(*core_, now);
    report(now);
    carry_out(now);
  }
  [[nodiscard]] replica::ReplicaEffects& effects() { return effects_; }

  void on_gateway_joined(const GatewayJoined& joined);
  void on_wake_up(const WakeUp& message);
  void on_tick();
  caf::typed_response_promise<Status> on_await_serving();
  void on_stop();

 private:
  void on_down(const caf::actor_addr& source, bool killed);
  void report(Instant now);
  void carry_out(Instant now);
  void carry_out(replica::ExecuteOnRanks& order, Instant now);
  void carry_out(replica::SendDeltas& order, Instant now);
  void carry_out(replica::SayServing& order, Instant now);
  void carry_out(replica::SayLost& order, Instant now);
  void carry_out(replica::AbortGroup& order, Instant now);
  void carry_out(replica::EndGeneration& order, Instant now);
  void carry_out(replica::StepFinished& order, Instant now);
  void carry_out(replica::WakeReplicaAt& order, Instant now);
  void answer_waiting(const Status& status);

  Self self_;
  ReplicaConfig config_;
  std::optional<replica::ReplicaCore> core_;
  replica::ReplicaEffects effects_;
  std::vector<ShardHandle> ranks_;
  CoordinatorHandle coordinator_;
  std::map<GatewayId, GatewayHandle> gateways_;  // watched
  WakeTimer timer_;
  Instant reported_;
  bool tick_under_way_ = false;
  bool has_served_ = false;
  std::vector<caf::typed_response_promise<Status>> waiting_for_service_;
  Status start_failure_;
};

// `ranks` are there, their executors are not yet made.
ReplicaHandle::behavior_type replica_actor(ReplicaState::Self self, ReplicaConfig config, std::vector<ShardHandle> ranks,
                                           CoordinatorHandle coordinator);

}  // namespace herd::actors
