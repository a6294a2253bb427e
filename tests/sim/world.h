#pragma once
// World: what every part of the simulation shares: virtual time, the seed's random numbers, the first broken promise, a
// hash over all that clients saw, and how often each thing worth testing has happened.

#include <array>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <random>
#include <string>

#include "tests/sim/event_loop.h"
#include "tests/sim/sim_options.h"

namespace herd::sim {

// What the seeds must reach; sim_test.cc says how often.
enum class Reached : std::uint8_t {
  kFinished, kRefusedQueue, kRefusedQuota, kRefusedDeadline, kRefusedNowhere, kLate, kTimedOut, kFailed, kSlow, kGone,
  kShutdown, kTokens, kPromptLogprobs, kChoicesStopped, kLeadersKilled, kRanksKilled, kDiedOfThemselves, kFailedSteps,
  kTokensDiffer, kOverdue, kStopped, kFailedStarts, kPoisonDeaths, kPoisonCondemned, kNotFinite,
  kGatewaysCrashed, kGatewaysStopped, kCoordinatorSilences, kCoordinatorRestarts, kRollingRestarts,
  kGivenUp, kMoves, kStreamsMovedOften, kParkedLong, kRefusedByReplica, kSuspectsAlone, kStaleDeltas, kDuplicateDeltas,
  kSubmissionsRepeated, kStaleResults, kStaleViews, kPreemptions, kHeldBack, kOvertaken, kResumed,
  kHangs, kLateSteps, kDeathsInCollectives, kSkippedCollectives, kCollectivesGivenUp, kPauses, kFailedJoins, kRanksLostBetween,
  kWeightsReadAgain, kRanksDidNotLeave, kLateRankNamed, kFormedAgain, kProcessesEnded,
  kNodesKilled, kMachinesLost, kNodesAsleep, kCutsBoth, kCutsOneWay, kResets, kSilentLinks, kLinksLost, kPeersClosed,
  kJoinedServing, kGatewaysJoinedTwice, kSentNowhere, kFormedWithoutLeader, kNodesGivenUp, kPlacedElsewhere, kReleased,
  kCount
};

class World {
 public:
  explicit World(const SimOptions& of_seed);

  const SimOptions options;
  EventLoop loop;
  std::mt19937_64 random;

  [[nodiscard]] Instant now() const { return loop.now(); }
  [[nodiscard]] std::uint64_t below(std::uint64_t bound) { return random() % bound; }
  [[nodiscard]] std::int64_t us_up_to(std::int64_t max) {  // [1, max]
    return 1 + static_cast<std::int64_t>(below(static_cast<std::uint64_t>(max)));
  }
  [[nodiscard]] bool percent(std::uint32_t share) { return share > 0 && below(100) < share; }

  // One line of the story, when somebody wants to hear it (sim_tests --seed N --tell 1).
  static inline bool tells = false;
  void tell(const std::string& what) const;

  // Keeps the first.
  void violate(const std::string& what);
  [[nodiscard]] const std::optional<std::string>& violation() const { return violation_; }

  void trace(std::initializer_list<std::uint64_t> seen);
  [[nodiscard]] std::uint64_t trace_hash() const { return trace_hash_; }

  void reach(Reached what, std::uint64_t times = 1) { reached_[static_cast<std::size_t>(what)] += times; }
  using Coverage = std::array<std::uint64_t, static_cast<std::size_t>(Reached::kCount)>;
  [[nodiscard]] const Coverage& coverage() const { return reached_; }

  // Faults still come. Afterwards nothing breaks any more.
  bool healed = false;
  // All the work of this seed, done by one replica, one row a step, everything computed again after every token: no
  // request that had a whole replica for so long can be late.
  std::int64_t work_us = 0;

 private:
  std::optional<std::string> violation_;
  std::uint64_t trace_hash_ = 0;
  Coverage reached_{};
};

}  // namespace herd::sim
