#pragma once
// Reached: what the seeds must reach, or they do not test it; sim_goals.h says how often.

#include <cstdint>

namespace herd::sim {

enum class Reached : std::uint8_t {
  kFinished, kRefusedQueue, kRefusedQuota, kRefusedDeadline, kRefusedNowhere, kLate, kTimedOut, kFailed, kSlow, kGone,
  kShutdown, kTokens, kPromptLogprobs, kChoicesStopped, kLeadersKilled, kRanksKilled, kDiedOfThemselves, kFailedSteps,
  kTokensDiffer, kOverdue, kStopped, kFailedStarts, kPoisonDeaths, kPoisonCondemned, kPoisonKnown, kNotFinite,
  kGatewaysCrashed, kGatewaysStopped, kCoordinatorSilences, kCoordinatorRestarts, kRollingRestarts,
  kGivenUp, kMoves, kStreamsMovedOften, kParkedLong, kRefusedByReplica, kSuspectsAlone, kStaleDeltas, kDuplicateDeltas,
  kSubmissionsRepeated, kStaleResults, kStaleBlocks, kStaleViews, kPreemptions, kHeldBack, kOvertaken, kResumed,
  kHangs, kLateSteps, kDeathsInCollectives, kSkippedCollectives, kCollectivesGivenUp, kPauses, kFailedJoins, kRanksLostBetween,
  kWeightsReadAgain, kRanksDidNotLeave, kLateRankNamed, kFormedAgain, kProcessesEnded,
  kNodesKilled, kMachinesLost, kNodesAsleep, kCutsBoth, kCutsOneWay, kResets, kSilentLinks, kLinksLost, kPeersClosed,
  kJoinedServing, kGatewaysJoinedTwice, kSentNowhere, kFormedWithoutLeader, kNodesGivenUp, kPlacedElsewhere, kReleased,
  kDrains, kDrainsUndone, kRanksToldToEnd, kNodesToldToEnd, kNodesEndedInOrder, kMovedOff, kFinishedWhileDraining, kDrainsCutShort, kHeirs,
  kPartitions, kFlaps, kLeadersAsleep, kGatewaysAsleep, kTakenUpElsewhere, kTakenUpFinished,
  kNewsTold, kNewsLost, kNewsMissed,
  kMovesAsked, kBlocksMoved, kMovesFailed, kMovesRefused, kMovesEndedByHolders, kMovesTimedOut, kMovesNotNeeded, kHoldersGone, kTakersGone,
  kBlocksDamaged, kBlocksForRoom, kLeasesExpired, kMoveLinksBroken, kMutedMoves, kStaleMoveWords, kFollowedByBlocks,
  kCount
};

}  // namespace herd::sim
