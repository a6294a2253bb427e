#include "tests/sim/sim_node.h"

#include <algorithm>
#include <utility>

#include "tests/sim/sim_coordinator.h"
#include "tests/sim/through_wire.h"
#include "tests/sim/truth.h"

namespace herd::sim {

SimNode::SimNode(World& world, Network& network, Truth& truth, SimCoordinator& coordinator, RequestBook& book, std::uint32_t index)
    : world_(world), network_(network), truth_(truth), coordinator_(coordinator), book_(book), index_(index), process_(world) {}

SimReplica* SimNode::find(ReplicaId replica) {
  const auto held = held_.find(replica);
  return held == held_.end() ? nullptr : held->second;
}

SimReplica* SimNode::any_replica() {
  if (held_.empty()) return nullptr;
  return std::next(held_.begin(), static_cast<std::ptrdiff_t>(world_.below(held_.size())))->second;
}

// Lives ---------------------------------------------------------------------------------------------------------------

void SimNode::start() {
  process_.begin();
  network_.shake();
  gave_up_.clear();
  newest_ = {};
  handshake::Hello hello;
  hello.cluster = "sim";
  hello.role = handshake::Role::kNode;
  hello.node = name();
  hello.incarnation = 1 + world_.random() / 2;
  dial_ = std::make_shared<SimDial>(world_, network_, process_, network_.node_machine(index_),
                                    SimDial::Owner{.address = kCoordinatorAddress,
                                                   .hello = hello,
                                                   .on_open = [this](const ConnectionPtr&) { join(); },
                                                   .on_closed = [](const ConnectionPtr&) {}});
  dial_->start();
}

void SimNode::end(bool silently, std::int64_t back_after_us) {
  if (!alive()) return;
  world_.reach(silently ? Reached::kMachinesLost : Reached::kNodesKilled);
  if (World::tells) world_.tell(name() + (silently ? " is gone with its machine" : " is killed"));
  silently ? process_.vanish() : process_.end();
  for (auto& [id, replica] : held_) replica->fall(silently);
  held_.clear();
  network_.shake();
  world_.loop.after(back_after_us, [this] { start(); });
}

// Between two instants of everything else, so that what comes meanwhile is done before what comes afterwards.
void SimNode::sleep(std::int64_t us, bool with_its_machine) {
  if (!alive()) return;
  world_.reach(with_its_machine ? Reached::kPauses : Reached::kNodesAsleep);
  if (World::tells) world_.tell(name() + " sleeps for " + std::to_string(us) + " us" + (with_its_machine ? " with its machine" : ""));
  const Instant until{world_.now().ns / 1000 * 1000 + us * 1000 + 500};
  network_.shake();
  if (with_its_machine) {
    for (auto& [id, replica] : held_) replica->sleep(until);
  }
  process_.sleep(until);
  world_.loop.at(until, [this] { network_.shake(); });
}

void SimNode::lose_devices() {
  has_devices_ = false;
  network_.shake();
  if (!alive()) return;
  const auto held = held_;
  for (const auto& [id, replica] : held) on_given_up(*replica, {StatusCode::kMissing, "its device is gone"});
}

void SimNode::heal() {
  for (auto& [id, replica] : held_) replica->heal();
}

// To the coordinator --------------------------------------------------------------------------------------------------

template <class Tell>
void SimNode::tell(Tell tell) {
  SimConnection* connection = dial_->connection();
  if (connection == nullptr) return;
  connection->send(SimConnection::kDialer, world_.options.message_us_max,
                   [tell, &coordinator = coordinator_, peer = coordinator_.number_of(*connection)] { tell(coordinator, peer); });
}

void SimNode::join() {
  membership::NodeJoin join;
  join.replicas_max = has_devices_ ? world_.options.replicas_per_node : 0;
  join.newest = newest_;
  for (const auto& [id, replica] : held_) {
    join.held.push_back(id);
    if (replica->known_serving()) join.serving.push_back(*replica->known_serving());
  }
  if (!join.serving.empty()) world_.reach(Reached::kJoinedServing);
  tell([this, join](SimCoordinator& coordinator, membership::PeerId peer) { coordinator.on_node_join(peer, *this, join); });
  for (const auto& [id, replica] : held_) {
    if (replica->waits_for_place()) ask_place(*replica);
  }
}

void SimNode::ask_place(const SimReplica& replica) {
  tell([ask = replica.place_ask()](SimCoordinator& coordinator, membership::PeerId peer) {
    coordinator.decide([&](auto& core, auto& effects) { core.on_place_ask(peer, ask, effects); });
  });
}

void SimNode::say_serving(const routing::ReplicaView& view) {
  tell([view](SimCoordinator& coordinator, membership::PeerId peer) {
    coordinator.decide([&](auto& core, auto& effects) { core.on_serving(peer, view, effects); });
  });
}

void SimNode::say_draining(const SimReplica& replica) { say_serving(replica.view()); }

void SimNode::say_lost(const routing::ReplicaLoss& loss) {
  tell([loss](SimCoordinator& coordinator, membership::PeerId peer) {
    coordinator.decide([&](auto& core, auto& effects) { core.on_lost(peer, loss, effects); });
  });
}

void SimNode::say_given_up(ReplicaId replica, const Status& why) {
  gave_up_.insert(replica);
  truth_.on_given_up(replica);
  world_.reach(Reached::kGivenUp);
  tell([replica, why](SimCoordinator& coordinator, membership::PeerId peer) {
    coordinator.decide([&](auto& core, auto& effects) { core.on_given_up(peer, {replica, why}, effects); });
  });
}

// Threads cannot be taken back: whoever runs such a process starts it anew.
void SimNode::on_given_up(SimReplica& replica, const Status& why) {
  if (!world_.options.ranks_are_processes && has_devices_) return end(false, world_.us_up_to(world_.options.restart_us_max));
  const ReplicaId id = replica.id();
  held_.erase(id);
  replica.release();
  say_given_up(id, why);
}

// From the coordinator ------------------------------------------------------------------------------------------------

void SimNode::on_assignment(const membership::Assignment& assignment) {
  const auto held = held_;
  for (const auto& [id, replica] : held) {
    if (std::ranges::count(assignment.replicas, id) > 0) continue;
    if (World::tells) world_.tell(name() + " holds replica " + std::to_string(id.value) + " no more");
    world_.reach(Reached::kReleased);
    held_.erase(id);
    replica->release();
  }
  for (const ReplicaId id : assignment.replicas) {
    if (!held_.contains(id)) hold(id);
  }
}

void SimNode::hold(ReplicaId id) {
  if (World::tells) world_.tell(name() + " is to hold replica " + std::to_string(id.value));
  if (!has_devices_) return say_given_up(id, {StatusCode::kMissing, "its device is gone"});
  if (held_.size() >= world_.options.replicas_per_node) world_.violate(name() + " is to hold more than it has room for");
  truth_.on_held(id, index_);
  SimReplica& replica = replicas_.emplace_back(world_, network_, book_, *this, id);
  held_[id] = &replica;
  network_.shake();
  replica.start();
}

void SimNode::on_placed(const membership::Placed& placed) {
  newest_ = std::max(newest_, Epoch(placed.view.route.generation.epoch.value >> 20));
  if (SimReplica* replica = find(placed.view.route.generation.replica)) replica->on_placed(placed.view);
}

bool SimNode::is_new(routing::ReplicaGeneration generation) { return truth_.is_new(generation); }

// Checks --------------------------------------------------------------------------------------------------------------

void SimNode::check() {
  for (auto& [id, replica] : held_) replica->check();
}

void SimNode::check_drained() {
  if (!alive()) return world_.violate(name() + " is still down");
  for (auto& [id, replica] : held_) replica->check_drained();
}

}  // namespace herd::sim
