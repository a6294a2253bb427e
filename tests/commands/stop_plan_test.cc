#include "commands/stop_plan.h"

#include <gtest/gtest.h>

namespace herd::commands {
namespace {

constexpr std::int64_t kSecond = 1'000'000'000;
constexpr std::int64_t kEnding = static_cast<std::int64_t>(StopPlan::kEnding_s * 1e9);

TEST(StopPlan, NobodyEndsAServerThatWasNotToldTo) {
  const StopPlan plan(30);
  EXPECT_FALSE(plan.told());
  EXPECT_EQ(plan.last_resort(), std::nullopt);
}

TEST(StopPlan, EndsAtMostASecondAfterTheTimeToDrain) {
  StopPlan plan(30);
  plan.on_signal({5 * kSecond});
  EXPECT_TRUE(plan.told());
  EXPECT_EQ(plan.ending_at(), Instant{35 * kSecond});
  EXPECT_EQ(plan.last_resort(), Instant{35 * kSecond + kEnding});
  EXPECT_LT(kEnding, kSecond);
}

TEST(StopPlan, TheSecondSignalEndsAtOnceAndLaterOnesChangeNothing) {
  StopPlan plan(30);
  plan.on_signal({5 * kSecond});
  plan.on_signal({7 * kSecond});
  EXPECT_EQ(plan.last_resort(), Instant{7 * kSecond + kEnding});
  plan.on_signal({8 * kSecond});
  plan.on_fault({9 * kSecond});
  EXPECT_EQ(plan.last_resort(), Instant{7 * kSecond + kEnding}) << "a third does not put it off";
}

TEST(StopPlan, AFaultLeavesNothingToDrain) {
  StopPlan plan(30);
  plan.on_fault({2 * kSecond});
  EXPECT_EQ(plan.last_resort(), Instant{2 * kSecond + kEnding});
  StopPlan draining(30);
  draining.on_signal({1 * kSecond});
  draining.on_fault({2 * kSecond});
  EXPECT_EQ(draining.last_resort(), Instant{2 * kSecond + kEnding});
}

// --shutdown-timeout 0, and numbers that no clock holds.
TEST(StopPlan, TakesAnyNumberOfSeconds) {
  StopPlan none(0);
  none.on_signal({kSecond});
  EXPECT_EQ(none.ending_at(), Instant{kSecond});
  for (const double seconds : {1e30, 1e10}) {
    StopPlan ages(seconds);
    ages.on_signal({kSecond});
    EXPECT_GT(*ages.last_resort(), Instant{1'000'000 * kSecond}) << seconds;
  }
  StopPlan negative(-5);
  negative.on_signal({kSecond});
  EXPECT_EQ(negative.ending_at(), Instant{kSecond});
}

TEST(StopPlan, AnotherTimeToDrainIsForASignalThatIsStillToCome) {
  StopPlan plan(30);
  plan.set_drain(5);
  plan.on_signal({kSecond});
  EXPECT_EQ(plan.ending_at(), Instant{6 * kSecond});
  plan.set_drain(60);
  EXPECT_EQ(plan.ending_at(), Instant{6 * kSecond});
}

}  // namespace
}  // namespace herd::commands
