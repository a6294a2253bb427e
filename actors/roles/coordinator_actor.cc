#include "actors/roles/coordinator_actor.h"

#include <algorithm>
#include <utility>

namespace herd::actors {

void CoordinatorState::start(routing::Router router) {
  router_ = std::move(router);
  end_process_on_exception(self_);
  on_down(self_, [this](const caf::actor_addr& source) {
    const auto dead = std::ranges::find_if(replicas_, [&](const auto& known) { return is_same(known.second, source); });
    if (dead != replicas_.end()) on_lost(dead->first);
  });
}

void CoordinatorState::on_serving(const ReplicaServing& serving) {
  replicas_.insert_or_assign(serving.generation, serving.replica);
  watch(self_, serving.replica);
  router_.on_replica_serving(serving.generation);
}

void CoordinatorState::on_lost(routing::ReplicaGeneration replica) {
  router_.on_replica_lost(replica);
  replicas_.erase(replica);
}

Route CoordinatorState::route(const AskRoute& question) {
  const auto picked = router_.pick(question.excluded);
  if (!picked) return {};
  return {ReplicaServing{*picked, replicas_.at(*picked)}};
}

CoordinatorHandle::behavior_type coordinator_actor(CoordinatorState::Self self, routing::Router router) {
  CoordinatorState& state = self->state;
  state.start(std::move(router));
  return {
      [&state](const ReplicaServing& serving) { state.on_serving(serving); },
      [&state](const ReplicaLost& lost) { state.on_lost(lost.replica); },
      [&state](const AskRoute& question) { return state.route(question); },
  };
}

}  // namespace herd::actors
