#pragma once
// SimFaults: all that befalls a cluster in a seed, each an event of the script with its own time and its own row of draws; and the
// operators who restart it replica by replica.

#include <cstdint>
#include <deque>
#include <functional>
#include <set>
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
  SimFaults(World& world, Network& network, Truth& truth, SimCoordinator& coordinator, std::deque<SimNode>& nodes,
            std::deque<SimGateway>& gateways)
      : world_(world), network_(network), truth_(truth), coordinator_(coordinator), nodes_(nodes), gateways_(gateways) {}

  // Between now and the moment in which all heals.
  void schedule();
  // In that moment: whatever is drained takes work again.
  void heal();

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
  void schedule_operators();
  std::string end_node(Chance& chance, bool silently);
  std::string cut(Chance& chance);
  std::string part(Chance& chance);
  std::string flap(Chance& chance);
  void flap(Machine one, Machine other, std::uint32_t times, Chance chance);
  // Tells the leader of one replica after the other to end, or one node after the other; goes on when that is back.
  void roll_leaders(std::uint32_t replica, Chance chance);
  void roll_nodes(std::uint32_t node, Chance chance);
  std::string drain(Chance& chance);
  [[nodiscard]] double drain_seconds(Chance& chance) const;
  // Until somebody takes it.
  void order(const report::DrainAsk& ask, Chance chance);

  [[nodiscard]] std::uint64_t machines() const { return 1 + gateways_.size() + nodes_.size(); }
  [[nodiscard]] std::string name_of(Machine machine) const;
  [[nodiscard]] Machine any_machine(Chance& chance) const { return static_cast<Machine>(chance.below(machines())); }
  [[nodiscard]] SimNode& any_node(Chance& chance) { return nodes_[chance.below(nodes_.size())]; }
  [[nodiscard]] SimGateway& any_gateway(Chance& chance) { return gateways_[chance.below(gateways_.size())]; }
  [[nodiscard]] Instant in(std::int64_t us) const { return {world_.now().ns + us * 1000}; }

  World& world_;
  Network& network_;
  Truth& truth_;
  SimCoordinator& coordinator_;
  std::deque<SimNode>& nodes_;
  std::deque<SimGateway>& gateways_;
  std::set<std::string> drained_;       // and not taken back
  std::set<std::string> ever_drained_;
};

}  // namespace herd::sim
