#pragma once
// gateway_actor: carries out what a GatewayCore says: submissions go to replicas, deltas and ends to the requests' streams.
// Holds no policy; see cluster/gateway/gateway_core.h. Its streams are called where it runs: on a thread of its own where
// they make frames (StandaloneConfig::gateway_has_own_thread), else on the actors' pool.
//   serving --SubmitRequest, DeltasMade, ViewChanged, …--> serving
//   serving --StopGateway--> ended, every open request told its end

#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "actors/client/request_stream.h"
#include "actors/messages/type_ids.h"
#include "actors/roles/replica_directory.h"
#include "actors/roles/shared_gateway.h"
#include "actors/roles/wake_timer.h"
#include "actors/roles/watched_replicas.h"
#include "cluster/gateway/step_progress.h"
#include "cluster/report/process_report.h"

namespace herd::actors {

class GatewayState {
 public:
  using Self = GatewayHandle::stateful_pointer<GatewayState>;
  explicit GatewayState(Self self) : self_(self) {}
  void start(std::shared_ptr<SharedGateway> shared, std::shared_ptr<ReplicaDirectory> directory,
             const CoordinatorHandle& coordinator);

  // `ask(core, now, effects)`, then does what the core said. A stream's answer asks the core again: what that says is done
  // behind what was said before.
  template <class Ask>
  void decide(Ask ask) {
    const Instant now = shared_->now();
    shared_->decide([&](gateway::GatewayCore& core) { ask(core, now, effects_); });
    carry_out(now);
  }

  void on_submit(const SubmitRequest& order);
  void on_view(const routing::ClusterView& view);
  void on_lost(const routing::ReplicaLoss& loss);
  void on_reported(const ReplicaReported& reported);
  void on_news(routing::ReplicaGeneration from, const kv::BlockNews& news);
  void on_wake_up(const WakeUp& message);
  void on_tick();
  void on_quotas();
  void on_stop();

 private:
  void carry_out(Instant now);
  void carry_out(gateway::StartRequest& order, Instant now);
  void carry_out(gateway::RunOn& order, Instant now);
  void carry_out(gateway::StopOn& order, Instant now);
  void carry_out(gateway::AttemptCut& cut, Instant now);
  void carry_out(gateway::Deliver& order, Instant now);
  void carry_out(gateway::EndRequest& order, Instant now);
  void carry_out(gateway::WakeAt& order, Instant now);
  void on_ended(const caf::actor_addr& source);
  // A report says that the way to a generation of the view is open.
  [[nodiscard]] bool knows(routing::ReplicaGeneration from);
  // Its actor, watched and told of this gateway; null when the address leads nowhere.
  [[nodiscard]] const ReplicaHandle* reach(const routing::Route& route);
  // False: the coordinator need not be told of quotas, now or soon.
  bool tell_quotas(Instant now);
  // What is known of the replicas' prefix caches, to whoever shows it.
  void tell_caches(const ClusterStatus& status, Instant now);
  void publish_soon(Instant now);
  void publish(Instant now);
  void tick_later();

  Self self_;
  std::shared_ptr<SharedGateway> shared_;
  std::shared_ptr<ReplicaDirectory> directory_;
  gateway::GatewayEffects effects_;
  bool carrying_out_ = false;
  std::map<RequestId, std::shared_ptr<RequestStream>> open_;  // requests
  WatchedReplicas replicas_;
  std::map<routing::ReplicaGeneration, replica::ReplicaStats> reports_;  // of replicas that are not lost
  WakeTimer timer_;
  bool tick_under_way_ = false;
  bool unpublished_ = false;
  Instant published_;
  Instant told_caches_;
  std::vector<report::CacheReport> caches_;  // as they were told
  gateway::StepProgress progress_;
};

// `coordinator`: it is told of the gateway, and answers with views; null: somebody else does (actors/remote/view_link.h).
GatewayHandle::behavior_type gateway_actor(GatewayState::Self self, std::shared_ptr<SharedGateway> shared,
                                           std::shared_ptr<ReplicaDirectory> directory, CoordinatorHandle coordinator);

}  // namespace herd::actors
