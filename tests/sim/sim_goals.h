#pragma once
// What the seeds do not reach, they do not test: at least so often in 1,000 of them.

#include <array>
#include <cstddef>
#include <cstdint>

#include "tests/sim/reached.h"

namespace herd::sim {

struct Goal {
  Reached what;
  const char* name;
  std::uint64_t at_least;
};
inline constexpr std::array kGoals{
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

}  // namespace herd::sim
