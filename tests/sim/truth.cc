#include "tests/sim/truth.h"

#include <algorithm>
#include <utility>

#include "tests/sim/sim_coordinator.h"
#include "tests/sim/sim_gateway.h"
#include "tests/sim/sim_node.h"
#include "tests/sim/sim_replica.h"

namespace herd::sim {

void Truth::connect(const SimCoordinator* coordinator, std::vector<SimGateway*> gateways, std::vector<SimNode*> nodes) {
  coordinator_ = coordinator;
  gateways_ = std::move(gateways);
  nodes_ = std::move(nodes);
}

SimReplica* Truth::serving(ReplicaId replica) const {
  SimReplica* latest = nullptr;
  for (SimNode* node : nodes_) {
    SimReplica* held = node->find(replica);
    if (held == nullptr || !held->serving()) continue;
    if (latest == nullptr || latest->generation() < held->generation()) latest = held;
  }
  return latest;
}

std::optional<Instant> Truth::whole_since(std::uint32_t gateway, ReplicaId replica) const {
  if (!gateways_[gateway]->alive() || gateways_[gateway]->process().sleeps() || !coordinator_->up() || coordinator_->process().sleeps()) return std::nullopt;
  const Machine at = network_.gateway_machine(gateway);
  if (network_.is_cut_between(at, kCoordinatorMachine)) return std::nullopt;
  for (SimNode* node : nodes_) {
    const SimReplica* held = node->find(replica);
    if (held == nullptr || !held->whole() || held != serving(replica)) continue;
    const Machine there = network_.node_machine(node->index());
    if (!node->alive() || node->process().sleeps()) return std::nullopt;
    if (network_.is_cut_between(at, there) || network_.is_cut_between(there, kCoordinatorMachine)) return std::nullopt;
    return Instant{network_.shaken().ns + world_.options.settle_us() * 1000};
  }
  return std::nullopt;
}

bool Truth::has_future(const routing::NumericsId& numerics) const {
  for (std::uint32_t replica = 0; replica < world_.options.replicas; ++replica) {
    const ReplicaId id(replica);
    if (!numerics.empty() && numerics_of(world_.options, id) != numerics) continue;
    if (!given_up_.contains(id) && !(world_.options.given_up && world_.healed)) return true;
  }
  return false;
}

bool Truth::is_homeless(ReplicaId replica) const {
  return given_up_.contains(replica) && std::ranges::all_of(nodes_, [&](const SimNode* node) {
           return node->gave_up().contains(replica) || node->is_full();
         });
}

bool Truth::is_held(ReplicaId replica) const {
  return std::ranges::any_of(nodes_, [&](const SimNode* node) { return node->find(replica) != nullptr; });
}

bool Truth::is_well(routing::ReplicaGeneration generation) const {
  for (SimNode* node : nodes_) {
    const SimReplica* held = node->find(generation.replica);
    if (held == nullptr || held->generation() != generation || !held->whole() || leaves(*node, generation.replica)) continue;
    const Machine there = network_.node_machine(node->index());
    if (network_.is_cut_between(there, kCoordinatorMachine) || node->process().sleeps()) return false;
    const Instant last = std::max(network_.disturbed(there), network_.disturbed(kCoordinatorMachine));
    return last.ns + world_.options.settle_us() * 1000 < world_.now().ns;
  }
  return false;
}

// Or it was to, ever.
bool Truth::leaves(const SimNode& node, ReplicaId replica) const {
  return node.leaving() || drained_.contains(node.name()) || drained_.contains("replica-" + std::to_string(replica.value));
}

bool Truth::had_room_since(ReplicaId replica, Instant since) const {
  if (!coordinator_->up() || coordinator_->process().sleeps()) return false;
  if (coordinator_->started() > since || network_.disturbed(kCoordinatorMachine) > since) return false;
  return std::ranges::any_of(nodes_, [&](SimNode* node) {
    const Machine there = network_.node_machine(node->index());
    return node->alive() && !node->is_full() && !leaves(*node, replica) && !node->gave_up().contains(replica) && network_.disturbed(there) < since &&
           !network_.is_cut_between(there, kCoordinatorMachine) && !node->process().sleeps();
  });
}

void Truth::on_held(ReplicaId replica, std::uint32_t node) {
  // One that slept may be told what is long over.
  const bool is_fresh = network_.disturbed(network_.node_machine(node)).ns + world_.options.settle_us() * 1000 < world_.now().ns;
  for (SimNode* other : nodes_) {
    const SimReplica* held = other->find(replica);
    if (is_fresh && held != nullptr && other->index() != node && is_well(held->generation()))
      world_.violate("replica " + std::to_string(replica.value) + " is placed on another node, though it serves where it is");
  }
  const bool elsewhere = std::ranges::any_of(nodes_, [&](SimNode* other) { return other->index() != node && other->find(replica) != nullptr; });
  if (elsewhere) world_.reach(Reached::kHeirs);
  const auto [last, first] = held_last_by_.try_emplace(replica, node);
  if (!first && std::exchange(last->second, node) != node) world_.reach(Reached::kPlacedElsewhere);
}

}  // namespace herd::sim
