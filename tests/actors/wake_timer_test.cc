#include "actors/roles/wake_timer.h"

#include <gtest/gtest.h>

namespace herd::actors {
namespace {

constexpr std::int64_t kMillisecond = 1'000'000;

Instant at(std::int64_t ms) { return {ms * kMillisecond}; }

TEST(WakeTimer, SendsOneMessageForManyLaterWishes) {
  WakeTimer timer;
  const auto first = timer.want(at(10), at(0));
  ASSERT_TRUE(first);
  EXPECT_EQ(first->delay, std::chrono::milliseconds(10));
  for (std::int64_t later = 11; later < 40; ++later) EXPECT_FALSE(timer.want(at(later), at(1)));
  const auto woken = timer.on_message(first->message, at(10));
  EXPECT_FALSE(woken.due) << "the last wish holds";
  ASSERT_TRUE(woken.next);
  EXPECT_EQ(woken.next->delay, std::chrono::milliseconds(29));
  EXPECT_TRUE(timer.on_message(woken.next->message, at(39)).due);
}

TEST(WakeTimer, AnEarlierWishTakesThePlaceOfTheMessageUnderWay) {
  WakeTimer timer;
  const auto late = timer.want(at(50), at(0));
  const auto early = timer.want(at(5), at(1));
  ASSERT_TRUE(late && early);
  EXPECT_EQ(early->delay, std::chrono::milliseconds(4));
  EXPECT_TRUE(timer.on_message(early->message, at(5)).due);
  const auto woken = timer.on_message(late->message, at(50));
  EXPECT_FALSE(woken.due || woken.next) << "nobody waits for that one";
}

TEST(WakeTimer, AMessageThatComesTooEarlyIsSentAgain) {
  WakeTimer timer;
  const auto sent = timer.want(at(10), at(0));
  const auto woken = timer.on_message(sent->message, at(9));
  EXPECT_FALSE(woken.due);
  ASSERT_TRUE(woken.next);
  EXPECT_TRUE(timer.on_message(woken.next->message, at(10)).due);
}

TEST(WakeTimer, IsAskedOncePerWish) {
  WakeTimer timer;
  const auto sent = timer.want(at(10), at(0));
  EXPECT_TRUE(timer.on_message(sent->message, at(10)).due);
  EXPECT_FALSE(timer.on_message(sent->message, at(11)).due);
}

TEST(WakeTimer, NeverIsLookedAtNowAndThen) {
  WakeTimer timer;
  const auto sent = timer.want({std::numeric_limits<std::int64_t>::max()}, at(0));
  ASSERT_TRUE(sent);
  EXPECT_EQ(sent->delay, std::chrono::minutes(1));
}

}  // namespace
}  // namespace herd::actors
