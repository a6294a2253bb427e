#include "observability/recent_events.h"

#include <gtest/gtest.h>

#include <string>

namespace herd::observability {
namespace {

class RecentEventsTest : public testing::Test {
 protected:
  std::int64_t now_ = 1000;
  RecentEvents events_{[this] { return now_; }};
};

TEST_F(RecentEventsTest, TheNewestComesFirstAndTheOldestGoes) {
  for (std::size_t i = 0; i < RecentEvents::kEventsMax + 7; ++i) events_.add(LogLevel::kInfo, "event " + std::to_string(i));
  const auto list = events_.newest_first();
  ASSERT_EQ(list.size(), RecentEvents::kEventsMax);
  EXPECT_EQ(list.front().what, "event 56");
  EXPECT_EQ(list.back().what, "event 7");
  EXPECT_EQ(list.front().number, 57U);
}

TEST_F(RecentEventsTest, WhatIsSaidAgainSoonIsOneEventThatCounts) {
  events_.add(LogLevel::kWarning, "refused", 3);
  events_.add(LogLevel::kInfo, "other");
  now_ += RecentEvents::kAgain_s;
  events_.add(LogLevel::kWarning, "refused", 2);
  auto list = events_.newest_first();
  ASSERT_EQ(list.size(), 2U);
  EXPECT_EQ(list[0], (RecentEvent{.number = 3, .at = 1010, .times = 5, .level = LogLevel::kWarning, .what = "refused"}));
  events_.add(LogLevel::kError, "refused");
  EXPECT_EQ(events_.newest_first().size(), 3U) << "of another level";
  now_ += RecentEvents::kAgain_s + 1;
  events_.add(LogLevel::kWarning, "refused");
  list = events_.newest_first();
  ASSERT_EQ(list.size(), 4U);
  EXPECT_EQ(list[0].times, 1U) << "later it is news";
}

TEST_F(RecentEventsTest, TextsAreValidAndBounded) {
  events_.add(LogLevel::kInfo, "a\xFFz");
  EXPECT_EQ(events_.newest_first()[0].what, "a\xEF\xBF\xBDz");
  std::string umlauts;
  for (int i = 0; i < 400; ++i) umlauts += "\xC3\xA4";
  events_.add(LogLevel::kInfo, "x" + umlauts);
  EXPECT_EQ(events_.newest_first()[0].what, "x" + umlauts.substr(0, 298)) << "no half character at the end";
}

}  // namespace
}  // namespace herd::observability
