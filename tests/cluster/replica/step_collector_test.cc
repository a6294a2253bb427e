#include "cluster/replica/step_collector.h"

#include <gtest/gtest.h>

namespace herd::replica {
namespace {

using step::StepResult;

StepResult result(std::uint64_t step, std::uint32_t rank, std::uint64_t token_hash = 7) {
  StepResult result;
  result.epoch = Epoch(1);
  result.step = StepId(step);
  result.rank = rank;
  result.token_hash = token_hash;
  return result;
}

// Two ranks, steps 1 and 2 out.
struct StepCollectorOfTwoRanks : testing::Test {
  StepCollectorOfTwoRanks() {
    collector.on_plan_sent(StepId(1), Instant{1'000'000'000});
    collector.on_plan_sent(StepId(2), Instant{2'000'000'000});
  }
  std::size_t done(const StepResult& result) { return collector.on_result(result, now).value().size(); }
  StepCollector collector{Epoch(1), 2};
  Instant now{3'000'000'000};
};

TEST_F(StepCollectorOfTwoRanks, HandsOutAStepWhenAllRanksHaveDoneIt) {
  EXPECT_EQ(done(result(1, 1)), 0U);
  const auto results = collector.on_result(result(1, 0), now);
  ASSERT_EQ(results->size(), 1U);
  EXPECT_EQ((*results)[0].result.rank, 0U);
  EXPECT_FALSE(collector.idle());
}

TEST_F(StepCollectorOfTwoRanks, ABlockIsWrittenByAllRanksAndDamagedByAny) {
  StepResult first = result(1, 0), second = result(1, 1);
  first.blocks_written = 3;
  second.blocks_written = 2;
  first.damaged = {{TransferId(5), 2}};
  second.damaged = {{TransferId(5), 0}, {TransferId(5), 2}};
  EXPECT_EQ(done(second), 0U);
  const auto results = collector.on_result(first, now);
  ASSERT_EQ(results->size(), 1U);
  EXPECT_EQ((*results)[0].result.damaged, (std::vector<step::DamagedBlock>{{TransferId(5), 2}, {TransferId(5), 0}}));
  EXPECT_EQ((*results)[0].result.blocks_written, 2U);
}

TEST_F(StepCollectorOfTwoRanks, HandsOutStepsInOrder) {
  EXPECT_EQ(done(result(1, 0)), 0U);
  EXPECT_EQ(done(result(2, 0)), 0U);
  EXPECT_EQ(done(result(2, 1)), 0U);
  EXPECT_EQ(done(result(1, 1)), 2U);
  EXPECT_TRUE(collector.idle());
  EXPECT_EQ(collector.steps_done(), 2U);
}

// Sent at 1 s and 2 s, done at 3 s and 3.5 s; a third one is sent after a pause, at 10 s.
TEST_F(StepCollectorOfTwoRanks, CountsTheTimeOfStepsInFlightTogetherOnce) {
  EXPECT_EQ(done(result(1, 0)), 0U);
  EXPECT_EQ(collector.on_result(result(1, 1), now)->front().step_s, 2.0);
  EXPECT_EQ(done(result(2, 0)), 0U);
  now = Instant{3'500'000'000};
  EXPECT_EQ(collector.on_result(result(2, 1), now)->front().step_s, 0.5);
  collector.on_plan_sent(StepId(3), Instant{10'000'000'000});
  EXPECT_EQ(done(result(3, 0)), 0U);
  now = Instant{10'250'000'000};
  EXPECT_EQ(collector.on_result(result(3, 1), now)->front().step_s, 0.25);
}

TEST_F(StepCollectorOfTwoRanks, DropsRepeatsAndStrangers) {
  EXPECT_EQ(done(result(1, 0)), 0U);
  EXPECT_EQ(done(result(1, 0)), 0U);
  EXPECT_EQ(done(result(9, 1)), 0U);
  EXPECT_EQ(done(result(1, 2)), 0U);
  StepResult other_epoch = result(1, 1);
  other_epoch.epoch = Epoch(2);
  EXPECT_EQ(done(other_epoch), 0U);
  EXPECT_EQ(collector.stale_results(), 4U);
  EXPECT_EQ(done(result(1, 1)), 1U);
}

TEST_F(StepCollectorOfTwoRanks, NamesTheRankThatFailed) {
  StepResult failed = result(1, 1);
  failed.status = {StatusCode::kAborted, "collective deadline"};
  const auto results = collector.on_result(failed, now);
  ASSERT_FALSE(results.has_value());
  EXPECT_EQ(results.error().why.message(), "rank 1 failed step 1: collective deadline");
  EXPECT_EQ(results.error().cause, routing::LossCause::kOverdue);
}

TEST_F(StepCollectorOfTwoRanks, ARankThatFailsByItselfIsToBlame) {
  StepResult failed = result(1, 1);
  failed.status = {StatusCode::kInternal, "no"};
  const auto results = collector.on_result(failed, now);
  EXPECT_EQ(results.error().cause, routing::LossCause::kDiedOfItself);
  EXPECT_EQ(results.error().blamed, std::vector<std::uint32_t>{1});
}

TEST_F(StepCollectorOfTwoRanks, ARankThatGaveUpIsNotToBlame) {
  StepResult failed = result(1, 1);
  failed.status = {StatusCode::kAborted, "collective 3: rank 0 did not come"};
  EXPECT_TRUE(collector.on_result(failed, now).error().blamed.empty());
}

// What a rank answers after another has failed still counts as an answer, and never makes a step of failed ones done.
TEST_F(StepCollectorOfTwoRanks, SeesWhoAnswersAfterAFailure) {
  StepResult failed = result(1, 1);
  failed.status = {StatusCode::kAborted, "given up"};
  EXPECT_FALSE(collector.on_result(failed, now).has_value());
  EXPECT_EQ(collector.owing(), (std::vector<std::uint32_t>{0, 1})) << "step 2 is out too";
  failed.step = StepId(2);
  EXPECT_FALSE(collector.on_result(failed, now).has_value());
  EXPECT_EQ(collector.owing(), std::vector<std::uint32_t>{0});
  EXPECT_FALSE(collector.owes(1));
  EXPECT_EQ(done(result(1, 0)), 0U);
  EXPECT_EQ(done(result(2, 0)), 0U);
  EXPECT_TRUE(collector.owing().empty());
  EXPECT_FALSE(collector.idle());
}

TEST_F(StepCollectorOfTwoRanks, AStepThatAllDidBeforeTheFailureIsDone) {
  EXPECT_EQ(done(result(1, 0)), 0U);
  StepResult failed = result(2, 0);
  failed.status = {StatusCode::kAborted, "given up"};
  EXPECT_FALSE(collector.on_result(failed, now).has_value());
  EXPECT_EQ(done(result(1, 1)), 1U);
}

TEST_F(StepCollectorOfTwoRanks, OfTwoRanksWithOtherTokensNobodyKnowsWhich) {
  EXPECT_EQ(done(result(1, 0, 7)), 0U);
  const auto results = collector.on_result(result(1, 1, 8), now);
  ASSERT_FALSE(results.has_value());
  EXPECT_EQ(results.error().why.message(), "step 1: sampled tokens differ between ranks 0 1");
  EXPECT_EQ(results.error().cause, routing::LossCause::kTokensDiffer);
  EXPECT_EQ(results.error().blamed, (std::vector<std::uint32_t>{0, 1}));
}

TEST(StepCollectorOfThreeRanks, TheMajorityIsRight) {
  StepCollector collector(Epoch(1), 3);
  collector.on_plan_sent(StepId(1), Instant{1});
  EXPECT_TRUE(collector.on_result(result(1, 1, 7), Instant{2}).has_value());
  EXPECT_TRUE(collector.on_result(result(1, 2, 7), Instant{2}).has_value());
  const auto results = collector.on_result(result(1, 0, 8), Instant{2});
  ASSERT_FALSE(results.has_value());
  EXPECT_EQ(results.error().blamed, std::vector<std::uint32_t>{0}) << "rank 0 has no vote of its own";
  EXPECT_EQ(results.error().why.message(), "step 1: sampled tokens differ from most ranks' on rank 0");
}

TEST(StepCollectorOfThreeRanks, WithoutAMajorityItMayBeAny) {
  StepCollector collector(Epoch(1), 3);
  collector.on_plan_sent(StepId(1), Instant{1});
  EXPECT_TRUE(collector.on_result(result(1, 0, 1), Instant{2}).has_value());
  EXPECT_TRUE(collector.on_result(result(1, 1, 2), Instant{2}).has_value());
  EXPECT_EQ(collector.on_result(result(1, 2, 3), Instant{2}).error().blamed, (std::vector<std::uint32_t>{0, 1, 2}));
}

TEST_F(StepCollectorOfTwoRanks, NamesTheRankThatIsLate) {
  EXPECT_EQ(done(result(1, 0)), 0U);
  EXPECT_FALSE(collector.overdue(Instant{6'000'000'000}, 5.0));
  const auto late = collector.overdue(Instant{6'100'000'000}, 5.0);
  ASSERT_TRUE(late);
  EXPECT_EQ(late->why.message(), "step 1 is overdue on rank 1");
  EXPECT_EQ(late->blamed, std::vector<std::uint32_t>{1});
}

TEST_F(StepCollectorOfTwoRanks, AStepThatIsLateOnAllRanksHasNobodyToBlame) {
  const auto late = collector.overdue(Instant{6'100'000'000}, 5.0);
  ASSERT_TRUE(late);
  EXPECT_EQ(late->why.message(), "step 1 is overdue on ranks 0 1");
  EXPECT_TRUE(late->blamed.empty());
}

// Both steps were sent at once: the second could not begin before the first was done.
TEST_F(StepCollectorOfTwoRanks, AStepThatWasSentAheadHasItsTimeFromTheEndOfTheOneBefore) {
  EXPECT_EQ(done(result(1, 0)), 0U);
  now = Instant{5'900'000'000};
  EXPECT_EQ(done(result(1, 1)), 1U);
  EXPECT_FALSE(collector.overdue(Instant{10'800'000'000}, 5.0));
  EXPECT_TRUE(collector.overdue(Instant{11'000'000'000}, 5.0));
}

TEST_F(StepCollectorOfTwoRanks, TimeThatDidNotPassForRanksDoesNotMakeThemLate) {
  collector.restart_deadlines(Instant{100'000'000'000});
  EXPECT_FALSE(collector.overdue(Instant{105'000'000'000}, 5.0));
  EXPECT_TRUE(collector.overdue(Instant{105'100'000'000}, 5.0));
}

}  // namespace
}  // namespace herd::replica
