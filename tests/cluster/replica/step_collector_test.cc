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
  EXPECT_EQ(collector.on_result(failed, now).error().cause, routing::LossCause::kDiedOfItself);
}

TEST_F(StepCollectorOfTwoRanks, NamesTheRankWithOtherTokens) {
  EXPECT_EQ(done(result(1, 0, 7)), 0U);
  const auto results = collector.on_result(result(1, 1, 8), now);
  ASSERT_FALSE(results.has_value());
  EXPECT_EQ(results.error().why.message(), "step 1: sampled tokens differ from rank 0's on rank 1");
  EXPECT_EQ(results.error().cause, routing::LossCause::kTokensDiffer);
}

TEST_F(StepCollectorOfTwoRanks, NamesTheRankThatIsLate) {
  EXPECT_EQ(done(result(1, 0)), 0U);
  EXPECT_EQ(collector.overdue_at(5.0), Instant{6'000'000'001});
  EXPECT_TRUE(collector.check_deadline(Instant{6'000'000'000}, 5.0).ok());
  EXPECT_EQ(collector.check_deadline(Instant{6'000'000'001}, 5.0).message(), "step 1 is overdue on rank 1");
}

}  // namespace
}  // namespace herd::replica
