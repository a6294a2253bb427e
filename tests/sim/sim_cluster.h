#pragma once
// SimCluster: a whole cluster in one thread under virtual time: the product's own GatewayCore, ReplicaCore, GroupSupervisor and
// MembershipCore in processes that end, sleep and lose each other; toy ranks, and clients. Everything follows from the options'
// seed: message delays, every kind of loss, clients that leave or read slowly. In the first part faults come; then all heals, and
// everything must end.

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <vector>

#include "tests/sim/network.h"
#include "tests/sim/request_book.h"
#include "tests/sim/sim_coordinator.h"
#include "tests/sim/sim_faults.h"
#include "tests/sim/sim_gateway.h"
#include "tests/sim/sim_node.h"
#include "tests/sim/sim_options.h"
#include "tests/sim/truth.h"
#include "tests/sim/world.h"

namespace herd::sim {

struct SimReport {
  std::optional<std::string> violation;  // the first broken promise
  std::uint64_t trace_hash = 0;          // of all that clients saw, with its times
  std::uint64_t steps = 0;               // of the simulation
  std::vector<Script::Event> events;     // of the script, by their numbers
  Instant ended;                         // when the first promise was broken, or when nothing was left to do
  double virtual_s = 0;  // until the last stream ended
  World::Coverage reached{};
};

class SimCluster {
 public:
  explicit SimCluster(const SimOptions& options);
  SimReport run();
  [[nodiscard]] const World& world() const { return world_; }

 private:
  void heal();
  [[nodiscard]] bool over();  // every request has come and ended
  void check_drained();
  void check_view(const routing::ReplicaView& known);

  World world_;
  RequestBook book_;
  Network network_;
  Truth truth_;
  SimCoordinator coordinator_;
  std::deque<SimNode> nodes_;
  std::deque<SimGateway> gateways_;
  SimFaults faults_;
  Instant last_end_;
  std::size_t open_request_ = 0;  // that was open when over() looked last
};

}  // namespace herd::sim
