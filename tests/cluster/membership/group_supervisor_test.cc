#include "cluster/membership/group_supervisor.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace herd::membership {
namespace {

using routing::LossCause;
using Ranks = std::vector<std::uint32_t>;

constexpr ReplicaId kReplica{3};

GroupSupervisorConfig config_of(std::uint32_t ranks, bool can_be_ended = false) {
  GroupSupervisorConfig config;
  config.replica = kReplica;
  config.ranks = ranks;
  config.ranks_can_be_ended = can_be_ended;
  config.budget = {.restarts = 3, .window_s = 60, .backoff_s = 0.5, .backoff_max_s = 5};
  return config;
}

const Status kDied(StatusCode::kAborted, "its thread ended");

// Every event's effects are left in `effects`.
struct GroupSupervisorTest : testing::Test {
  explicit GroupSupervisorTest(const GroupSupervisorConfig& config = config_of(2)) : supervisor(config), ranks(config.ranks) {}

  template <class Event>
  void act(Event event) {
    effects.clear();
    event();
    for (const WakeSupervisorAt& wake : all_of<WakeSupervisorAt>()) wakes_at = wake.at;
  }
  void ready(std::uint32_t rank, const Status& status = {}) {
    act([&] { supervisor.on_rank_ready(rank, status, now, effects); });
  }
  void rank_lost(std::uint32_t rank, const Status& why = kDied) {
    act([&] { supervisor.on_rank_lost(rank, why, now, effects); });
  }
  void leaving(std::uint32_t rank) {
    act([&] { supervisor.on_rank_leaving(rank, now, effects); });
  }
  void left(std::uint32_t rank) { left(rank, generation.epoch); }
  void left(std::uint32_t rank, Epoch epoch) {
    act([&] { supervisor.on_rank_left(rank, epoch, now, effects); });
  }
  void lost(LossCause cause = LossCause::kKilled, const Ranks& blamed = {}) { lost(generation, cause, blamed); }
  void lost(routing::ReplicaGeneration of, LossCause cause = LossCause::kKilled, const Ranks& blamed = {}) {
    act([&] {
      supervisor.on_generation_lost({of, cause, {StatusCode::kAborted, "replica 3: it broke"}, std::nullopt, blamed},
                                    {.operation_s = operation_s, .no_progress = cause == LossCause::kOverdue}, now, effects);
    });
  }
  void formed() {
    ++generation.epoch.value;
    act([&] { supervisor.on_formed(generation, now, effects); });
  }
  void serving() {
    act([&] { supervisor.on_serving(generation, now, effects); });
  }
  void timer() {
    wakes_at.reset();
    act([&] { supervisor.on_timer(now, progress, effects); });
  }
  void pass(double seconds) { now.ns += static_cast<std::int64_t>(seconds * 1e9); }
  // On the timer that it asks for, for so long, or until it says something else than when to wake it. The seconds that took.
  double wait(double seconds_max) {
    const Instant begin = now;
    while (wakes_at && seconds_between(begin, *wakes_at) <= seconds_max) {
      now = std::max(now, *wakes_at);
      timer();
      for (const SupervisorEffect& effect : effects)
        if (!std::holds_alternative<WakeSupervisorAt>(effect)) return seconds_between(begin, now);
    }
    return seconds_between(begin, now);
  }

  void serve() {
    act([&] { supervisor.on_start(now, effects); });
    for (std::uint32_t rank = 0; rank < ranks; ++rank) ready(rank);
    EXPECT_EQ(count<FormGroup>(), 1U);
    formed();
    serving();
    EXPECT_TRUE(supervisor.serving());
  }
  // From a loss on: all leave, join again, serve. The group is expected to form at once.
  void come_back() {
    for (std::uint32_t rank = 0; rank < ranks; ++rank) left(rank);
    ASSERT_EQ(count<FormGroup>(), 1U);
    formed();
    serving();
    ASSERT_TRUE(supervisor.serving());
  }

