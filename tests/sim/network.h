#pragma once
// Network: carries messages between the parts, each after a random time; keeps the order of one connection; cuts
// connections. What was sent arrives even if its sender dies meanwhile, but only at the life it was sent to.
//
// A connection joins one life of a gateway and one of a replica. Once something on it is lost, nothing later that way gets
// through; when that is noticed the replica hears that the gateway is gone, the gateway that the link is, and a new
// connection begins.

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "cluster/membership/coordinator_core.h"
#include "cluster/routing/replica_loss.h"
#include "runtime/step/submission.h"
#include "tests/sim/world.h"

namespace herd::sim {

class SimCoordinator;
class SimGateway;
class SimReplica;

struct Parts {
  SimCoordinator* coordinator = nullptr;
  std::vector<SimGateway*> gateways;
  std::vector<SimReplica*> replicas;
};

class Network {
 public:
  explicit Network(World& world) : world_(world) {}
  void connect(Parts parts);

  // Gateway to replica.
  void submit(std::uint32_t gateway, const routing::Route& to, step::Submission submission);
  void abort(std::uint32_t gateway, const routing::Route& on, const step::AttemptKey& attempt);
  // Replica to gateway.
  void deltas(routing::ReplicaGeneration from, GatewayId to, std::vector<step::TokenDelta> deltas);
  void loss_to_gateways(const routing::ReplicaLoss& loss);
  // To the coordinator, and what it says to a gateway.
  using Notice = std::function<void(membership::CoordinatorCore&, membership::CoordinatorEffects&)>;
  void notify(Notice notice);
  void view_to(std::uint32_t gateway, Link& link, const routing::ClusterView& view);
  void loss_to(std::uint32_t gateway, Link& link, const routing::ReplicaLoss& loss);

  // Lives begin and end.
  void on_gateway_life(std::uint32_t gateway);  // a new one
  void on_gateway_gone(GatewayId gateway);      // every replica hears of it
  void on_replica_life(std::uint32_t replica);
  void cut(std::uint32_t gateway, std::uint32_t replica);
  // Something that may delay or move streams has happened.
  void shake() { shaken_ = world_.now(); }

  // Since when has that replica been whole, and within reach of that gateway? Nullopt: it is not.
  [[nodiscard]] std::optional<Instant> whole_since(std::uint32_t gateway, std::uint32_t replica) const;
  // Is there a replica of those numerics (empty: any) that serves or will?
  [[nodiscard]] bool has_future(const routing::NumericsId& numerics) const;
  [[nodiscard]] bool serves(const routing::NumericsId& numerics) const;

 private:
  struct Connection {
    Link to_replica, to_gateway;
    bool deaf_replica = false;  // what is sent to it from now on is lost
    bool deaf_gateway = false;
    bool closed = false;        // the replica has heard of its end
  };
  using ConnectionPtr = std::shared_ptr<Connection>;

  ConnectionPtr& connection(std::uint32_t gateway, std::uint32_t replica) {
    return connections_[gateway * parts_.replicas.size() + replica];
  }
  void on_cut_noticed(std::uint32_t gateway, std::uint32_t replica, const ConnectionPtr& of);
  // Runs at that life of the gateway.
  void at_gateway(std::uint32_t gateway, Link& link, std::int64_t us_max, std::function<void(SimGateway&)> event);
  void deliver_notice(std::uint64_t life, const Notice& notice);

  World& world_;
  Parts parts_;
  std::vector<ConnectionPtr> connections_;  // [gateway, replica]
  Link to_coordinator_;
  Instant shaken_;
};

}  // namespace herd::sim
