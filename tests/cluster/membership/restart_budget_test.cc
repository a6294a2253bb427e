#include "cluster/membership/restart_budget.h"

#include <gtest/gtest.h>

#include "tests/cluster/instants.h"

namespace herd::membership {
namespace {

TEST(RestartLog, TheFirstWaitsForNothingTheNextOnesLongerAndLonger) {
  RestartLog log({.restarts = 6, .window_s = 60, .backoff_s = 0.5, .backoff_max_s = 3});
  EXPECT_EQ(log.on_ended(at(1)), 0.0);
  EXPECT_EQ(log.on_ended(at(2)), 0.5);
  EXPECT_EQ(log.on_ended(at(3)), 1.0);
  EXPECT_EQ(log.on_ended(at(4)), 2.0);
  EXPECT_EQ(log.on_ended(at(5)), 3.0);
  EXPECT_EQ(log.on_ended(at(6)), 3.0);
  EXPECT_EQ(log.on_ended(at(7)), std::nullopt);
  EXPECT_EQ(log.ends(), 7U);
}

TEST(RestartLog, ForgetsWhatIsOlderThanTheWindow) {
  RestartLog log({.restarts = 2, .window_s = 10, .backoff_s = 0.5, .backoff_max_s = 3});
  EXPECT_EQ(log.on_ended(at(1)), 0.0);
  EXPECT_EQ(log.on_ended(at(5)), 0.5);
  EXPECT_EQ(log.on_ended(at(11.5)), 0.5) << "the first is forgotten";
  EXPECT_EQ(log.on_ended(at(30)), 0.0) << "all are";
}

TEST(RestartLog, SaysHowManyAreLeftAsOldOnesFadeAway) {
  RestartLog log({.restarts = 2, .window_s = 10});
  EXPECT_EQ(log.left(at(0)), 2U);
  (void)log.on_ended(at(1));
  EXPECT_EQ(log.left(at(1)), 1U);
  for (const double end : {5.0, 6.0}) (void)log.on_ended(at(end));
  EXPECT_EQ(log.left(at(6)), 0U) << "more than there were";
  EXPECT_EQ(log.left(at(11.5)), 0U);
  EXPECT_EQ(log.left(at(15.5)), 1U);
  EXPECT_EQ(log.left(at(17)), 2U);
}

TEST(RestartLog, AnEmptyBudgetAllowsNone) {
  RestartLog log({.restarts = 0});
  EXPECT_EQ(log.on_ended(at(1)), std::nullopt);
}

TEST(RestartBudget, ManyRestartsInAWindowFitIntoIt) {
  EXPECT_EQ(budget_of(3, 60).backoff_max_s, 5.0);
  EXPECT_EQ(budget_of(3, 60).backoff_s, 0.1);
  RestartLog log(budget_of(1000, 60));
  double waited_s = 0;
  for (int i = 0; i < 1000; ++i) waited_s += log.on_ended(at(0.01 * i)).value();
  EXPECT_LE(waited_s, 60.0);
  EXPECT_GT(waited_s, 50.0);
  EXPECT_EQ(budget_of(0, 60).restarts, 0U);
}

TEST(RestartLog, ManyEndsOverflowNothing) {
  RestartLog log({.restarts = 100'000, .window_s = 1e9, .backoff_s = 0.1, .backoff_max_s = 5});
  for (int i = 0; i < 5'000; ++i) ASSERT_LE(log.on_ended(at(i)).value(), 5.0);
}

TEST(RestartLog, AnotherBudgetHoldsFromTheNextEndOnAndWhatWasSpentStaysSpent) {
  RestartLog log({.restarts = 5, .window_s = 60});
  EXPECT_TRUE(log.on_ended(at(0)));
  EXPECT_TRUE(log.on_ended(at(1)));
  log.set_budget({.restarts = 2, .window_s = 60});
  EXPECT_FALSE(log.on_ended(at(2)));
  log.set_budget({.restarts = 1, .window_s = 5});
  EXPECT_TRUE(log.on_ended(at(20)));
}

}  // namespace
}  // namespace herd::membership