  template <class Effect>
  std::vector<Effect> all_of() const {
    std::vector<Effect> found;
    for (const SupervisorEffect& effect : effects)
      if (const auto* one = std::get_if<Effect>(&effect)) found.push_back(*one);
    return found;
  }
  template <class Effect>
  std::size_t count() const { return all_of<Effect>().size(); }
  template <class Effect>
  Ranks to() const {
    Ranks found;
    for (const Effect& effect : all_of<Effect>()) found.push_back(effect.rank);
    return found;
  }
  std::optional<Note> noted(NoteKind kind) const {
    for (const Note& note : all_of<Note>())
      if (note.kind == kind) return note;
    return std::nullopt;
  }
  void expect_given_up(const std::string& why) {
    ASSERT_EQ(count<GiveUp>(), 1U);
    EXPECT_EQ(std::get<GiveUp>(effects.back()).why.message(), why) << "and it is the last effect";
    EXPECT_EQ(noted(NoteKind::kGivenUp)->text, why);
    EXPECT_TRUE(supervisor.given_up());
    for (std::uint32_t rank = 0; rank < ranks; ++rank) {
      ready(rank);
      EXPECT_TRUE(effects.empty());
      rank_lost(rank);
      EXPECT_TRUE(effects.empty());
    }
    lost();
    EXPECT_TRUE(effects.empty());
    timer();
    EXPECT_TRUE(effects.empty());
  }

