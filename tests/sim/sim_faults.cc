#include "tests/sim/sim_faults.h"

#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include "tests/sim/sim_replica.h"

namespace herd::sim {

using routing::LossCause;

void SimFaults::schedule() {
  schedule_deaths();
  schedule_rank_faults();
  schedule_sleeps();
  schedule_cuts();
  schedule_operators();
}

void SimFaults::some_time(std::uint32_t times, const std::string& what, const Fault& fault) {
  for (std::uint32_t i = 0; i < times; ++i) {
    const std::string name = what + " " + std::to_string(i);
    Chance chance = world_.script_chance(name);
    const Instant at = in(static_cast<std::int64_t>(chance.below(static_cast<std::uint64_t>(world_.options.faults_us))));
    const auto number = world_.script.add(at, name + ": nothing was there for it");
    if (!number) continue;
    world_.loop.at(at, [this, fault, chance, number]() mutable {
      const std::string done = fault(chance);
      if (done.empty()) return;
      if (World::tells) world_.tell(done);
      world_.script.happened(*number, done);
    });
  }
}

void SimFaults::to_a_replica(std::uint32_t times, const std::string& what, const ReplicaFault& fault) {
  some_time(times, what, [this, fault](Chance& chance) {
    SimReplica* replica = any_node(chance).any_replica(chance);
    return replica == nullptr ? std::string() : fault(*replica, chance);
  });
}

std::string SimFaults::name_of(Machine machine) const {
  if (machine == kCoordinatorMachine) return "the coordinator";
  const Machine gateways = static_cast<Machine>(gateways_.size());
  if (machine <= gateways) return "gateway-" + std::to_string(machine - 1);
  return "node-" + std::to_string(machine - 1 - gateways);
}

// Deaths --------------------------------------------------------------------------------------------------------------

void SimFaults::schedule_deaths() {
  const SimOptions& options = world_.options;
  const auto lose = [this](std::uint32_t times, const std::string& what, LossCause cause, bool leader) {
    to_a_replica(times, what, [this, what, cause, leader](SimReplica& replica, Chance& chance) {
      const std::uint32_t rank = leader ? 0 : static_cast<std::uint32_t>(chance.below(world_.options.ranks));
      replica.lose_rank(rank, cause);
      return what + ": rank " + std::to_string(rank) + " of " + replica.address();
    });
  };
  lose(options.rank_kills, "rank killed", LossCause::kKilled, false);
  lose(options.leader_kills, "leader killed", LossCause::kKilled, true);
  lose(options.rank_deaths, "rank died", LossCause::kDiedOfItself, false);
  lose(options.leader_deaths, "leader died", LossCause::kDiedOfItself, true);
  some_time(options.node_kills, "node killed", [this](Chance& chance) { return end_node(chance, false); });
  some_time(options.machine_losses, "machine lost", [this](Chance& chance) { return end_node(chance, true); });
  some_time(options.gateway_crashes, "gateway crashed", [this](Chance& chance) {
    SimGateway& gateway = any_gateway(chance);
    gateway.crash();
    return gateway.name() + " crashes";
  });
  some_time(options.gateway_stops, "gateway stopped", [this](Chance& chance) {
    SimGateway& gateway = any_gateway(chance);
    gateway.stop();
    return gateway.name() + " is told to stop";
  });
  some_time(options.coordinator_restarts, "coordinator ended", [this](Chance&) {
    coordinator_.stop();
    return std::string("the coordinator ends");
  });
}

std::string SimFaults::end_node(Chance& chance, bool silently) {
  const SimOptions& options = world_.options;
  const bool long_absence = options.long_absences && chance.percent(50);
  SimNode& node = any_node(chance);
  const std::int64_t us = chance.us_up_to(long_absence ? 3 * options.away_us : options.restart_us_max);
  node.end(silently, us);
  return node.name() + (silently ? " is gone with its machine for " : " is killed for ") + std::to_string(us) + " us";
}

// Ranks ---------------------------------------------------------------------------------------------------------------

void SimFaults::schedule_rank_faults() {
  const SimOptions& options = world_.options;
  const auto befall = [this](std::uint32_t times, const std::string& what, RankFault fault) {
    to_a_replica(times, what, [what, fault](SimReplica& replica, Chance&) {
      replica.befall(fault);
      return what + " in the next step of " + replica.address();
    });
  };
  befall(options.failed_steps, "step fails", RankFault::kFailStep);
  befall(options.wrong_hashes, "tokens differ", RankFault::kOtherTokens);
  befall(options.hangs, "rank hangs", RankFault::kHang);
  befall(options.late_steps, "rank is late", RankFault::kLate);
  befall(options.deaths_in_collective, "rank dies in a collective", RankFault::kDieInCollective);
  befall(options.skipped_collectives, "rank skips a collective", RankFault::kSkipCollective);
  const auto plant = [this](std::uint32_t times, const std::string& what, void (*fault)(SimReplica&)) {
    to_a_replica(times, what, [what, fault](SimReplica& replica, Chance&) {
      fault(replica);
      return what + ": " + replica.address();
    });
  };
  plant(options.damaged_weights, "weights damaged", [](SimReplica& replica) { replica.damage_weights(); });
  plant(options.failed_starts, "next start fails", [](SimReplica& replica) { replica.fail_start(); });
  plant(options.failed_joins, "next join fails", [](SimReplica& replica) { replica.fail_join(); });
  plant(options.stale_results, "result repeated", [](SimReplica& replica) { replica.repeat_old_result(); });
}

// Sleeps --------------------------------------------------------------------------------------------------------------

void SimFaults::schedule_sleeps() {
  const SimOptions& options = world_.options;
  some_time(options.pauses, "machine paused", [this](Chance& chance) {
    SimNode& node = any_node(chance);
    const std::int64_t us = chance.us_up_to(3 * world_.options.hang_us());
    node.sleep(us, true);
    return node.name() + " sleeps with its machine for " + std::to_string(us) + " us";
  });
  some_time(options.node_sleeps, "node asleep", [this](Chance& chance) {
    SimNode& node = any_node(chance);
    const std::int64_t us = chance.us_up_to(2 * world_.options.away_us);
    node.sleep(us, false);
    return node.name() + " sleeps for " + std::to_string(us) + " us";
  });
  to_a_replica(options.leader_sleeps, "leader asleep", [this](SimReplica& replica, Chance& chance) {
    const std::int64_t us = chance.us_up_to(chance.percent(50) ? 2 * world_.options.hang_us() : 2 * world_.options.silence_us);
    return replica.sleep_leader(us) ? "the leader " + replica.address() + " sleeps for " + std::to_string(us) + " us" : std::string();
  });
  some_time(options.gateway_sleeps, "gateway asleep", [this](Chance& chance) {
    SimGateway& gateway = any_gateway(chance);
    const std::int64_t us = chance.us_up_to(2 * world_.options.silence_us);
    gateway.sleep(us);
    return gateway.name() + " sleeps for " + std::to_string(us) + " us";
  });
  some_time(options.coordinator_silences, "coordinator asleep", [this](Chance& chance) {
    const std::int64_t us = chance.us_up_to(world_.options.faults_us);
    coordinator_.sleep(us);
    return "the coordinator sleeps for " + std::to_string(us) + " us";
  });
}

// Cuts ----------------------------------------------------------------------------------------------------------------

void SimFaults::schedule_cuts() {
  const SimOptions& options = world_.options;
  some_time(options.cuts, "cut", [this](Chance& chance) { return cut(chance); });
  some_time(options.partitions, "partition", [this](Chance& chance) { return part(chance); });
  some_time(options.flaps, "flapping", [this](Chance& chance) { return flap(chance); });
  some_time(options.resets, "reset", [this](Chance& chance) {
    world_.reach(Reached::kResets);
    const Machine one = any_machine(chance), other = any_machine(chance);
    network_.reset(one, other);
    return "connections between " + name_of(one) + " and " + name_of(other) + " are reset";
  });
}

// Between any two machines that talk to each other.
std::string SimFaults::cut(Chance& chance) {
  const Machine one = any_machine(chance), other = any_machine(chance);
  if (one == other) return {};
  const Instant until = in(chance.us_up_to(chance.percent(50) ? world_.options.silence_us : 2 * world_.options.away_us));
  const bool both = chance.percent(50);
  world_.reach(both ? Reached::kCutsBoth : Reached::kCutsOneWay);
  network_.cut(one, other, until);
  if (both) network_.cut(other, one, until);
  return name_of(one) + " is cut off from " + name_of(other) + (both ? ", and back" : "") + " until " +
         std::to_string(until.ns / 1000) + " us";
}

// Some machines from all the others, in one direction or both.
std::string SimFaults::part(Chance& chance) {
  const Instant until = in(chance.us_up_to(chance.percent(50) ? 2 * world_.options.silence_us : 2 * world_.options.away_us));
  std::vector<Machine> these, those;
  for (Machine machine = 0; machine < machines(); ++machine) (chance.percent(50) ? these : those).push_back(machine);
  if (these.empty() || those.empty()) return {};
  const bool both = chance.percent(60);
  std::string names;
  for (const Machine one : these) {
    names += (names.empty() ? "" : ", ") + name_of(one);
    for (const Machine other : those) {
      network_.cut(one, other, until);
      if (both) network_.cut(other, one, until);
    }
  }
  world_.reach(Reached::kPartitions);
  return names + (both ? " are cut off from the others, and back" : " do not reach the others") + " until " +
         std::to_string(until.ns / 1000) + " us";
}

// Cut and whole in turn, for about as long as anybody waits for a word.
std::string SimFaults::flap(Chance& chance) {
  const Machine one = any_machine(chance), other = any_machine(chance);
  if (one == other) return {};
  const auto times = static_cast<std::uint32_t>(2 + chance.below(8));
  world_.reach(Reached::kFlaps);
  flap(one, other, times, chance);
  return "what lies between " + name_of(one) + " and " + name_of(other) + " fails " + std::to_string(times) + " times";
}

void SimFaults::flap(Machine one, Machine other, std::uint32_t times, Chance chance) {
  if (times == 0 || world_.healed) return;
  const std::int64_t cut_us = chance.us_up_to(world_.options.silence_us * 3 / 2);
  network_.cut(one, other, in(cut_us));
  if (chance.percent(50)) network_.cut(other, one, in(cut_us));
  world_.loop.after(cut_us + chance.us_up_to(world_.options.silence_us / 2),
                    [this, one, other, times, chance] { flap(one, other, times - 1, chance); });
}

// Operators -----------------------------------------------------------------------------------------------------------

void SimFaults::schedule_operators() {
  const SimOptions& options = world_.options;
  some_time(options.drains, "drain", [this](Chance& chance) { return drain(chance); });
  some_time(options.node_stops, "node told to end", [this](Chance& chance) {
    SimNode& node = any_node(chance);
    return node.tell_to_end(drain_seconds(chance)) ? node.name() + " is told to end" : std::string();
  });
  to_a_replica(options.rank_stops, "rank told to end", [this](SimReplica& replica, Chance& chance) {
    const auto rank = static_cast<std::uint32_t>(chance.below(world_.options.ranks));
    if (!replica.tell_to_end(rank)) return std::string();
    return "rank " + std::to_string(rank) + " of " + replica.address() + " is told to end";
  });
  some_time(options.rolling_restarts, "rolling restart", [this](Chance& chance) {
    world_.reach(Reached::kRollingRestarts);
    const bool leaders = !world_.options.ranks_are_processes || chance.percent(50);
    leaders ? roll_leaders(0, chance) : roll_nodes(0, chance);
    return std::string(leaders ? "one leader" : "one node") + " after the other is told to end";
  });
}

// Long enough for anything, or so short that work is left.
double SimFaults::drain_seconds(Chance& chance) const {
  return chance.percent(50) ? 1000 : 1e-6 * static_cast<double>(chance.us_up_to(20'000));
}

void SimFaults::roll_leaders(std::uint32_t index, Chance chance) {
  if (index == world_.options.replicas || world_.healed) return;
  SimReplica* replica = truth_.serving(ReplicaId(index));
  if (replica != nullptr && replica->tell_to_end(0)) ++index;
  world_.loop.after(chance.us_up_to(world_.options.restart_us_max + 2000), [this, index, chance] { roll_leaders(index, chance); });
}

void SimFaults::roll_nodes(std::uint32_t index, Chance chance) {
  if (index == nodes_.size() || world_.healed) return;
  const bool others_are_back = std::ranges::all_of(nodes_, [](const SimNode& node) { return node.alive() && !node.leaving(); });
  if (others_are_back && nodes_[index].tell_to_end(drain_seconds(chance))) ++index;
  world_.loop.after(chance.us_up_to(world_.options.restart_us_max + 2000), [this, index, chance] { roll_nodes(index, chance); });
}

std::string SimFaults::drain(Chance& chance) {
  const bool node = chance.percent(60);
  const std::string target = node ? any_node(chance).name() : "replica-" + std::to_string(chance.below(world_.options.replicas));
  const report::DrainAsk ask{.target = target, .drain_s = drain_seconds(chance)};
  world_.reach(Reached::kDrains);
  truth_.on_drain(target);
  drained_.insert(target);
  ever_drained_.insert(target);
  order(ask, chance);
  if (chance.percent(50))
    world_.loop.after(chance.us_up_to(world_.options.faults_us), [this, target, chance] {
      if (drained_.erase(target) > 0) order({.target = target, .undo = true}, chance);
    });
  return target + " is drained";
}

void SimFaults::order(const report::DrainAsk& ask, Chance chance) {
  if (ask.undo == drained_.contains(ask.target)) return;  // the operator has changed their mind
  if (ask.undo) truth_.on_undo(ask.target);
  if (coordinator_.order(ask)) return ask.undo ? world_.reach(Reached::kDrainsUndone) : void();
  world_.loop.after(chance.us_up_to(2000), [this, ask, chance] { order(ask, chance); });
}

// A coordinator that came after the last word may hear an older one from a node: it is told once more when all have joined.
void SimFaults::heal() {
  std::uint32_t number = 0;
  drained_.clear();
  for (const std::string& target : ever_drained_) {
    const Chance chance = world_.script_chance("undo " + std::to_string(number++));
    for (const std::int64_t us : {std::int64_t{1}, world_.options.settle_us()})
      world_.loop.after(us, [this, target, chance] { order({.target = target, .undo = true}, chance); });
  }
}

}  // namespace herd::sim
