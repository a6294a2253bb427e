#pragma once
// coordinator_actor: knows which replicas serve and answers where an attempt may run. Asked once per attempt, never on
// the token path. Soft state: it could be rebuilt from what replicas say.

#include <map>

#include "actors/type_ids.h"
#include "cluster/routing/router.h"

namespace herd::actors {

class CoordinatorState {
 public:
  using Self = CoordinatorHandle::stateful_pointer<CoordinatorState>;
  explicit CoordinatorState(Self self);
  void on_serving(const ReplicaServing& serving);
  void on_lost(routing::ReplicaGeneration replica);
  [[nodiscard]] Route route(const AskRoute& question);

 private:
  Self self_;
  routing::Router router_;
  std::map<routing::ReplicaGeneration, ReplicaHandle> replicas_;
};

CoordinatorHandle::behavior_type coordinator_actor(CoordinatorState::Self self);

}  // namespace herd::actors