  GroupSupervisor supervisor;
  std::uint32_t ranks;
  SupervisorEffects effects;
  std::optional<Instant> wakes_at;  // as asked for last
  routing::ReplicaGeneration generation{kReplica, Epoch(100)};
  std::vector<Progress> progress = std::vector<Progress>(ranks, Progress{101, 12, 7, Operation::kMatmul});
  Instant now{1'000'000'000};
  double operation_s = 0.0;  // predicted of the steps of a generation that is lost
};

// The first start --------------------------------------------------------------------------------------------------------

TEST_F(GroupSupervisorTest, FormsAGroupOnceAllRanksAreThere) {
  act([&] { supervisor.on_start(now, effects); });
  EXPECT_EQ(to<StartRank>(), (Ranks{0, 1}));
  ready(1);
  EXPECT_TRUE(effects.empty());
  ready(1);
  EXPECT_TRUE(effects.empty());
  ready(0);
  ASSERT_EQ(effects.size(), 1U);
  EXPECT_TRUE(std::holds_alternative<FormGroup>(effects[0]));
  formed();
  serving();
  EXPECT_TRUE(effects.empty()) << "it did not come back: it came";
  EXPECT_TRUE(supervisor.serving());
}

TEST_F(GroupSupervisorTest, ARankThatCannotBeStartedTheFirstTimeSaysWhy) {
  act([&] { supervisor.on_start(now, effects); });
  ready(0, missing("no memory for rank 0"));
  EXPECT_EQ(all_of<GiveUp>().at(0).why, missing("replica 3: no memory for rank 0"));
  expect_given_up("replica 3: no memory for rank 0");
}

TEST_F(GroupSupervisorTest, ARankThatDiesInTheFirstStartIsNotStartedAgain) {
  act([&] { supervisor.on_start(now, effects); });
  ready(0);
  rank_lost(0);
  expect_given_up("replica 3: its thread ended");
}

TEST_F(GroupSupervisorTest, AGroupThatCannotBeFormedTheFirstTimeSaysWhy) {
  act([&] { supervisor.on_start(now, effects); });
  ready(0);
  ready(1);
  formed();
  lost();
  expect_given_up("replica 3: it broke");
}

TEST_F(GroupSupervisorTest, AFirstGroupThatWasStoppedFormsAgain) {
  act([&] { supervisor.on_start(now, effects); });
  ready(0);
  ready(1);
  formed();
  lost(LossCause::kStopped);
  come_back();
  EXPECT_FALSE(noted(NoteKind::kServing)) << "it had not served before";
}

// A loss -----------------------------------------------------------------------------------------------------------------

TEST_F(GroupSupervisorTest, FormsItsGroupAgainOfRanksThatKeepWhatTheyHave) {
  serve();
  lost();
  EXPECT_EQ(to<LeaveGroup>(), (Ranks{0, 1}));
  EXPECT_EQ(noted(NoteKind::kGenerationLost)->text, "replica 3 stops serving: replica 3: it broke");
  EXPECT_EQ(count<StartRank>(), 0U);
  EXPECT_FALSE(supervisor.serving());
  left(0);
  EXPECT_TRUE(effects.empty());
  pass(0.25);
  left(1);
  EXPECT_EQ(count<FormGroup>(), 1U);
  EXPECT_TRUE(noted(NoteKind::kForming));
  formed();
  pass(0.25);
  serving();
  ASSERT_TRUE(noted(NoteKind::kServing));
  EXPECT_EQ(noted(NoteKind::kServing)->pause_s, 0.5);
  EXPECT_EQ(noted(NoteKind::kServing)->text, "replica 3 serves again after a pause of 0.5 s");
}

TEST_F(GroupSupervisorTest, SaysWhetherAStepWasOverdueAndWhatIsLeftOfTheBudget) {
  serve();
  lost(LossCause::kStopped);
  EXPECT_FALSE(noted(NoteKind::kRestartSpent)) << "it was asked to";
  come_back();
  const Epoch served = generation.epoch;
  lost(LossCause::kOverdue);
  EXPECT_TRUE(noted(NoteKind::kGenerationLost)->overdue);
  EXPECT_EQ(noted(NoteKind::kGenerationLost)->epoch, served);
  ASSERT_TRUE(noted(NoteKind::kRestartSpent));
  const auto restarts = noted(NoteKind::kRestartSpent)->restarts;
  ASSERT_TRUE(restarts);
  const std::uint32_t left = restarts->left(now);
  come_back();
  lost(LossCause::kDiedOfItself);
  EXPECT_FALSE(noted(NoteKind::kGenerationLost)->overdue);
  EXPECT_EQ(noted(NoteKind::kRestartSpent)->restarts->left(now), left - 1);
}

TEST_F(GroupSupervisorTest, StartsOnlyTheRankThatDied) {
  serve();
  rank_lost(1);
  EXPECT_EQ(noted(NoteKind::kRankLost)->rank, 1U);
  EXPECT_EQ(count<StartRank>(), 0U) << "its group still stands";
  lost(LossCause::kDiedOfItself, {1});
  EXPECT_EQ(to<LeaveGroup>(), Ranks{0});
  EXPECT_EQ(to<StartRank>(), Ranks{1});
  ready(1);
  EXPECT_EQ(count<FormGroup>(), 0U) << "rank 0 has not left";
  left(0);
  EXPECT_EQ(count<FormGroup>(), 1U);
}

// The loss is told before the death that caused it.
TEST_F(GroupSupervisorTest, ARankMayTurnOutToBeGoneWhileItIsAskedToLeave) {
  serve();
  lost(LossCause::kDiedOfItself, {1});
  EXPECT_EQ(to<LeaveGroup>(), (Ranks{0, 1}));
  rank_lost(1);
  EXPECT_EQ(to<StartRank>(), Ranks{1});
  left(1);
  EXPECT_TRUE(effects.empty()) << "of its former life";
  left(0);
  EXPECT_TRUE(effects.empty());
  ready(1);
  EXPECT_EQ(count<FormGroup>(), 1U);
}

TEST_F(GroupSupervisorTest, ALossWhileOthersStillLeaveDoesNotCountTwice) {
  serve();
  lost();
  left(0);
  lost();
  EXPECT_TRUE(effects.empty()) << "a repeat";
  rank_lost(1);
  EXPECT_EQ(to<StartRank>(), Ranks{1});
  ready(1);
  EXPECT_EQ(count<FormGroup>(), 1U);
  formed();
  serving();
  for (int i = 0; i < 2; ++i) {
    lost();
    left(0);
    left(1);
    if (count<FormGroup>() == 0) wait(5);
    ASSERT_EQ(count<FormGroup>(), 1U) << "three losses are in the budget";
    formed();
    serving();
  }
}

TEST_F(GroupSupervisorTest, ARankThatWaitsForTheOthersMayDieToo) {
  serve();
  lost();
  left(0);
  rank_lost(0);
  EXPECT_EQ(count<StartRank>(), 0U) << "the second within the window: not at once";
  ASSERT_EQ(count<WakeSupervisorAt>(), 0U) << "it looks at rank 1, which leaves, before that";
  left(1);
  EXPECT_NEAR(wait(5), 0.5, 0.11);
  EXPECT_EQ(to<StartRank>(), Ranks{0});
  ready(0);
  EXPECT_EQ(count<FormGroup>(), 1U);
}

TEST_F(GroupSupervisorTest, ARankMayDieWhileTheGroupForms) {
  serve();
  lost();
  left(0);
  left(1);
  rank_lost(0);  // the generation has no name yet
  EXPECT_EQ(count<StartRank>(), 0U);
  lost();
  EXPECT_TRUE(effects.empty()) << "of the generation before";
  formed();
  lost(LossCause::kKilled, {0});
  EXPECT_EQ(to<LeaveGroup>(), Ranks{1});
  left(1);
  EXPECT_NEAR(wait(5), 0.5, 0.11);
  EXPECT_EQ(to<StartRank>(), Ranks{0});
  ready(0);
  EXPECT_EQ(count<FormGroup>(), 1U);
  formed();
  pass(0.5);
  serving();
  EXPECT_NEAR(noted(NoteKind::kServing)->pause_s, 1.0, 0.11) << "since it served last";
}

// The loss is heard of before the generation's number.
TEST_F(GroupSupervisorTest, ALossMayOvertakeTheNewsThatItsGenerationIsBeingMade) {
  serve();
  lost();
  left(0);
  left(1);
  generation.epoch.value += 1;
  lost();
  EXPECT_EQ(to<LeaveGroup>(), (Ranks{0, 1}));
  act([&] { supervisor.on_formed(generation, now, effects); });
  serving();
  EXPECT_FALSE(supervisor.serving());
}

TEST_F(GroupSupervisorTest, StaleNoticesChangeNothing) {
  serve();
  const auto first = generation;
  lost();
  come_back();
  lost(first);
  EXPECT_TRUE(effects.empty());
  lost({ReplicaId(4), generation.epoch});
  EXPECT_TRUE(effects.empty());
  act([&] { supervisor.on_serving(first, now, effects); });
  left(0, first.epoch);
  left(0);
  ready(0);
  ready(9);
  rank_lost(9);
  EXPECT_TRUE(effects.empty());
  EXPECT_TRUE(supervisor.serving());
  lost();
  left(0, first.epoch);
  left(1, first.epoch);
  EXPECT_EQ(count<FormGroup>(), 0U) << "they left the generation before";
}

TEST_F(GroupSupervisorTest, OneThatWasStoppedFormsAgainForNothing) {
  serve();
  for (int i = 0; i < 10; ++i) {
    lost(LossCause::kStopped);
    come_back();
  }
}

// Ranks that are told to end ----------------------------------------------------------------------------------------------

TEST_F(GroupSupervisorTest, ARankThatIsToldToEndIsStartedAgainBehindItsDrain) {
  serve();
  for (int i = 0; i < 10; ++i) {  // it costs nothing of the budget
    leaving(1);
    EXPECT_EQ(count<DrainGeneration>(), 1U);
    EXPECT_EQ(noted(NoteKind::kRankLeaves)->rank, 1U);
    leaving(1);
    EXPECT_TRUE(effects.empty()) << "it says so again";
    EXPECT_TRUE(supervisor.serving());
    lost(LossCause::kStopped);
    EXPECT_EQ(to<LeaveGroup>(), (Ranks{0, 1}));
    left(1);
    ASSERT_EQ(to<EndRank>(), Ranks{1});
    EXPECT_TRUE(all_of<EndRank>()[0].in_order);
    left(0);
    EXPECT_EQ(count<EndRank>(), 0U);
    rank_lost(1);
    EXPECT_EQ(to<StartRank>(), Ranks{1});
    ready(1);
    ASSERT_EQ(count<FormGroup>(), 1U);
    formed();
    EXPECT_EQ(count<DrainGeneration>(), 0U);
    serving();
    ASSERT_TRUE(supervisor.serving());
  }
}

TEST_F(GroupSupervisorTest, AllRanksMayBeToldToEndInOneDrain) {
  serve();
  leaving(0);
  leaving(1);
  lost(LossCause::kStopped);
  left(0);
  left(1);
  rank_lost(1);
  EXPECT_EQ(to<StartRank>(), Ranks{1});
  rank_lost(0);
  EXPECT_EQ(to<StartRank>(), Ranks{0});
  ready(0);
  ready(1);
  EXPECT_EQ(count<FormGroup>(), 1U);
}

// There is nothing to drain yet: the generation that is being formed drains once it is there.
TEST_F(GroupSupervisorTest, ARankThatIsToldToEndWhileItsGroupFormsDrainsItThen) {
  serve();
  lost();
  left(0);
  left(1);
  ASSERT_EQ(count<FormGroup>(), 1U);
  leaving(0);
  EXPECT_EQ(count<DrainGeneration>(), 0U);
  formed();
  EXPECT_EQ(count<DrainGeneration>(), 1U);
}

TEST_F(GroupSupervisorTest, ARankInNoGroupIsEndedAtOnce) {
  serve();
  lost();
  left(0);
  leaving(0);
  EXPECT_EQ(to<EndRank>(), Ranks{0});
  left(1);
  EXPECT_EQ(count<FormGroup>(), 0U);
  rank_lost(0);
  EXPECT_EQ(to<StartRank>(), Ranks{0});
  leaving(0);
  EXPECT_EQ(to<EndRank>(), Ranks{0}) << "it loads";
}

TEST_F(GroupSupervisorTest, ARankThatDiesWhileItDrainsIsADeathAsAnyOther) {
  serve();
  leaving(1);
  rank_lost(1);
  lost();
  EXPECT_EQ(to<LeaveGroup>(), Ranks{0});
  EXPECT_EQ(to<StartRank>(), Ranks{1});
  ready(1);
  left(0);
  ASSERT_EQ(count<FormGroup>(), 1U);
  formed();
  EXPECT_EQ(count<DrainGeneration>(), 0U);
}

TEST_F(GroupSupervisorTest, NothingIsStartedOnceItStops) {
  serve();
  act([&] { supervisor.on_stop(effects); });
  rank_lost(1);
  EXPECT_TRUE(effects.empty());
  lost();
  EXPECT_TRUE(effects.empty());
  timer();
  EXPECT_TRUE(effects.empty());
  EXPECT_FALSE(supervisor.given_up());
}

// The budget -------------------------------------------------------------------------------------------------------------

TEST_F(GroupSupervisorTest, ALossTooMuchGivesTheReplicaUp) {
  serve();
  for (int i = 0; i < 3; ++i) {
    lost();
    left(0);
    left(1);
    if (count<FormGroup>() == 0) wait(5);
    ASSERT_EQ(count<FormGroup>(), 1U);
    formed();
    serving();
  }
  lost();
  EXPECT_EQ(count<LeaveGroup>(), 0U);
  expect_given_up(
      "replica 3 is given up: it was lost 4 times within 60 s (3 restarts are allowed). The last time: replica 3: it broke");
}

TEST_F(GroupSupervisorTest, LossesThatAreRareGoOnForEver) {
  serve();
  for (int i = 0; i < 20; ++i) {
    lost();
    come_back();
    pass(61);
  }
}

TEST_F(GroupSupervisorTest, ARankThatCannotBeStartedAgainSpendsTheBudget) {
  serve();
  rank_lost(1);
  lost();
  EXPECT_EQ(to<StartRank>(), Ranks{1});
  left(0);
  ready(1, missing("no memory"));
  EXPECT_EQ(count<StartRank>(), 0U);
  EXPECT_NEAR(wait(5), 0.5, 0.11);
  EXPECT_EQ(to<StartRank>(), Ranks{1});
  ready(1, missing("no memory"));
  EXPECT_NEAR(wait(5), 1.0, 0.11) << "longer and longer";
  EXPECT_EQ(to<StartRank>(), Ranks{1});
  rank_lost(1);
  EXPECT_EQ(count<GiveUp>(), 1U);
  expect_given_up(
      "replica 3 is given up: it was lost 4 times within 60 s (3 restarts are allowed). The last time: rank 1: its thread ended");
}

TEST_F(GroupSupervisorTest, ASecondLossIsNotFormedAtOnce) {
  serve();
  lost();
  come_back();
  lost();
  left(0);
  left(1);
  EXPECT_EQ(count<FormGroup>(), 0U);
  EXPECT_NEAR(wait(5), 0.5, 0.11);
  EXPECT_EQ(count<FormGroup>(), 1U);
}

// Tokens that differ -----------------------------------------------------------------------------------------------------

TEST_F(GroupSupervisorTest, OfTwoRanksWhoseTokensDifferTwiceBothReadTheirWeightsAgain) {
  serve();
  lost(LossCause::kTokensDiffer, {0, 1});
  EXPECT_EQ(noted(NoteKind::kTokensDiffer)->text,
            "replica 3: rank 0 sampled other tokens than another rank; the next time it reads its weights anew");
  come_back();
  lost(LossCause::kTokensDiffer, {0, 1});
  EXPECT_EQ(noted(NoteKind::kTokensDiffer)->text,
            "replica 3: rank 0 sampled other tokens than another rank, again: it is ended and reads its weights anew");
  left(0);
  EXPECT_EQ(to<EndRank>(), Ranks{0});
  rank_lost(0);
  left(1);
  EXPECT_EQ(to<EndRank>(), Ranks{1});
  rank_lost(1);
  wait(5);
  EXPECT_EQ(to<StartRank>(), (Ranks{0, 1}));
  for (const StartRank& start : all_of<StartRank>()) EXPECT_TRUE(start.read_weights_again);
  ready(0);
  ready(1);
  EXPECT_EQ(count<FormGroup>(), 1U);
  formed();
  serving();
  pass(100);
  rank_lost(1);
  lost();
  EXPECT_FALSE(all_of<StartRank>().at(0).read_weights_again) << "it has";
}

struct GroupOfThree : GroupSupervisorTest {
  GroupOfThree() : GroupSupervisorTest(config_of(3)) {}
};

TEST_F(GroupOfThree, OnlyTheRankThatDiffersTwiceReadsItsWeightsAgain) {
  serve();
  lost(LossCause::kTokensDiffer, {2});
  come_back();
  pass(100);
  lost(LossCause::kTokensDiffer, {0});
  come_back();
  pass(100);
  lost(LossCause::kTokensDiffer, {2});
  left(0);
  left(1);
  EXPECT_TRUE(to<EndRank>().empty());
  left(2);
  EXPECT_EQ(to<EndRank>(), Ranks{2});
  rank_lost(2);
  ASSERT_EQ(to<StartRank>(), Ranks{2});
  EXPECT_TRUE(all_of<StartRank>()[0].read_weights_again);
}

TEST_F(GroupOfThree, ARankThatDiesBeforeItCouldBeEndedReadsItsWeightsAgainToo) {
  serve();
  lost(LossCause::kTokensDiffer, {2});
  come_back();
  pass(100);
  lost(LossCause::kTokensDiffer, {2});
  rank_lost(2);
  ASSERT_EQ(to<StartRank>(), Ranks{2});
  EXPECT_TRUE(all_of<StartRank>()[0].read_weights_again);
  pass(100);
  ready(2, missing("no such file"));
  ASSERT_EQ(to<StartRank>(), Ranks{2});
  EXPECT_TRUE(all_of<StartRank>()[0].read_weights_again) << "it still has to";
}

// Ranks that do not leave ------------------------------------------------------------------------------------------------

TEST_F(GroupSupervisorTest, AThreadThatDoesNotLeaveGivesTheReplicaUp) {
  serve();
  lost(LossCause::kOverdue, {1});
  left(0);
  EXPECT_NEAR(wait(10), 1.6, 0.11) << "as the first suspicion";
  EXPECT_EQ(noted(NoteKind::kRankHangs)->rank, 1U);
  expect_given_up(
      "replica 3: rank 1 has made no progress for 1.5 s in matmul (operation 7 of step 12) and does not leave its group; a thread "
      "cannot be ended, so the replica cannot come back");
}

TEST_F(GroupSupervisorTest, AThreadThatEndsLateComesBack) {
  serve();
  lost(LossCause::kOverdue, {1});
  left(0);
  EXPECT_NEAR(wait(1.3), 1.3, 0.05);
  progress[1].number = 8;
  EXPECT_NEAR(wait(1.3), 1.3, 0.05) << "it moves";
  left(1);
  EXPECT_EQ(count<FormGroup>(), 1U);
}

TEST_F(GroupSupervisorTest, ALongOperationIsGivenItsTime) {
  operation_s = 2.0;
  serve();
  progress[1].operation = Operation::kMatmul;
  lost(LossCause::kOverdue, {1});
  left(0);
  EXPECT_NEAR(wait(20), 8.0, 0.2);
  EXPECT_TRUE(supervisor.given_up());
}

// It has nothing to finish: a plan's long operations are no reason to wait for it.
TEST_F(GroupSupervisorTest, ARankThatIsIdleOrInACollectiveIsNotGivenAnOperationsTime) {
  operation_s = 2.0;
  for (const Operation operation : {Operation::kIdle, Operation::kCollective}) {
    GroupSupervisor fresh(config_of(2));
    std::swap(supervisor, fresh);
    serve();
    progress[1].operation = operation;
    lost(LossCause::kOverdue, {1});
    left(0);
    EXPECT_NEAR(wait(20), 1.5, 0.2);
    EXPECT_TRUE(supervisor.given_up());
  }
}

TEST_F(GroupSupervisorTest, ASuspicionIsNotedThoughTheRankComesBack) {
  serve();
  lost(LossCause::kOverdue, {1});
  EXPECT_EQ(noted(NoteKind::kRankSuspected)->rank, 1U);
  EXPECT_EQ(noted(NoteKind::kRankSuspected)->text, "replica 3: it broke");
  EXPECT_FALSE(noted(NoteKind::kRankHangs));
  come_back();
  now.ns += 61'000'000'000;  // no backoff
  lost(LossCause::kOverdue, {});
  EXPECT_TRUE(noted(NoteKind::kRankSuspected)) << "though it is not known which";
  EXPECT_FALSE(noted(NoteKind::kRankSuspected)->rank);
  come_back();
  now.ns += 61'000'000'000;  // no backoff
  lost(LossCause::kDiedOfItself, {1});
  EXPECT_FALSE(noted(NoteKind::kRankSuspected));
}

// One suspicion, whether its group was given up for it or for another's death.
TEST_F(GroupSupervisorTest, ARankThatDoesNotLeaveIsSuspectedOnce) {
  serve();
  lost(LossCause::kOverdue, {1});
  left(0);
  wait(20);
  EXPECT_TRUE(noted(NoteKind::kRankHangs));
  EXPECT_FALSE(noted(NoteKind::kRankSuspected)) << "said when its group was lost";
}

TEST_F(GroupSupervisorTest, ARankThatHangsWhenAnotherDiedIsSuspectedThen) {
  serve();
  lost(LossCause::kKilled);
  left(0);
  wait(20);
  EXPECT_EQ(noted(NoteKind::kRankSuspected)->rank, 1U);
}

// Nothing else would ever end the wait for it.
TEST_F(GroupSupervisorTest, ARankThatIsStartedAgainAndNeverReadyIsGivenUp) {
  serve();
  rank_lost(1);
  lost();
  left(0);
  EXPECT_NEAR(wait(3600), 600.0, 1.0);
  expect_given_up("replica 3: rank 1 was started again and is not ready after 600 s");
}

TEST_F(GroupSupervisorTest, APauseOfTheWholeProcessIsNoTimeThatARankHadToStart) {
  serve();
  rank_lost(1);
  lost();
  left(0);
  EXPECT_NEAR(wait(100), 100.0, 1.5);
  pass(550);
  EXPECT_NEAR(wait(400), 400.0, 1.5);
  EXPECT_FALSE(supervisor.given_up());
  EXPECT_NEAR(wait(3600), 100.0, 3.0);
  expect_given_up("replica 3: rank 1 was started again and is not ready after 600 s");
}

TEST_F(GroupSupervisorTest, ARankThatIsToldToEndAndDoesNotIsGivenUp) {
  serve();
  for (int time = 0; time < 2; ++time) {
    lost(LossCause::kTokensDiffer, {1});
    if (time == 0) come_back();
  }
  left(0);
  left(1);
  EXPECT_EQ(to<EndRank>(), Ranks{1});
  EXPECT_NEAR(wait(3600), 60.0, 1.0);
  expect_given_up("replica 3: rank 1 was told to end and is still there after 60 s");
}

TEST_F(GroupSupervisorTest, APauseOfTheWholeProcessIsNobodysFault) {
  serve();
  lost();
  left(0);
  EXPECT_NEAR(wait(1.3), 1.3, 0.05);
  pass(1000);
  EXPECT_NEAR(wait(1.3), 1.3, 0.05);
  EXPECT_FALSE(supervisor.given_up());
}

// The group was aborted: a rank that sits in a collective waits for nobody.
TEST_F(GroupSupervisorTest, ARankThatStaysInACollectiveIsTheOneThatHangs) {
  serve();
  progress[0] = {101, 12, 40, Operation::kIdle};
  progress[1].operation = Operation::kCollective;
  lost(LossCause::kOverdue, {});
  left(0);
  wait(10);
  EXPECT_EQ(noted(NoteKind::kRankHangs)->rank, 1U);
}

struct GroupOfProcesses : GroupSupervisorTest {
  GroupOfProcesses() : GroupSupervisorTest(config_of(2, true)) {}
};

TEST_F(GroupOfProcesses, AProcessThatIsOverdueIsEndedAtOnce) {
  serve();
  lost(LossCause::kOverdue, {1});
  EXPECT_EQ(to<EndRank>(), Ranks{1});
  EXPECT_EQ(to<LeaveGroup>(), Ranks{0});
  EXPECT_EQ(noted(NoteKind::kRankHangs)->rank, 1U);
  left(1);
  EXPECT_TRUE(effects.empty()) << "too late";
  left(0);
  rank_lost(1);
  EXPECT_EQ(to<StartRank>(), Ranks{1});
  ready(1);
  EXPECT_EQ(count<FormGroup>(), 1U);
}

TEST_F(GroupOfProcesses, AProcessThatDoesNotLeaveIsEndedAndStartedAgain) {
  serve();
  lost(LossCause::kOverdue);  // it is not known which of them
  EXPECT_EQ(to<LeaveGroup>(), (Ranks{0, 1}));
  left(0);
  wait(10);
  EXPECT_TRUE(noted(NoteKind::kRankHangs));
  EXPECT_EQ(to<EndRank>(), Ranks{1});
  left(1);
  EXPECT_TRUE(effects.empty()) << "too late";
  rank_lost(1);
  EXPECT_EQ(to<StartRank>(), Ranks{1});
  ready(1);
  EXPECT_EQ(count<FormGroup>(), 1U);
}

// Nobody waits for the answer: a rank that is killed while it loads for the first time costs no replica.
struct GroupThatKeepsTrying : GroupSupervisorTest {
  GroupThatKeepsTrying() : GroupSupervisorTest(config()) {}
  static GroupSupervisorConfig config() {
    GroupSupervisorConfig config = config_of(2, true);
    config.keeps_trying = true;
    return config;
  }
};

TEST_F(GroupThatKeepsTrying, ARankThatDiesInTheFirstStartIsStartedAgain) {
  act([&] { supervisor.on_start(now, effects); });
  EXPECT_EQ(to<StartRank>(), (Ranks{0, 1}));
  ready(0);
  rank_lost(1);
  EXPECT_EQ(to<StartRank>(), Ranks{1});
  ready(1);
  EXPECT_EQ(count<FormGroup>(), 1U);
  formed();
  lost();
  left(0);
  left(1);
  wait(10);
  EXPECT_EQ(count<FormGroup>(), 1U) << "a first generation that is lost before it served is formed again";
}

TEST_F(GroupThatKeepsTrying, TheBudgetCountsFromTheFirstStartOn) {
  act([&] { supervisor.on_start(now, effects); });
  ready(0);
  for (int start = 1; start <= 3; ++start) {
    ready(1, missing("no memory"));
    if (start > 1) wait(10);
    EXPECT_EQ(to<StartRank>(), Ranks{1}) << start;
  }
  ready(1, missing("no memory"));
  expect_given_up("replica 3 is given up: it was lost 4 times within 60 s (3 restarts are allowed). The last time: rank 1: no memory");
}

TEST_F(GroupThatKeepsTrying, ARankThatFailsSlowlyBeforeItEverServedIsGivenUpToo) {
  act([&] { supervisor.on_start(now, effects); });
  ready(0);
  for (int start = 1; start <= 3; ++start) {
    wait(100);
    ready(1, missing("no memory"));
    EXPECT_EQ(to<StartRank>(), Ranks{1}) << start;
  }
  wait(100);
  ready(1, missing("no memory"));
  expect_given_up("replica 3 is given up: it ended 4 times before it ever served (3 restarts are allowed). The last time: rank 1: no "
                  "memory");
}

TEST_F(GroupThatKeepsTrying, ARankThatIsNeverReadyIsGivenUpInTheFirstStartToo) {
  act([&] { supervisor.on_start(now, effects); });
  ready(0);
  wait(1e6);
  EXPECT_TRUE(supervisor.given_up());
}

TEST_F(GroupOfProcesses, AllOfThemMayHang) {
  serve();
  lost(LossCause::kOverdue);
  wait(10);
  const Ranks first = to<EndRank>();
  wait(10);
  const Ranks second = to<EndRank>();
  ASSERT_EQ(first.size() + second.size(), 2U);
  EXPECT_NE(first, second);
  rank_lost(0);
  rank_lost(1);
  EXPECT_EQ(to<StartRank>(), Ranks{1});
}

}  // namespace
}  // namespace herd::membership
