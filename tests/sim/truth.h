#pragma once
// Truth: the cluster as it is, whatever its parts believe. For the oracles.

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "cluster/routing/replica_generation.h"
#include "tests/sim/network.h"
#include "tests/sim/world.h"

namespace herd::sim {

class SimCoordinator;
class SimGateway;
class SimNode;
class SimReplica;

class Truth {
 public:
  Truth(World& world, const Network& network) : world_(world), network_(network) {}
  void connect(const SimCoordinator* coordinator, std::vector<SimGateway*> gateways, std::vector<SimNode*> nodes);

  // Since when has that replica been whole, and everything between it and that gateway? Nullopt: it is not.
  [[nodiscard]] std::optional<Instant> whole_since(std::uint32_t gateway, ReplicaId replica) const;
  // Is there a replica of those numerics (empty: any) that serves or will?
  [[nodiscard]] bool has_future(const routing::NumericsId& numerics) const;
  // Who holds it, if it serves there. The latest of several.
  [[nodiscard]] SimReplica* serving(ReplicaId replica) const;
  // Of those that are there, none could take it that has not given it up.
  [[nodiscard]] bool is_homeless(ReplicaId replica) const;

  [[nodiscard]] bool is_held(ReplicaId replica) const;
  // It serves, is whole, and neither its node nor what lies between that and the coordinator was disturbed for long.
  [[nodiscard]] bool is_well(routing::ReplicaGeneration generation) const;
  // Since then some node could have taken it, and a coordinator could have told it so.
  [[nodiscard]] bool had_room_since(ReplicaId replica, Instant since) const;

  // Nobody has formed that generation before. Remembers it.
  [[nodiscard]] bool is_new(routing::ReplicaGeneration generation) { return formed_.insert(generation).second; }
  void on_given_up(ReplicaId replica) { given_up_.insert(replica); }
  void on_held(ReplicaId replica, std::uint32_t node);
  // An operator says that of a node or a replica, now or soon; or takes it back.
  void on_drain(const std::string& target) { drained_.insert(target); }
  void on_undo(const std::string& target) { undone_.insert(target); }
  // It was drained, and nobody has ever taken that back.
  [[nodiscard]] bool is_drained(const std::string& target) const { return drained_.contains(target) && !undone_.contains(target); }

 private:
  [[nodiscard]] bool leaves(const SimNode& node, ReplicaId replica) const;

  World& world_;
  const Network& network_;
  const SimCoordinator* coordinator_ = nullptr;
  std::vector<SimGateway*> gateways_;
  std::vector<SimNode*> nodes_;
  std::set<routing::ReplicaGeneration> formed_;
  std::map<ReplicaId, std::uint32_t> held_last_by_;
  std::set<ReplicaId> given_up_;  // ever, by any node
  std::set<std::string> drained_, undone_;  // ever
};

}  // namespace herd::sim
