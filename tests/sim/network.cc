#include "tests/sim/network.h"

#include <algorithm>
#include <utility>

#include "tests/sim/sim_coordinator.h"
#include "tests/sim/sim_gateway.h"
#include "tests/sim/sim_replica.h"
#include "tests/sim/through_wire.h"

namespace herd::sim {

void Network::connect(Parts parts) {
  parts_ = std::move(parts);
  connections_.resize(parts_.gateways.size() * parts_.replicas.size());
  for (ConnectionPtr& connection : connections_) connection = std::make_shared<Connection>();
}

// Messages ------------------------------------------------------------------------------------------------------------

void Network::submit(std::uint32_t gateway, const routing::Route& to, step::Submission submission) {
  const std::uint32_t replica = to.generation.replica.value;
  ConnectionPtr& way = connection(gateway, replica);
  if (way->deaf_replica) return;
  submission = through_wire(world_.options.wire, std::move(submission));
  const bool twice = world_.percent(world_.options.repeats_percent);
  if (twice) world_.reach(Reached::kSubmissionsRepeated);
  for (int copy = 0; copy < (twice ? 2 : 1); ++copy)
    way->to_replica.send(world_.loop, world_.random, world_.options.message_us_max,
                         [this, replica, to = to.generation, way, submission] {
                           if (!way->closed) parts_.replicas[replica]->on_submission(to, submission);
                         });
}

void Network::abort(std::uint32_t gateway, const routing::Route& on, const step::AttemptKey& attempt) {
  const std::uint32_t replica = on.generation.replica.value;
  ConnectionPtr& way = connection(gateway, replica);
  if (way->deaf_replica) return;
  way->to_replica.send(world_.loop, world_.random, world_.options.message_us_max,
                       [this, replica, on = on.generation, way, attempt = through_wire(world_.options.wire, attempt)] {
                         if (!way->closed) parts_.replicas[replica]->on_abort(on, attempt);
                       });
}

void Network::deltas(routing::ReplicaGeneration from, GatewayId to, std::vector<step::TokenDelta> deltas) {
  deltas = through_wire(world_.options.wire, std::move(deltas));
  for (std::uint32_t gateway = 0; gateway < parts_.gateways.size(); ++gateway) {
    if (parts_.gateways[gateway]->id() != to) continue;
    ConnectionPtr& way = connection(gateway, from.replica.value);
    if (way->deaf_gateway) return;
    const bool twice = world_.percent(world_.options.duplicates_percent);
    for (int copy = 0; copy < (twice ? 2 : 1); ++copy)
      at_gateway(gateway, way->to_gateway, world_.options.delta_us_max,
                 [from, deltas](SimGateway& gateway) { gateway.on_deltas(from, deltas); });
  }
}

void Network::loss_to_gateways(const routing::ReplicaLoss& loss) {
  for (std::uint32_t gateway = 0; gateway < parts_.gateways.size(); ++gateway) {
    ConnectionPtr& way = connection(gateway, loss.replica.replica.value);
    if (way->deaf_gateway) continue;
    at_gateway(gateway, way->to_gateway, world_.options.delta_us_max, [loss](SimGateway& gateway) { gateway.on_loss(loss); });
  }
}

void Network::notify(Notice notice) {
  to_coordinator_.send(world_.loop, world_.random, world_.options.message_us_max,
                       [this, life = parts_.coordinator->life(), notice = std::move(notice)] {
                         deliver_notice(life, notice);
                       });
}

// A silent coordinator hears everything when it goes on; one that was restarted meanwhile hears nothing.
void Network::deliver_notice(std::uint64_t life, const Notice& notice) {
  if (parts_.coordinator->life() != life || !parts_.coordinator->up()) return;
  if (const auto until = parts_.coordinator->silent_until(); until > world_.now())
    return world_.loop.at(until, [this, life, notice] { deliver_notice(life, notice); });
  parts_.coordinator->on_notice(notice);
}

void Network::at_gateway(std::uint32_t gateway, Link& link, std::int64_t us_max, std::function<void(SimGateway&)> event) {
  if (!parts_.gateways[gateway]->alive()) return;
  link.send(world_.loop, world_.random, us_max,
            [this, gateway, life = parts_.gateways[gateway]->id(), event = std::move(event)] {
              if (parts_.gateways[gateway]->id() == life) event(*parts_.gateways[gateway]);
            });
}

void Network::view_to(std::uint32_t gateway, Link& link, const routing::ClusterView& view) {
  at_gateway(gateway, link, world_.options.message_us_max, [view = through_wire(world_.options.wire, view)](SimGateway& gateway) {
    gateway.on_view(view);
  });
}

void Network::loss_to(std::uint32_t gateway, Link& link, const routing::ReplicaLoss& loss) {
  at_gateway(gateway, link, world_.options.message_us_max,
             [loss = through_wire(world_.options.wire, loss)](SimGateway& gateway) { gateway.on_loss(loss); });
}

// Lives and cuts ------------------------------------------------------------------------------------------------------

void Network::on_gateway_life(std::uint32_t gateway) {
  shake();
  for (std::uint32_t replica = 0; replica < parts_.replicas.size(); ++replica)
    connection(gateway, replica) = std::make_shared<Connection>();
}

void Network::on_gateway_gone(GatewayId gateway) {
  shake();
  for (SimReplica* replica : parts_.replicas)
    world_.loop.after(world_.us_up_to(world_.options.detect_us_max), [replica, life = replica->generation(), gateway] {
      if (replica->generation() == life) replica->on_gateway_gone(gateway);
    });
}

void Network::on_replica_life(std::uint32_t replica) {
  shake();
  for (std::uint32_t gateway = 0; gateway < parts_.gateways.size(); ++gateway)
    connection(gateway, replica) = std::make_shared<Connection>();
}

void Network::cut(std::uint32_t gateway, std::uint32_t replica) {
  const ConnectionPtr way = connection(gateway, replica);
  if (way->deaf_replica || way->deaf_gateway || !parts_.gateways[gateway]->alive()) return;
  const std::uint64_t which = world_.below(3);
  way->deaf_replica = which != 0;
  way->deaf_gateway = which != 1;
  world_.reach(Reached::kLinksCut);
  shake();
  world_.loop.after(world_.us_up_to(world_.options.detect_us_max),
                    [this, gateway, replica, way] { on_cut_noticed(gateway, replica, way); });
}

void Network::on_cut_noticed(std::uint32_t gateway, std::uint32_t replica, const ConnectionPtr& of) {
  if (connection(gateway, replica) != of || !parts_.gateways[gateway]->alive()) return;
  of->deaf_replica = of->deaf_gateway = of->closed = true;
  shake();
  const GatewayId life = parts_.gateways[gateway]->id();
  const routing::ReplicaGeneration generation = parts_.replicas[replica]->generation();
  parts_.replicas[replica]->on_gateway_gone(life);
  world_.loop.after(world_.us_up_to(world_.options.detect_us_max), [this, gateway, replica, of, generation] {
    if (connection(gateway, replica) != of || !parts_.gateways[gateway]->alive()) return;
    connection(gateway, replica) = std::make_shared<Connection>();
    shake();
    parts_.gateways[gateway]->on_link_lost(generation);
  });
}

// For the oracle ------------------------------------------------------------------------------------------------------

std::optional<Instant> Network::whole_since(std::uint32_t gateway, std::uint32_t replica) const {
  const Connection& way = *connections_[gateway * parts_.replicas.size() + replica];
  if (way.deaf_replica || way.deaf_gateway || !parts_.gateways[gateway]->alive()) return std::nullopt;
  if (!parts_.replicas[replica]->whole() || !parts_.coordinator->up()) return std::nullopt;
  return std::max(shaken_, parts_.coordinator->silent_until());
}

bool Network::has_future(const routing::NumericsId& numerics) const {
  return std::ranges::any_of(parts_.replicas, [&](const SimReplica* replica) {
    return !replica->given_up() && (numerics.empty() || replica->numerics() == numerics);
  });
}

bool Network::serves(const routing::NumericsId& numerics) const {
  return std::ranges::any_of(parts_.replicas, [&](const SimReplica* replica) {
    return replica->whole() && (numerics.empty() || replica->numerics() == numerics);
  });
}

}  // namespace herd::sim
