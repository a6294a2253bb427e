#pragma once
// coordinator_actor: carries out what a CoordinatorCore says: views and losses go to every gateway that joined. Supervisors ask
// it for the generations of their replicas; nobody asks it about a request. Holds no policy; see cluster/membership/coordinator_core.h.

#include <map>
#include <optional>

#include "actors/messages/type_ids.h"
#include "actors/roles/watched_replicas.h"
#include "cluster/membership/coordinator_core.h"

namespace herd::actors {

class CoordinatorState {
 public:
  using Self = CoordinatorHandle::stateful_pointer<CoordinatorState>;
  explicit CoordinatorState(Self self) : self_(self) {}
  void start(membership::CoordinatorCore core);

  void on_gateway_joined(const GatewayJoined& joined);
  void on_place(const PlaceReplica& order);
  void on_serving(const ReplicaServing& serving);
  void on_given_up(ReplicaId replica);
  void on_lost(const routing::ReplicaLoss& loss);

 private:
  void on_down(const caf::actor_addr& source);
  void carry_out(const membership::CoordinatorEffects& effects);

  Self self_;
  std::optional<membership::CoordinatorCore> core_;
  std::map<GatewayId, GatewayHandle> gateways_;  // watched
  WatchedReplicas replicas_;
};

CoordinatorHandle::behavior_type coordinator_actor(CoordinatorState::Self self, membership::CoordinatorCore core);

}  // namespace herd::actors
