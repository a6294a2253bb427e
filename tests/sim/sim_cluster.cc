#include "tests/sim/sim_cluster.h"

#include <algorithm>
#include <utility>

namespace herd::sim {

SimCluster::SimCluster(const SimOptions& options)
    : world_(options), book_(world_), network_(world_), truth_(world_, network_), coordinator_(world_, network_),
      faults_(world_, network_, truth_, coordinator_, nodes_, gateways_) {
  std::vector<SimNode*> nodes;
  std::vector<SimGateway*> gateways;
  for (std::uint32_t i = 0; i < options.nodes; ++i)
    nodes.push_back(&nodes_.emplace_back(world_, network_, truth_, coordinator_, book_, i));
  for (std::uint32_t i = 0; i < options.gateways; ++i)
    gateways.push_back(&gateways_.emplace_back(world_, network_, truth_, coordinator_, book_, i,
                                               [this](SimRequest& request) { gateways_[request.gateway].arrive(request); }));
  truth_.connect(&coordinator_, std::move(gateways), std::move(nodes));
}

SimReport SimCluster::run() {
  coordinator_.start();
  for (SimNode& node : nodes_) node.start();
  for (SimGateway& gateway : gateways_) gateway.start();
  for (SimRequest& request : book_.requests()) {
    if (request.state != SimRequest::State::kToCome) continue;
    world_.loop.at(request.arrives, [this, &request] { gateways_[request.gateway].arrive(request); });
  }
  faults_.schedule();
  world_.loop.after(world_.options.faults_us, [this] { heal(); });
  SimReport report;
  while (!world_.violation() && world_.loop.run_one()) {
    // In turn: what is broken stays so until it is seen, and looking is most of the simulator's work.
    const std::uint64_t event = world_.loop.events_run();
    nodes_[event % nodes_.size()].check();
    gateways_[event % gateways_.size()].check();
    if (!over()) last_end_ = world_.now();
    if (world_.loop.events_run() > world_.options.steps_max) world_.violate("no progress");
  }
  if (!world_.violation()) check_drained();
  report.violation = world_.violation();
  report.trace_hash = world_.trace_hash();
  report.steps = world_.loop.events_run();
  report.ended = world_.now();
  report.events = world_.script.events();
  report.virtual_s = seconds_between({}, last_end_);
  report.reached = world_.coverage();
  return report;
}

bool SimCluster::over() {
  const auto is_over = [](const SimRequest& request) {
    return request.state == SimRequest::State::kEnded || request.state == SimRequest::State::kGone;
  };
  auto& requests = book_.requests();
  if (open_request_ < requests.size() && !is_over(requests[open_request_])) return false;  // as it was last time
  const auto open = std::ranges::find_if_not(requests, is_over);
  open_request_ = static_cast<std::size_t>(open - requests.begin());
  return open == requests.end();
}

void SimCluster::heal() {
  world_.healed = true;
  if (World::tells) world_.tell("all heals");
  network_.shake();
  network_.heal();
  for (SimNode& node : nodes_) node.heal();
  faults_.heal();
  if (!world_.options.given_up) return;
  for (SimNode& node : nodes_) node.lose_devices();
}

// Checks --------------------------------------------------------------------------------------------------------------

void SimCluster::check_drained() {
  if (!world_.healed) world_.violate("ended before the faults did");
  if (!over()) world_.violate("a request never ended");
  if (!coordinator_.up()) return world_.violate("the coordinator is still down");
  for (SimGateway& gateway : gateways_) gateway.check_drained(coordinator_.view());
  for (SimNode& node : nodes_) node.check_drained();
  if (coordinator_.view().replicas.size() != world_.options.replicas) world_.violate("the coordinator knows another number of replicas");
  for (const routing::ReplicaView& known : coordinator_.view().replicas) check_view(known);
}

void SimCluster::check_view(const routing::ReplicaView& known) {
  const ReplicaId id = known.route.generation.replica;
  const std::string name = "replica " + std::to_string(id.value);
  const auto holders = std::ranges::count_if(nodes_, [&](const SimNode& node) { return node.find(id) != nullptr; });
  if (holders > 1) world_.violate(name + " is held by " + std::to_string(holders) + " nodes");
  const SimReplica* truth = truth_.serving(id);
  if (truth != nullptr) {
    if (known != truth->view()) world_.violate("the coordinator knows another " + name + " than there is");
    for (const SimGateway& gateway : gateways_) {
      if (!truth->is_behind(gateway.id())) gateway.check_directory(truth->generation(), truth->cached());
    }
    return;
  }
  if (known.state != routing::ReplicaState::kLost) world_.violate("the coordinator believes that " + name + " is there");
  if (!world_.options.given_up && !truth_.is_homeless(id)) world_.violate(name + " is lost, though a node could hold it");
}

}  // namespace herd::sim
