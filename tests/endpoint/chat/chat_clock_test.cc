// Days and times of the clock that templates are told.
#include "endpoint/chat/chat_clock.h"

#include <gtest/gtest.h>

namespace herd::chat {
namespace {

using Parts = std::vector<int>;

Parts parts(UnixSeconds seconds) {
  const jinja::CivilTime time = civil_time(seconds);
  return {time.year, time.month, time.day, time.hour, time.minute, time.second, time.weekday, time.day_of_year};
}

// Expected values: Python's datetime.fromtimestamp(…, UTC).
TEST(ChatClock, TellsTheCalendarsTime) {
  EXPECT_EQ(parts(0), (Parts{1970, 1, 1, 0, 0, 0, 4, 1}));
  EXPECT_EQ(parts(1'741'359'845), (Parts{2025, 3, 7, 15, 4, 5, 5, 66}));
  EXPECT_EQ(parts(1'709'251'199), (Parts{2024, 2, 29, 23, 59, 59, 4, 60}));
  EXPECT_EQ(parts(1'735'689'599), (Parts{2024, 12, 31, 23, 59, 59, 2, 366}));
  EXPECT_EQ(parts(-1), (Parts{1969, 12, 31, 23, 59, 59, 3, 365}));
}

TEST(ChatClock, EndsWithItsFirstAndLastYear) {
  EXPECT_EQ(civil_time(INT64_MAX).year, 9999);
  EXPECT_EQ(civil_time(INT64_MIN).year, 1);
}

TEST(ChatClock, ReadsDaysAndTimes) {
  EXPECT_EQ(*parse_chat_date("2025-03-07"), 1'741'305'600);
  EXPECT_EQ(*parse_chat_date("07 Mar 2025"), 1'741'305'600);
  EXPECT_EQ(*parse_chat_date("2025-03-07T15:04:05"), 1'741'359'845);
  EXPECT_EQ(*parse_chat_date("1970-01-01"), 0);
  EXPECT_EQ(date_string(*parse_chat_date("2024-07-26")), "26 Jul 2024");
  EXPECT_EQ(date_string(*parse_chat_date("0005-11-01")), "01 Nov 0005");
}

TEST(ChatClock, RefusesWhatIsNoDay) {
  for (const char* text : {"", "today", "2025-3-7", "2025-02-29", "2025-13-01", "0000-01-01", "07 March 2025", "7 Mar 2025", "32 Mar 2025",
                           "2025-03-07 15:04:05", "2025-03-07T24:00:00", "2025-03-07T15:04", "2025-03-07x", "-025-03-07", "+7 Mar 2025"}) {
    const auto date = parse_chat_date(text);
    ASSERT_FALSE(date) << text;
    EXPECT_EQ(date.error().code(), StatusCode::kUsage);
    EXPECT_TRUE(date.error().message().starts_with("--chat-date must be ")) << date.error().message();
  }
}

}  // namespace
}  // namespace herd::chat
