#pragma once
// SimFaults: all that befalls a cluster in a seed, each an event of the script with its own time and its own row of draws; and the
// operators who restart it replica by replica.

#include <cstdint>
#include <deque>
#include <functional>
#include <string>

#include "tests/sim/network.h"
#include "tests/sim/sim_coordinator.h"
#include "tests/sim/sim_gateway.h"
#include "tests/sim/sim_node.h"
#include "tests/sim/truth.h"
#include "tests/sim/world.h"

namespace herd::sim {

class SimFaults {
 public:
  SimFaults(World& world, Network& network, const Truth& truth, SimCoordinator& coordinator, std::deque<SimNode>& nodes,
            std::deque<SimGateway>& gateways)
      : world_(world), network_(network), truth_(truth), coordinator_(coordinator), nodes_(nodes), gateways_(gateways) {}

  // Between now and the moment in which all heals.
  void schedule();

 private:
  // What it did; empty: there was nothing to do it to.
  using Fault = std::function<std::string(Chance&)>;
  using ReplicaFault = std::function<std::string(SimReplica&, Chance&)>;

  void some_time(std::uint32_t times, const std::string& what, const Fault& fault);
  void to_a_replica(std::uint32_t times, const std::string& what, const ReplicaFault& fault);
  void schedule_deaths();
  void schedule_rank_faults();
  void schedule_sleeps();
  void schedule_cuts();
  std::string end_node(Chance& chance, bool silently);
  std::string cut(Chance& chance);
  std::string part(Chance& chance);
  std::string flap(Chance& chance);
  void flap(Machine one, Machine other, std::uint32_t times, Chance chance);
  // Drains, stops and makes anew one replica after the other.
  void roll(std::uint32_t replica, Chance chance);
  void stop_drained(std::uint32_t replica, routing::ReplicaGeneration generation, Instant until, Chance chance);

  [[nodiscard]] std::uint64_t machines() const { return 1 + gateways_.size() + nodes_.size(); }
  [[nodiscard]] std::string name_of(Machine machine) const;
  [[nodiscard]] Machine any_machine(Chance& chance) const { return static_cast<Machine>(chance.below(machines())); }
  [[nodiscard]] SimNode& any_node(Chance& chance) { return nodes_[chance.below(nodes_.size())]; }
  [[nodiscard]] SimGateway& any_gateway(Chance& chance) { return gateways_[chance.below(gateways_.size())]; }
  [[nodiscard]] Instant in(std::int64_t us) const { return {world_.now().ns + us * 1000}; }

  World& world_;
  Network& network_;
  const Truth& truth_;
  SimCoordinator& coordinator_;
  std::deque<SimNode>& nodes_;
  std::deque<SimGateway>& gateways_;
};

}  // namespace herd::sim
