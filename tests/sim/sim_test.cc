// Seeds through the simulated cluster. --seed N runs one, and --tell 1 tells its story; --seeds N runs that many, from --from on.

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <iostream>
#include <string>
#include <string_view>

#include "tests/sim/sim_cluster.h"

namespace herd::sim {
namespace {

std::uint64_t first_seed = 1;
std::uint64_t seeds = 1000;
std::uint64_t failures_max = 10;
std::uint64_t running_seed = 0;

// A broken invariant of a core ends the process: at least say where.
void say_seed(int signal) {
  std::cerr << "seed " << running_seed << ": a check of a core failed, as told above\n  replay: sim_tests --seed "
            << running_seed << std::endl;
  std::signal(signal, SIG_DFL);
  std::raise(signal);
}

// What the seeds do not reach, they do not test: at least so often in 1,000 of them.
struct Goal {
  Reached what;
  const char* name;
  std::uint64_t at_least;
};
constexpr std::array kGoals{
    Goal{Reached::kFinished, "requests finished", 10'000},
    Goal{Reached::kRefusedQueue, "refused by a full queue", 300},
    Goal{Reached::kRefusedQuota, "refused by a quota", 300},
    Goal{Reached::kRefusedDeadline, "refused for their deadline", 10},
    Goal{Reached::kRefusedNowhere, "refused without any replica", 20},
    Goal{Reached::kLate, "late", 100},
    Goal{Reached::kTimedOut, "timed out", 300},
    Goal{Reached::kFailed, "failed", 100},
    Goal{Reached::kSlow, "slow", 100},
    Goal{Reached::kGone, "gone", 300},
    Goal{Reached::kShutdown, "shut down", 50},
    Goal{Reached::kTokens, "tokens", 200'000},
    Goal{Reached::kPromptLogprobs, "prompt log-probabilities", 10'000},
    Goal{Reached::kChoicesStopped, "choices stopped", 300},
    Goal{Reached::kLeadersKilled, "leaders killed", 300},
    Goal{Reached::kRanksKilled, "ranks killed", 300},
    Goal{Reached::kDiedOfThemselves, "ranks died of themselves", 100},
    Goal{Reached::kFailedSteps, "failed steps", 30},
    Goal{Reached::kTokensDiffer, "groups whose tokens differ", 30},
    Goal{Reached::kOverdue, "steps overdue", 50},
    Goal{Reached::kStopped, "replicas stopped", 300},
    Goal{Reached::kFailedStarts, "failed starts", 50},
    Goal{Reached::kPoisonDeaths, "deaths by poison", 100},
    Goal{Reached::kPoisonCondemned, "poison condemned", 50},
    Goal{Reached::kNotFinite, "ended by a NaN", 30},
    Goal{Reached::kGatewaysCrashed, "gateways crashed", 200},
    Goal{Reached::kGatewaysStopped, "gateways stopped", 50},
    Goal{Reached::kCoordinatorSilences, "silences of the coordinator", 100},
    Goal{Reached::kCoordinatorRestarts, "restarts of the coordinator", 100},
    Goal{Reached::kRollingRestarts, "rolling restarts", 100},
    Goal{Reached::kGivenUp, "replicas given up", 50},
    Goal{Reached::kMoves, "attempts moved", 1'000},
    Goal{Reached::kStreamsMovedOften, "streams at their fifth attempt or later", 100},
    Goal{Reached::kParkedLong, "looks at streams parked for long", 100},
    Goal{Reached::kRefusedByReplica, "refused by a replica", 100},
    Goal{Reached::kSuspectsAlone, "suspects run alone", 100},
    Goal{Reached::kStaleDeltas, "stale deltas", 1'000},
    Goal{Reached::kDuplicateDeltas, "duplicate deltas", 1'000},
    Goal{Reached::kSubmissionsRepeated, "submissions repeated", 1'000},
    Goal{Reached::kStaleResults, "stale results", 100},
    Goal{Reached::kStaleViews, "stale views", 1},
    Goal{Reached::kPreemptions, "preemptions", 500},
    Goal{Reached::kHeldBack, "held back for a prefix", 100},
    Goal{Reached::kOvertaken, "starts while another tenant waits", 1'000},
    Goal{Reached::kResumed, "resumed streams finished", 100},
    Goal{Reached::kHangs, "hangs", 50},
    Goal{Reached::kLateSteps, "late steps", 50},
    Goal{Reached::kDeathsInCollectives, "deaths in a collective", 50},
    Goal{Reached::kSkippedCollectives, "collectives skipped", 50},
    Goal{Reached::kCollectivesGivenUp, "collectives given up", 20},
    Goal{Reached::kPauses, "pauses", 100},
    Goal{Reached::kFailedJoins, "failed joins", 30},
    Goal{Reached::kRanksLostBetween, "ranks lost between two groups", 30},
    Goal{Reached::kWeightsReadAgain, "weights read again", 10},
    Goal{Reached::kRanksDidNotLeave, "ranks that did not leave", 30},
    Goal{Reached::kLateRankNamed, "late ranks named", 50},
    Goal{Reached::kFormedAgain, "groups formed again", 1'000},
    Goal{Reached::kProcessesEnded, "processes ended", 50},
    Goal{Reached::kNodesKilled, "nodes killed", 100},
    Goal{Reached::kMachinesLost, "machines lost", 100},
    Goal{Reached::kNodesAsleep, "nodes asleep beside their leaders", 100},
    Goal{Reached::kCutsBoth, "machines cut off from each other", 100},
    Goal{Reached::kCutsOneWay, "machines cut in one direction", 100},
    Goal{Reached::kResets, "connections reset", 100},
    Goal{Reached::kSilentLinks, "connections closed for silence", 100},
    Goal{Reached::kLinksLost, "connections to leaders lost", 100},
    Goal{Reached::kPeersClosed, "connections closed by the coordinator", 10},
    Goal{Reached::kJoinedServing, "nodes that joined with replicas that serve", 100},
    Goal{Reached::kGatewaysJoinedTwice, "gateways that joined a leader twice", 10},
    Goal{Reached::kSentNowhere, "attempts for which there was no connection", 100},
    Goal{Reached::kFormedWithoutLeader, "generations without a leader", 5},
    Goal{Reached::kNodesGivenUp, "nodes that stayed away", 50},
    Goal{Reached::kPlacedElsewhere, "replicas placed elsewhere", 50},
    Goal{Reached::kReleased, "replicas taken from a node", 10},
    Goal{Reached::kPartitions, "partitions", 100},
    Goal{Reached::kFlaps, "flapping ways", 100},
    Goal{Reached::kLeadersAsleep, "leaders asleep", 100},
    Goal{Reached::kGatewaysAsleep, "gateways asleep", 100},
    Goal{Reached::kTakenUpElsewhere, "requests taken up at another gateway", 300},
    Goal{Reached::kTakenUpFinished, "of them finished", 100},
};
static_assert(kGoals.size() == static_cast<std::size_t>(Reached::kCount));

SimReport run_seed(std::uint64_t seed) {
  running_seed = seed;
  return SimCluster(draw_options(seed)).run();
}

TEST(Simulation, EverySeedKeepsItsPromises) {
  World::Coverage total{};
  std::uint64_t failures = 0, events = 0, ran = 0;
  double virtual_s = 0;
  for (; ran < seeds && failures < failures_max; ++ran) {
    const std::uint64_t seed = first_seed + ran;
    const SimReport report = run_seed(seed);
    if (report.violation) {
      ++failures;
      ADD_FAILURE() << "seed " << seed << ": " << *report.violation << "\n  replay: sim_tests --seed " << seed;
    }
    events += report.steps;
    virtual_s += report.virtual_s;
    for (std::size_t i = 0; i < total.size(); ++i) total[i] += report.reached[i];
  }
  std::cout << ran << " seeds, " << failures << " with a broken promise, " << events << " events, "
            << static_cast<std::uint64_t>(virtual_s) << " virtual seconds:";
  for (const Goal& goal : kGoals) std::cout << ' ' << total[static_cast<std::size_t>(goal.what)] << ' ' << goal.name << ';';
  std::cout << '\n';
  if (ran < 1000) return;
  for (const Goal& goal : kGoals)
    EXPECT_GE(total[static_cast<std::size_t>(goal.what)], goal.at_least) << goal.name << ": the seeds do not reach enough";
}

TEST(Simulation, ASeedIsTheWholeStory) {
  for (std::uint64_t seed = first_seed; seed < first_seed + std::min<std::uint64_t>(seeds, 20); ++seed)
    EXPECT_EQ(run_seed(seed).trace_hash, run_seed(seed).trace_hash) << "seed " << seed;
}

}  // namespace
}  // namespace herd::sim

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  std::signal(SIGABRT, herd::sim::say_seed);
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::uint64_t number = std::strtoull(argv[i + 1], nullptr, 10);
    const std::string_view flag = argv[i];
    if (flag == "--seed") {
      herd::sim::first_seed = number;
      herd::sim::seeds = 1;
    } else if (flag == "--seeds") {
      herd::sim::seeds = number;
    } else if (flag == "--from") {
      herd::sim::first_seed = number;
    } else if (flag == "--tell") {
      herd::sim::World::tells = number > 0;
    } else if (flag == "--failures") {
      herd::sim::failures_max = number;
    } else {
      std::cerr << "usage: sim_tests [--seed N | --seeds N] [--from N] [--failures N] [--tell 1]\n";
      return 2;
    }
  }
  return RUN_ALL_TESTS();
}
