#include "tests/sim/sim_coordinator.h"

#include <algorithm>
#include <variant>

#include "tests/sim/sim_gateway.h"
#include "tests/sim/sim_replica.h"

namespace herd::sim {

void SimCoordinator::start() {
  ++lives_;
  core_ = std::make_unique<membership::CoordinatorCore>(Epoch(lives_));
  joined_.clear();
  network_.shake();
  membership::CoordinatorEffects effects;
  for (SimReplica* replica : parts_.replicas) replica->on_coordinator_back(*core_, effects);
  carry_out(effects);
  for (std::uint32_t gateway = 0; gateway < parts_.gateways.size(); ++gateway) join(gateway);
}

void SimCoordinator::stop() {
  if (!up()) return;
  world_.reach(Reached::kCoordinatorRestarts);
  core_.reset();
  network_.shake();
  world_.loop.after(world_.us_up_to(world_.options.restart_us_max), [this] { start(); });
}

void SimCoordinator::be_silent(std::int64_t us) {
  if (!answers()) return;
  world_.reach(Reached::kCoordinatorSilences);
  silent_until_ = {world_.now().ns + us * 1000};
}

routing::ReplicaGeneration SimCoordinator::place(const SimReplica& replica) {
  membership::CoordinatorEffects effects;
  const routing::ReplicaView view = replica.view();
  const auto generation = core_->place({.replica = view.route.generation.replica,
                                        .address = view.route.address,
                                        .numerics = view.route.numerics,
                                        .sequences_max = view.sequences_max},
                                       true, effects);
  carry_out(effects);
  return generation;
}

void SimCoordinator::on_notice(const Network::Notice& notice) {
  membership::CoordinatorEffects effects;
  notice(*core_, effects);
  carry_out(effects);
}

void SimCoordinator::join(std::uint32_t gateway) {
  if (!parts_.gateways[gateway]->alive() || !up()) return;  // whoever comes back later joins then
  if (!answers()) return world_.loop.at(silent_until_, [this, gateway] { join(gateway); });
  joined_.erase(gateway);
  network_.view_to(gateway, joined_[gateway], view());
}

void SimCoordinator::carry_out(const membership::CoordinatorEffects& effects) {
  for (const membership::CoordinatorEffect& effect : effects) {
    for (auto& [gateway, link] : joined_) {
      if (const auto* view = std::get_if<membership::PushView>(&effect)) network_.view_to(gateway, link, view->view);
      if (const auto* loss = std::get_if<membership::PushLoss>(&effect)) network_.loss_to(gateway, link, loss->loss);
    }
  }
}

}  // namespace herd::sim
