#pragma once
// coordinator_actor: knows which replicas serve and answers where an attempt may run. Asked once per attempt, never on
// the token path. Soft state: it could be rebuilt from what replicas say.

#include <map>

#include "actors/messages/type_ids.h"
#include "cluster/routing/router.h"

namespace herd::actors {

class CoordinatorState {
 public:
  using Self = CoordinatorHandle::stateful_pointer<CoordinatorState>;
  explicit CoordinatorState(Self self) : self_(self) {}
  void start(routing::Router router);
  void on_serving(const ReplicaServing& serving);
  void on_lost(routing::ReplicaGeneration replica);
  [[nodiscard]] Route route(const AskRoute& question);

 private:
  Self self_;
  routing::Router router_;
  std::map<routing::ReplicaGeneration, ReplicaHandle> replicas_;
};

// `router` is what is known at the start, usually nothing. (Not without an argument: spawn of a function that takes
// none but its actor binds a reference to null in CAF 0.17.6, says UBSan.)
CoordinatorHandle::behavior_type coordinator_actor(CoordinatorState::Self self, routing::Router router);

}  // namespace herd::actors
