#pragma once
// SimCluster: a whole cluster in one thread under virtual time: the product's own GatewayCore, ReplicaCore, GroupSupervisor and
// MembershipCore in processes that end, sleep and lose each other; toy ranks, and clients. Everything follows from the options'
// seed: message delays, every kind of loss, clients that leave or read slowly. In the first part faults come; then all heals, and
// everything must end.

#include <cstdint>
#include <deque>
#include <functional>
#include <optional>
#include <string>

#include "tests/sim/network.h"
#include "tests/sim/request_book.h"
#include "tests/sim/sim_coordinator.h"
#include "tests/sim/sim_gateway.h"
#include "tests/sim/sim_node.h"
#include "tests/sim/sim_options.h"
#include "tests/sim/truth.h"
#include "tests/sim/world.h"

namespace herd::sim {

struct SimReport {
  std::optional<std::string> violation;  // the first broken promise
  std::uint64_t trace_hash = 0;          // of all that clients saw, with its times
  std::uint64_t events = 0;
  double virtual_s = 0;  // until the last stream ended
  World::Coverage reached{};
};

class SimCluster {
 public:
  explicit SimCluster(const SimOptions& options);
  SimReport run();

 private:
  void schedule_faults();
  // At a random time before all heals, so often.
  void some_time(std::uint32_t times, const std::function<void()>& fault);
  void heal();
  // Drains, stops and makes anew one replica after the other.
  void roll(std::uint32_t replica);
  void stop_drained(std::uint32_t replica, routing::ReplicaGeneration generation, Instant until);
  void cut();
  void end_node(bool silently);
  [[nodiscard]] bool over() const;  // every request has come and ended
  void check_drained();
  void check_view(const routing::ReplicaView& known);
  template <class Do>
  void any_replica(Do what);
  SimNode& any_node() { return nodes_[world_.below(nodes_.size())]; }
  SimGateway& any_gateway() { return gateways_[world_.below(gateways_.size())]; }

  World world_;
  RequestBook book_;
  Network network_;
  Truth truth_;
  SimCoordinator coordinator_;
  std::deque<SimNode> nodes_;
  std::deque<SimGateway> gateways_;
  Instant last_end_;
};

}  // namespace herd::sim
