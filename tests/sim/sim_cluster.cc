#include "tests/sim/sim_cluster.h"

#include <algorithm>
#include <utility>

namespace herd::sim {
namespace {

// A run of the options' largest size takes well below 10^6 events; more is no progress.
constexpr std::uint64_t kEventsMax = 5'000'000;

}  // namespace

SimCluster::SimCluster(const SimOptions& options)
    : world_(options), book_(world_), network_(world_), coordinator_(world_, network_) {
  Parts parts;
  parts.coordinator = &coordinator_;
  for (std::uint32_t i = 0; i < options.replicas; ++i)
    parts.replicas.push_back(&replicas_.emplace_back(world_, network_, coordinator_, book_, i));
  for (std::uint32_t i = 0; i < options.gateways; ++i)
    parts.gateways.push_back(&gateways_.emplace_back(world_, network_, coordinator_, book_, i));
  network_.connect(parts);
  coordinator_.connect(parts);
}

SimReport SimCluster::run() {
  coordinator_.start();
  for (SimReplica& replica : replicas_) replica.start();
  for (SimGateway& gateway : gateways_) gateway.start();
  for (SimRequest& request : book_.requests())
    world_.loop.at(request.arrives, [this, &request] { gateways_[request.gateway].arrive(request); });
  schedule_faults();
  SimReport report;
  while (!world_.violation() && world_.loop.run_one()) {
    for (SimReplica& replica : replicas_) replica.check();
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

void SimCluster::schedule_faults() {
  const SimOptions& options = world_.options;
  using routing::LossCause;
  some_time(options.kills, [this] { any_replica().kill(LossCause::kKilled); });
  some_time(options.rank_kills, [this] { any_replica().lose_rank(LossCause::kKilled); });
  some_time(options.leader_deaths, [this] { any_replica().kill(LossCause::kDiedOfItself); });
  some_time(options.rank_deaths, [this] { any_replica().lose_rank(LossCause::kDiedOfItself); });
  some_time(options.failed_steps, [this] { any_replica().befall(RankFault::kFailStep); });
  some_time(options.wrong_hashes, [this] { any_replica().befall(RankFault::kOtherTokens); });
  some_time(options.damaged_weights, [this] { any_replica().damage_weights(); });
  some_time(options.hangs, [this] { any_replica().befall(RankFault::kHang); });
  some_time(options.late_steps, [this] { any_replica().befall(RankFault::kLate); });
  some_time(options.deaths_in_collective, [this] { any_replica().befall(RankFault::kDieInCollective); });
  some_time(options.skipped_collectives, [this] { any_replica().befall(RankFault::kSkipCollective); });
  some_time(options.pauses, [this] { any_replica().pause(world_.us_up_to(3 * world_.options.hang_us())); });
  some_time(options.failed_starts, [this] { any_replica().fail_start(); });
  some_time(options.failed_joins, [this] { any_replica().fail_join(); });
  some_time(options.stale_results, [this] { any_replica().repeat_old_result(); });
  some_time(options.link_cuts, [this] {
    network_.cut(static_cast<std::uint32_t>(world_.below(gateways_.size())),
                 static_cast<std::uint32_t>(world_.below(replicas_.size())));
  });
  some_time(options.gateway_crashes, [this] { any_gateway().crash(); });
  some_time(options.gateway_stops, [this] { any_gateway().stop(); });
  some_time(options.coordinator_silences, [this] { coordinator_.be_silent(world_.us_up_to(world_.options.faults_us)); });
  some_time(options.coordinator_restarts, [this] { coordinator_.stop(); });
  some_time(options.rolling_restarts, [this] {
    world_.reach(Reached::kRollingRestarts);
    roll(0);
  });
  world_.loop.after(options.faults_us, [this] { heal(); });
}

void SimCluster::heal() {
  world_.healed = true;
  network_.shake();
  for (SimReplica& replica : replicas_) replica.heal();
  if (!world_.options.given_up) return;
  for (SimReplica& replica : replicas_) replica.give_up();
}

void SimCluster::roll(std::uint32_t index) {
  if (index == replicas_.size()) return;
  SimReplica& replica = replicas_[index];
  if (replica.given_up()) return;
  if (!replica.serving() || replica.draining() || !coordinator_.answers())
    return world_.loop.after(world_.us_up_to(2000), [this, index] { roll(index); });
  replica.drain();
  const bool patient = world_.below(2) == 0;
  stop_drained(index, replica.generation(),
               {world_.now().ns + (patient ? 1'000'000'000'000 : world_.us_up_to(20'000) * 1000)});
}

// Stops it once nothing runs there any more, or it took too long; goes on when that life is over.
void SimCluster::stop_drained(std::uint32_t index, routing::ReplicaGeneration generation, Instant until) {
  SimReplica& replica = replicas_[index];
  if (replica.generation() != generation || !replica.alive()) return roll(index + 1);
  if (replica.idle() || world_.now() >= until) {
    replica.stop();
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
  for (SimReplica& replica : replicas_) replica.check_drained();
  if (world_.options.given_up) return;
  for (const routing::ReplicaView& replica : coordinator_.view().replicas) {
    const SimReplica& truth = replicas_[replica.route.generation.replica.value];
    if (replica != truth.view()) world_.violate("the coordinator knows another cluster than there is");
  }
}

}  // namespace herd::sim
