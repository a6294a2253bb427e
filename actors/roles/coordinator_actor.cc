#include "actors/roles/coordinator_actor.h"

#include <string>
#include <utility>
#include <variant>

namespace herd::actors {

void CoordinatorState::start(membership::CoordinatorCore core) {
  core_.emplace(std::move(core));
  end_process_on_exception(self_);
  actors::on_down(self_, [this](const caf::actor_addr& source, bool) { on_down(source); });
}

void CoordinatorState::on_gateway_joined(const GatewayJoined& joined) {
  gateways_.insert_or_assign(joined.id, joined.gateway);
  watch(self_, joined.gateway);
  self_->send(joined.gateway, ViewChanged{core_->view()});
}

void CoordinatorState::on_place(const PlaceReplica& order) {
  membership::CoordinatorEffects effects;
  (void)core_->place({.replica = order.replica,
                      .address = order.address,
                      .numerics = order.numerics,
                      .sequences_max = order.sequences_max,
                      .max_model_len = 0},
                     true, effects);
  carry_out(effects);
  self_->send(order.supervisor, ReplicaPlaced{*core_->find(order.replica)});
}

void CoordinatorState::on_given_up(ReplicaId replica) {
  membership::CoordinatorEffects effects;
  core_->on_given_up(replica, effects);
  carry_out(effects);
}

void CoordinatorState::on_serving(const ReplicaServing& serving) {
  replicas_.insert_or_assign(serving.view.route.generation, serving.replica);
  watch(self_, serving.replica);
  membership::CoordinatorEffects effects;
  core_->on_serving(serving.view, effects);
  carry_out(effects);
}

void CoordinatorState::on_lost(const routing::ReplicaLoss& loss) {
  replicas_.erase(loss.replica);
  membership::CoordinatorEffects effects;
  core_->on_lost(loss, effects);
  carry_out(effects);
}

void CoordinatorState::on_down(const caf::actor_addr& source) {
  std::erase_if(gateways_, [&](const auto& known) { return is_same(known.second, source); });
  if (const auto lost = replica_that_died(replicas_, source)) on_lost(*lost);
}

void CoordinatorState::carry_out(const membership::CoordinatorEffects& effects) {
  for (const membership::CoordinatorEffect& effect : effects) {
    for (const auto& [id, gateway] : gateways_) {
      if (const auto* view = std::get_if<membership::PushView>(&effect)) self_->send(gateway, ViewChanged{view->view});
      if (const auto* loss = std::get_if<membership::PushLoss>(&effect)) self_->send(gateway, ReplicaLost{loss->loss});
    }
  }
}

CoordinatorHandle::behavior_type coordinator_actor(CoordinatorState::Self self, membership::CoordinatorCore core) {
  CoordinatorState& state = self->state;
  state.start(std::move(core));
  return {
      [&state](const GatewayJoined& joined) { state.on_gateway_joined(joined); },
      [&state](const PlaceReplica& order) { state.on_place(order); },
      [&state](const ReplicaServing& serving) { state.on_serving(serving); },
      [&state](const ReplicaLost& lost) { state.on_lost(lost.loss); },
      [&state](const ReplicaGivenUp& given_up) { state.on_given_up(given_up.replica); },
  };
}

}  // namespace herd::actors
