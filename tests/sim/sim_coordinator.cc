#include "tests/sim/sim_coordinator.h"

#include <algorithm>
#include <utility>

#include "tests/sim/sim_gateway.h"
#include "tests/sim/sim_node.h"
#include "tests/sim/through_wire.h"

namespace herd::sim {

using membership::PeerId;

void SimCoordinator::start() {
  process_.begin();
  started_ = world_.now();
  network_.shake();
  membership::MembershipConfig config;
  config.replicas = world_.options.replicas;
  config.any_node = world_.options.any_node;
  for (std::uint32_t node = 0; node < world_.options.nodes && !config.any_node; ++node) config.nodes.push_back("node-" + std::to_string(node));
  for (std::uint32_t gateway = 0; gateway < world_.options.gateways; ++gateway)
    config.gateways.push_back("gateway-" + std::to_string(gateway));
  config.gather_s_max = 1e-6 * static_cast<double>(world_.options.gather_us);
  config.away_s_max = 1e-6 * static_cast<double>(world_.options.away_us);
  // No two lives begin within one of its milliseconds.
  const std::uint64_t wall_ms = 100'000'000 + static_cast<std::uint64_t>(world_.now().ns) / 1000;
  const std::uint64_t jump_ms = world_.options.clock_jumps ? chance_.below(1'000'000) : 0;
  core_.emplace(config, Epoch(wall_ms - jump_ms), world_.now());
  peers_.clear();
  drained_.clear();
  wakes_at_.reset();
  network_.listen(kCoordinatorAddress, {&process_, kCoordinatorMachine, [this](const ConnectionPtr& connection) {
                                          return accept(connection);
                                        }});
  arm();
}

void SimCoordinator::stop() {
  if (!up()) return;
  world_.reach(Reached::kCoordinatorRestarts);
  process_.end();
  network_.shake();
  world_.loop.after(chance_.us_up_to(world_.options.restart_us_max), [this] { start(); });
}

void SimCoordinator::sleep(std::int64_t us) {
  if (!up() || process_.sleeps()) return;
  world_.reach(Reached::kCoordinatorSilences);
  network_.disturb(kCoordinatorMachine);
  const Instant until{world_.now().ns + us * 1000};
  process_.sleep(until);
  world_.loop.at(until, [this] { network_.disturb(kCoordinatorMachine); });
}

bool SimCoordinator::order(const report::DrainAsk& ask) {
  if (!up() || process_.sleeps()) return false;
  order_taken_ = false;
  network_.shake();
  if (ask.undo) drained_.erase(ask.target);
  const report::DrainAsk asked = through_wire(world_.options.wire, ask);
  decide([&](auto& core, auto& effects) { core.on_drain_ask(PeerId{}, asked, effects); });
  if (order_taken_ && !ask.undo) drained_.insert(ask.target);
  return order_taken_;
}

// Peers ---------------------------------------------------------------------------------------------------------------

SimConnection::Hooks SimCoordinator::accept(const ConnectionPtr& connection) {
  const PeerId peer(++last_peer_);
  peers_[peer] = {connection};
  const std::weak_ptr<SimConnection> weak = connection;
  return {.on_open = [this, peer, weak] {
            decide([&](auto& core, auto& effects) { core.on_opened(peer, weak.lock()->hello(), world_.now(), effects); });
          },
          .on_closed = [this, peer] {
            peers_.erase(peer);
            decide([&](auto& core, auto& effects) { core.on_closed(peer, world_.now(), effects); });
          }};
}

PeerId SimCoordinator::number_of(const SimConnection& connection) const {
  const auto peer = std::ranges::find_if(peers_, [&](const auto& known) { return known.second.connection.get() == &connection; });
  return peer == peers_.end() ? PeerId{} : peer->first;
}

void SimCoordinator::on_node_join(PeerId peer, SimNode& node, const membership::NodeJoin& join) {
  peers_[peer].node = &node;
  decide([&](auto& core, auto& effects) { core.on_node_join(peer, join, effects); });
}

void SimCoordinator::on_gateway_join(PeerId peer, SimGateway& gateway, const routing::GatewayJoin& join) {
  peers_[peer].gateway = &gateway;
  decide([&](auto& core, auto& effects) { core.on_gateway_join(peer, join, effects); });
}

// Effects -------------------------------------------------------------------------------------------------------------

void SimCoordinator::arm() {
  const auto next = core_->deadline();
  if (!next || wakes_at_ == next) return;
  wakes_at_ = next;
  world_.loop.at(*next, process_.awake([this, at = *next] {
    if (wakes_at_ == at) wakes_at_.reset();
    decide([this](auto& core, auto& effects) { core.on_timer(world_.now(), effects); });
  }));
}

template <class Tell>
void SimCoordinator::tell(PeerId to, Tell tell) {
  const auto peer = peers_.find(to);
  if (peer == peers_.end()) return;
  peer->second.connection->send(SimConnection::kAcceptor, world_.options.message_us_max,
                                [tell, whom = peer->second] { tell(whom); });
}

void SimCoordinator::carry_out(membership::SendView& effect) {
  for (const PeerId to : effect.gateways)
    tell(to, [view = through_wire(world_.options.wire, effect.view)](const Peer& peer) { peer.gateway->on_view(view); });
}

void SimCoordinator::carry_out(membership::SendLoss& effect) {
  for (const PeerId to : effect.gateways)
    tell(to, [loss = through_wire(world_.options.wire, effect.loss)](const Peer& peer) { peer.gateway->on_loss(loss); });
}

void SimCoordinator::carry_out(membership::AnswerOrder& effect) {
  order_taken_ = through_wire(world_.options.wire, effect.answer).status.ok();
}

void SimCoordinator::carry_out(membership::SendAssignment& effect) {
  if (const auto peer = peers_.find(effect.node); peer != peers_.end()) {
    check_drained(peer->second, effect.assignment);
    peer->second.assignment = effect.assignment;
  }
  tell(effect.node, [assignment = through_wire(world_.options.wire, effect.assignment), epoch = view().cluster_epoch](const Peer& peer) {
    peer.node->on_assignment(epoch, assignment);
  });
}

void SimCoordinator::carry_out(membership::SendPlaced& effect) {
  check_generation(effect.placed.view.route.generation);
  tell(effect.node, [placed = through_wire(world_.options.wire, effect.placed), epoch = view().cluster_epoch](const Peer& peer) {
    peer.node->on_placed(epoch, placed);
  });
}

void SimCoordinator::carry_out(membership::ClosePeer& effect) {
  const auto peer = peers_.find(effect.peer);
  if (peer == peers_.end()) return;
  world_.reach(Reached::kPeersClosed);
  const ConnectionPtr connection = peer->second.connection;
  peers_.erase(peer);
  connection->close(SimConnection::kAcceptor);
}

void SimCoordinator::carry_out(membership::MembershipNote& effect) {
  if (World::tells) world_.tell("coordinator: " + effect.event + (effect.peer.empty() ? "" : ", " + effect.peer) + ": " + effect.what);
  if (effect.event == "node given up") world_.reach(Reached::kNodesGivenUp);
}

// Checks --------------------------------------------------------------------------------------------------------------

void SimCoordinator::check_assignments() {
  std::map<ReplicaId, PeerId> assigned;
  for (const auto& [id, peer] : peers_) {
    for (const ReplicaId replica : peer.assignment.replicas) {
      if (std::ranges::count(peer.assignment.draining, replica) > 0) continue;  // it is made ready elsewhere meanwhile
      if (!assigned.try_emplace(replica, id).second) world_.violate("replica " + std::to_string(replica.value) + " is assigned to two nodes");
    }
  }
}

// What is drained takes nothing new; it may end what it had when it joined.
void SimCoordinator::check_drained(const Peer& peer, const membership::Assignment& now) const {
  for (const ReplicaId replica : now.replicas) {
    if (std::ranges::count(peer.assignment.replicas, replica) > 0 || peer.node->find(replica) != nullptr) continue;
    if (std::ranges::count(now.draining, replica) > 0) continue;
    const std::string name = "replica-" + std::to_string(replica.value);
    if (drained_.contains(peer.node->name())) world_.violate(peer.node->name() + " is drained, and is given " + name);
    if (drained_.contains(name)) world_.violate(name + " is drained, and is given to " + peer.node->name());
  }
}

// A clock that was set back is made good by what nodes and gateways have heard of, as far as they can be reached.
void SimCoordinator::check_generation(routing::ReplicaGeneration placed) {
  Epoch& last = placed_[placed.replica];
  if (placed.epoch <= last && !world_.options.clock_jumps)
    world_.violate("a generation is placed under epoch " + std::to_string(placed.epoch.value) + " after " + std::to_string(last.value));
  last = std::max(last, placed.epoch);
}

}  // namespace herd::sim
