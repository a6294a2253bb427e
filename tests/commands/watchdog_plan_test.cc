#include "commands/watchdog_plan.h"

#include <gtest/gtest.h>

namespace herd::commands {
namespace {

constexpr std::int64_t kMicro = 1000;  // ns

TEST(WatchdogPlan, OwesNothingToNobody) {
  WatchdogPlan plan(std::nullopt, {5});
  EXPECT_EQ(plan.due(), WatchdogPlan::kNever);
  EXPECT_FALSE(plan.take({1'000'000'000}));
}

TEST(WatchdogPlan, OwesASignAtOnceAndThenEveryHalfInterval) {
  WatchdogPlan plan(1000, {7 * kMicro});
  EXPECT_EQ(plan.due(), Instant{7 * kMicro});
  EXPECT_TRUE(plan.take({7 * kMicro}));
  EXPECT_EQ(plan.due(), Instant{507 * kMicro});
  EXPECT_FALSE(plan.take({506 * kMicro})) << "a loop that turns often says no more";
  EXPECT_TRUE(plan.take({507 * kMicro}));
  EXPECT_EQ(plan.due(), Instant{1007 * kMicro});
}

TEST(WatchdogPlan, ALoopThatCameLateOwesOneSign) {
  WatchdogPlan plan(1000, {0});
  EXPECT_TRUE(plan.take({0}));
  EXPECT_TRUE(plan.take({90'000 * kMicro}));
  EXPECT_FALSE(plan.take({90'000 * kMicro}));
  EXPECT_EQ(plan.due(), Instant{90'500 * kMicro});
}

TEST(WatchdogPlan, AnIntervalOfAgesFitsTheClock) {
  WatchdogPlan plan(std::numeric_limits<std::int64_t>::max(), {1'000'000});
  EXPECT_TRUE(plan.take({1'000'000}));
  EXPECT_GT(plan.due(), Instant{1'000'000});
}

}  // namespace
}  // namespace herd::commands
