#include "tests/sim/sim_node.h"

#include <algorithm>
#include <utility>

#include "tests/sim/sim_coordinator.h"
#include "tests/sim/through_wire.h"
#include "tests/sim/truth.h"

namespace herd::sim {

SimNode::SimNode(World& world, Network& network, Truth& truth, SimCoordinator& coordinator, RequestBook& book, std::uint32_t index)
    : world_(world),
      chance_(world.chance("node-" + std::to_string(index))),
      network_(network),
      truth_(truth),
      coordinator_(coordinator),
      book_(book),
      index_(index),
      process_(world) {}

SimReplica* SimNode::find(ReplicaId replica) {
  const auto held = held_.find(replica);
  return held == held_.end() ? nullptr : held->second;
}

SimReplica* SimNode::any_replica(Chance& chance) {
  if (held_.empty()) return nullptr;
  return std::next(held_.begin(), static_cast<std::ptrdiff_t>(chance.below(held_.size())))->second;
}

// Lives ---------------------------------------------------------------------------------------------------------------

void SimNode::start() {
  check_absence();
  process_.begin();
  network_.disturb(network_.node_machine(index_));
  gave_up_.clear();
  leaving_ = false;
  told_ = {};
  core_.emplace(world_.options.replicas_per_node);
  handshake::Hello hello;
  hello.cluster = "sim";
  hello.role = handshake::Role::kNode;
  hello.node = name();
  hello.incarnation = 1 + chance_() / 2;
  dial_ = std::make_shared<SimDial>(world_, network_, process_, network_.node_machine(index_),
                                    SimDial::Owner{.address = kCoordinatorAddress,
                                                   .hello = hello,
                                                   .on_open = [this](const ConnectionPtr&) {
                                                     decide([](auto& core, auto& effects) { core.on_connected(effects); });
                                                   },
                                                   .on_closed = [this](const ConnectionPtr&) { core_->on_disconnected(); }});
  dial_->start();
}

void SimNode::end(bool silently, std::int64_t back_after_us) {
  if (!alive()) return;
  world_.reach(silently ? Reached::kMachinesLost : Reached::kNodesKilled);
  silently ? process_.vanish() : process_.end();
  fell_.clear();
  ended_ = world_.now();
  for (auto& [id, replica] : held_) {
    fell_.push_back(id);
    replica->fall(silently);
  }
  held_.clear();
  network_.disturb(network_.node_machine(index_));
  world_.loop.after(back_after_us, [this] { start(); });
}

// Between two instants of everything else, so that what comes meanwhile is done before what comes afterwards.
void SimNode::sleep(std::int64_t us, bool with_its_machine) {
  if (!alive()) return;
  world_.reach(with_its_machine ? Reached::kPauses : Reached::kNodesAsleep);
  const Instant until{world_.now().ns / 1000 * 1000 + us * 1000 + 500};
  network_.disturb(network_.node_machine(index_));
  world_.loop.at(until, [this] { network_.disturb(network_.node_machine(index_)); });
  if (with_its_machine) {
    for (auto& [id, replica] : held_) replica->sleep(until);
  }
  process_.sleep(until);
}

bool SimNode::tell_to_end(double drain_s) {
  if (!alive() || leaving_) return false;
  world_.reach(Reached::kNodesToldToEnd);
  leaving_ = true;
  network_.disturb(network_.node_machine(index_));
  process_.later(1, [this, drain_s] {
    decide([&](auto& core, auto& effects) { core.on_stop(drain_s, effects); });
    end_in_order();
  });
  return true;
}

void SimNode::end_in_order() {
  if (!core_->over()) return;
  world_.reach(Reached::kNodesEndedInOrder);
  end(false, chance_.us_up_to(world_.options.restart_us_max));
}

void SimNode::lose_devices() {
  has_devices_ = false;
  network_.shake();
  if (!alive()) return;
  const auto held = held_;
  for (const auto& [id, replica] : held) on_given_up(id, {StatusCode::kMissing, "its device is gone"});
}

void SimNode::heal() {
  for (auto& [id, replica] : held_) replica->heal();
}

// To the coordinator --------------------------------------------------------------------------------------------------

void SimNode::carry_out(const membership::SayToCoordinator& effect) {
  SimConnection* connection = dial_->connection();
  if (connection == nullptr) return world_.violate(name() + " speaks to a coordinator that it is not connected to");
  std::visit([&](const auto& message) { say(*connection, message); }, effect.message);
}

template <class Tell>
void SimNode::tell(SimConnection& connection, Tell tell) {
  connection.send(SimConnection::kDialer, world_.options.message_us_max,
                  [tell, &coordinator = coordinator_, peer = coordinator_.number_of(connection)] { tell(coordinator, peer); });
}

void SimNode::say(SimConnection& connection, const membership::NodeJoin& join) {
  if (!join.serving.empty()) world_.reach(Reached::kJoinedServing);
  tell(connection, [this, join = through_wire(world_.options.wire, join)](SimCoordinator& coordinator, membership::PeerId peer) {
    coordinator.on_node_join(peer, *this, join);
  });
}

void SimNode::say(SimConnection& connection, const membership::PlaceAsk& ask) {
  tell(connection, [ask = through_wire(world_.options.wire, ask)](SimCoordinator& coordinator, membership::PeerId peer) {
    coordinator.decide([&](auto& core, auto& effects) { core.on_place_ask(peer, ask, effects); });
  });
}

void SimNode::say(SimConnection& connection, const membership::Serving& serving) {
  tell(connection, [serving = through_wire(world_.options.wire, serving)](SimCoordinator& coordinator, membership::PeerId peer) {
    coordinator.decide([&](auto& core, auto& effects) { core.on_serving(peer, serving.view, effects); });
  });
}

void SimNode::say(SimConnection& connection, const routing::ReplicaLoss& loss) {
  tell(connection, [loss = through_wire(world_.options.wire, loss)](SimCoordinator& coordinator, membership::PeerId peer) {
    coordinator.decide([&](auto& core, auto& effects) { core.on_lost(peer, loss, effects); });
  });
}

void SimNode::say(SimConnection& connection, const membership::GivenUp& given_up) {
  tell(connection, [given_up = through_wire(world_.options.wire, given_up)](SimCoordinator& coordinator, membership::PeerId peer) {
    coordinator.decide([&](auto& core, auto& effects) { core.on_given_up(peer, given_up, effects); });
  });
}

void SimNode::say(SimConnection& connection, const membership::NodeLeaving& leaving) {
  tell(connection, [leaving = through_wire(world_.options.wire, leaving)](SimCoordinator& coordinator, membership::PeerId peer) {
    coordinator.decide([&](auto& core, auto& effects) { core.on_leaving(peer, leaving, effects); });
  });
}

// From the coordinator ------------------------------------------------------------------------------------------------

void SimNode::on_assignment(Epoch cluster_epoch, const membership::Assignment& assignment) {
  check_drained(assignment);
  told_ = assignment;
  core_->on_epoch(cluster_epoch);
  decide([&](auto& core, auto& effects) { core.on_assignment(assignment, effects); });
}

void SimNode::on_placed(Epoch cluster_epoch, const membership::Placed& placed) {
  core_->on_epoch(cluster_epoch);
  decide([&](auto& core, auto& effects) { core.on_placed(placed, effects); });
}

// Its replicas --------------------------------------------------------------------------------------------------------

void SimNode::carry_out(const membership::StartReplica& effect) {
  const ReplicaId id = effect.replica;
  if (World::tells) world_.tell(name() + " is to hold replica " + std::to_string(id.value));
  if (held_.contains(id) || is_full()) world_.violate(name() + " is to hold more than it has room for");
  truth_.on_held(id, index_);
  SimReplica& replica = replicas_.emplace_back(world_, network_, book_, *this, id, replicas_.size());
  held_[id] = &replica;
  network_.shake();
  replica.start();
  if (!has_devices_) replica.give_up({StatusCode::kMissing, "its device is gone"});
}

void SimNode::carry_out(const membership::EndReplica& effect) {
  if (World::tells) world_.tell(name() + " holds replica " + std::to_string(effect.replica.value) + " no more");
  world_.reach(Reached::kReleased);
  held_.at(effect.replica)->release(effect.drain_s);
}

void SimNode::carry_out(const membership::Place& effect) { held_.at(effect.view.route.generation.replica)->on_placed(effect.view); }

void SimNode::ask_place(const membership::PlaceAsk& ask) {
  decide([&](auto& core, auto& effects) { core.on_place_ask(ask, effects); });
}

void SimNode::say_serving(const routing::ReplicaView& view) {
  decide([&](auto& core, auto& effects) { core.on_serving(view, effects); });
}

void SimNode::say_lost(const routing::ReplicaLoss& loss) {
  decide([&](auto& core, auto& effects) { core.on_lost(loss, effects); });
}

// Threads cannot be taken back: whoever runs such a process starts it anew.
void SimNode::on_given_up(ReplicaId replica, const Status& why) {
  if (!world_.options.ranks_are_processes && has_devices_) return end(false, chance_.us_up_to(world_.options.restart_us_max));
  world_.reach(Reached::kGivenUp);
  gave_up_.insert(replica);
  truth_.on_given_up(replica);
  decide([&](auto& core, auto& effects) { core.on_given_up(replica, why, effects); });
}

void SimNode::on_ended(ReplicaId replica) {
  held_.erase(replica);
  decide([&](auto& core, auto& effects) { core.on_ended(replica, effects); });
  end_in_order();
}

bool SimNode::is_new(routing::ReplicaGeneration generation) { return truth_.is_new(generation); }

// Checks --------------------------------------------------------------------------------------------------------------

void SimNode::check() {
  for (auto& [id, replica] : held_) replica->check();
}

void SimNode::check_drained() {
  if (!alive()) return world_.violate(name() + " is still down");
  if (leaving_) world_.violate(name() + " was told to end, and did not");
  for (auto& [id, replica] : held_) replica->check_drained();
}

// It tells every coordinator what it was told of drains, so that none gives it what it is not to have.
void SimNode::check_drained(const membership::Assignment& now) const {
  for (const ReplicaId replica : now.replicas) {
    const std::string replica_name = "replica-" + std::to_string(replica.value);
    const bool knows = (told_.node_drains && truth_.is_drained(name())) ||
                       (std::ranges::count(told_.drained, replica) > 0 && truth_.is_drained(replica_name));
    if (knows && std::ranges::count(now.draining, replica) == 0 && std::ranges::count(told_.replicas, replica) == 0 && find(replica) == nullptr)
      world_.violate(name() + " is given " + replica_name + " by a coordinator that has forgotten a drain");
  }
}

// It was away for so long that another node should have what it held, if one had room all the time.
void SimNode::check_absence() const {
  if (fell_.empty() || world_.now().ns - ended_.ns <= world_.options.settle_us() * 1000) return;
  for (const ReplicaId replica : fell_) {
    if (!truth_.is_held(replica) && truth_.had_room_since(replica, ended_))
      world_.violate("replica " + std::to_string(replica.value) + " was placed nowhere else while " + name() + " was away");
  }
}

}  // namespace herd::sim
