#include "tests/sim/sim_cluster.h"

#include <algorithm>
#include <utility>

namespace herd::sim {
namespace {

// A run of the options' largest size takes well below 10^6 events; more is no progress.
constexpr std::uint64_t kEventsMax = 5'000'000;

}  // namespace

SimCluster::SimCluster(const SimOptions& options)
    : world_(options), book_(world_), network_(world_), truth_(world_, network_), coordinator_(world_, network_) {
  std::vector<SimNode*> nodes;
  std::vector<SimGateway*> gateways;
  for (std::uint32_t i = 0; i < options.nodes; ++i)
    nodes.push_back(&nodes_.emplace_back(world_, network_, truth_, coordinator_, book_, i));
  for (std::uint32_t i = 0; i < options.gateways; ++i)
    gateways.push_back(&gateways_.emplace_back(world_, network_, truth_, coordinator_, book_, i));
  truth_.connect(&coordinator_, std::move(gateways), std::move(nodes));
}

SimReport SimCluster::run() {
  coordinator_.start();
  for (SimNode& node : nodes_) node.start();
  for (SimGateway& gateway : gateways_) gateway.start();
  for (SimRequest& request : book_.requests())
    world_.loop.at(request.arrives, [this, &request] { gateways_[request.gateway].arrive(request); });
  schedule_faults();
  SimReport report;
  while (!world_.violation() && world_.loop.run_one()) {
    for (SimNode& node : nodes_) node.check();
    for (SimGateway& gateway : gateways_) gateway.check();
    if (!over()) last_end_ = world_.now();
    if (world_.loop.events_run() > kEventsMax) world_.violate("no progress");
  }
  if (!world_.violation()) check_drained();
  report.violation = world_.violation();
  report.trace_hash = world_.trace_hash();
  report.events = world_.loop.events_run();
  report.virtual_s = seconds_between({}, last_end_);
  report.reached = world_.coverage();
  return report;
}

bool SimCluster::over() const {
  return std::ranges::all_of(const_cast<SimCluster*>(this)->book_.requests(), [](const SimRequest& request) {
    return request.state == SimRequest::State::kEnded || request.state == SimRequest::State::kGone;
  });
}

// Faults --------------------------------------------------------------------------------------------------------------

void SimCluster::some_time(std::uint32_t times, const std::function<void()>& fault) {
  for (std::uint32_t i = 0; i < times; ++i)
    world_.loop.after(static_cast<std::int64_t>(world_.below(static_cast<std::uint64_t>(world_.options.faults_us))), fault);
}

template <class Do>
void SimCluster::any_replica(Do what) {
  if (SimReplica* replica = any_node().any_replica()) what(*replica);
}

void SimCluster::schedule_faults() {
  const SimOptions& options = world_.options;
  using routing::LossCause;
  const auto befall = [this](std::uint32_t times, RankFault fault) {
    some_time(times, [this, fault] { any_replica([&](SimReplica& replica) { replica.befall(fault); }); });
  };
  const auto lose = [this](std::uint32_t times, LossCause cause, bool leader) {
    some_time(times, [this, cause, leader] {
      const std::uint32_t rank = leader ? 0 : static_cast<std::uint32_t>(world_.below(world_.options.ranks));
      any_replica([&](SimReplica& replica) { replica.lose_rank(rank, cause); });
    });
  };
  lose(options.rank_kills, LossCause::kKilled, false);
  lose(options.leader_kills, LossCause::kKilled, true);
  lose(options.rank_deaths, LossCause::kDiedOfItself, false);
  lose(options.leader_deaths, LossCause::kDiedOfItself, true);
  befall(options.failed_steps, RankFault::kFailStep);
  befall(options.wrong_hashes, RankFault::kOtherTokens);
  befall(options.hangs, RankFault::kHang);
  befall(options.late_steps, RankFault::kLate);
  befall(options.deaths_in_collective, RankFault::kDieInCollective);
  befall(options.skipped_collectives, RankFault::kSkipCollective);
  some_time(options.damaged_weights, [this] { any_replica([](SimReplica& replica) { replica.damage_weights(); }); });
  some_time(options.failed_starts, [this] { any_replica([](SimReplica& replica) { replica.fail_start(); }); });
  some_time(options.failed_joins, [this] { any_replica([](SimReplica& replica) { replica.fail_join(); }); });
  some_time(options.stale_results, [this] { any_replica([](SimReplica& replica) { replica.repeat_old_result(); }); });
  some_time(options.node_kills, [this] { end_node(false); });
  some_time(options.machine_losses, [this] { end_node(true); });
  some_time(options.pauses, [this] { any_node().sleep(world_.us_up_to(3 * world_.options.hang_us()), true); });
  some_time(options.node_sleeps, [this] { any_node().sleep(world_.us_up_to(2 * world_.options.away_us), false); });
  some_time(options.cuts, [this] { cut(); });
  some_time(options.resets, [this] {
    world_.reach(Reached::kResets);
    const std::uint64_t machines = 1 + gateways_.size() + nodes_.size();
    network_.reset(static_cast<Machine>(world_.below(machines)), static_cast<Machine>(world_.below(machines)));
  });
  some_time(options.gateway_crashes, [this] { any_gateway().crash(); });
  some_time(options.gateway_stops, [this] { any_gateway().stop(); });
  some_time(options.coordinator_silences, [this] { coordinator_.sleep(world_.us_up_to(world_.options.faults_us)); });
  some_time(options.coordinator_restarts, [this] { coordinator_.stop(); });
  some_time(options.rolling_restarts, [this] {
    world_.reach(Reached::kRollingRestarts);
    roll(0);
  });
  world_.loop.after(options.faults_us, [this] { heal(); });
}

// Between any two machines that talk to each other.
void SimCluster::cut() {
  const std::uint64_t machines = 1 + gateways_.size() + nodes_.size();
  const auto one = static_cast<Machine>(world_.below(machines));
  const auto other = static_cast<Machine>(world_.below(machines));
  if (one == other) return;
  const Instant until{world_.now().ns + world_.us_up_to(world_.percent(50) ? world_.options.silence_us : 2 * world_.options.away_us) * 1000};
  const bool both = world_.percent(50);
  world_.reach(both ? Reached::kCutsBoth : Reached::kCutsOneWay);
  if (World::tells)
    world_.tell("machine " + std::to_string(one) + " is cut off from " + std::to_string(other) + (both ? ", and back" : "") + " until " +
                std::to_string(until.ns / 1000) + " us");
  network_.cut(one, other, until);
  if (both) network_.cut(other, one, until);
}

void SimCluster::end_node(bool silently) {
  const SimOptions& options = world_.options;
  const bool long_absence = options.long_absences && world_.percent(50);
  any_node().end(silently, world_.us_up_to(long_absence ? 3 * options.away_us : options.restart_us_max));
}

void SimCluster::heal() {
  world_.healed = true;
  if (World::tells) world_.tell("all heals");
  network_.shake();
  network_.heal();
  for (SimNode& node : nodes_) node.heal();
  if (!world_.options.given_up) return;
  for (SimNode& node : nodes_) node.lose_devices();
}

void SimCluster::roll(std::uint32_t index) {
  if (index == world_.options.replicas || world_.healed) return;
  SimReplica* replica = truth_.serving(ReplicaId(index));
  if (replica == nullptr || replica->draining()) return world_.loop.after(world_.us_up_to(2000), [this, index] { roll(index); });
  replica->drain();
  const bool patient = world_.below(2) == 0;
  stop_drained(index, replica->generation(),
               {world_.now().ns + (patient ? 1'000'000'000'000 : world_.us_up_to(20'000) * 1000)});
}

// Stops it once nothing runs there any more, or it took too long; goes on when that life is over.
void SimCluster::stop_drained(std::uint32_t index, routing::ReplicaGeneration generation, Instant until) {
  SimReplica* replica = truth_.serving(ReplicaId(index));
  if (replica == nullptr || replica->generation() != generation) return roll(index + 1);
  if (replica->idle() || world_.now() >= until) {
    replica->stop();
    return roll(index + 1);
  }
  world_.loop.after(world_.us_up_to(2000), [this, index, generation, until] { stop_drained(index, generation, until); });
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
    return;
  }
  if (known.state != routing::ReplicaState::kLost) world_.violate("the coordinator believes that " + name + " is there");
  if (!world_.options.given_up && !truth_.is_homeless(id)) world_.violate(name + " is lost, though a node could hold it");
}

}  // namespace herd::sim
