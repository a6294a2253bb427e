#include "cluster/admission/token_bucket.h"

#include <gtest/gtest.h>

#include <cmath>

#include "tests/cluster/instants.h"

namespace herd::admission {
namespace {

TEST(TokenBucket, HoldsOneMinuteAndStartsFull) {
  TokenBucket bucket;
  EXPECT_DOUBLE_EQ(bucket.level({60}, at(0)), 60);
  bucket.take(60, {60}, at(0));
  EXPECT_DOUBLE_EQ(bucket.level({60}, at(0)), 0);
  EXPECT_DOUBLE_EQ(bucket.level({60}, at(10)), 10);
  EXPECT_DOUBLE_EQ(bucket.level({60}, at(3600)), 60);
}

TEST(TokenBucket, GoesIntoDebtAndSaysWhenItIsOver) {
  TokenBucket bucket;
  bucket.take(90, {60}, at(0));
  EXPECT_DOUBLE_EQ(bucket.level({60}, at(0)), -30);
  EXPECT_DOUBLE_EQ(bucket.seconds_until(0, {60}, at(0)), 30);
  EXPECT_NEAR(bucket.seconds_until(1, {60}, at(30)), 1, 1e-9);
  EXPECT_DOUBLE_EQ(bucket.seconds_until(1, {60}, at(31)), 0);
}

TEST(TokenBucket, WaitsForAFullBucketWhenMoreIsWantedThanItHolds) {
  TokenBucket bucket;
  EXPECT_DOUBLE_EQ(bucket.seconds_until(1000, {60}, at(0)), 0);
  bucket.take(1, {60}, at(0));
  EXPECT_DOUBLE_EQ(bucket.seconds_until(1000, {60}, at(0)), 1);
}

TEST(TokenBucket, LetsOneThroughUnderALimitBelowOneAMinute) {
  TokenBucket bucket;
  EXPECT_DOUBLE_EQ(bucket.seconds_until(1, {0.5}, at(0)), 0);
  bucket.take(1, {0.5}, at(0));
  EXPECT_DOUBLE_EQ(bucket.seconds_until(1, {0.5}, at(0)), 120);
}

TEST(TokenBucket, IsEndlessWithoutALimitAndFullWhenOneComes) {
  TokenBucket bucket;
  bucket.take(1e9, {0}, at(0));
  EXPECT_TRUE(std::isinf(bucket.level({0}, at(0))));
  EXPECT_DOUBLE_EQ(bucket.seconds_until(1e9, {0}, at(0)), 0);
  EXPECT_DOUBLE_EQ(bucket.level({60}, at(0)), 60);
}

TEST(TokenBucket, IsCutToASmallerLimit) {
  TokenBucket bucket;
  bucket.take(1, {600}, at(0));
  EXPECT_DOUBLE_EQ(bucket.level({60}, at(0)), 60);
}

TEST(TokenBucket, HoldsNoMoreThanWhenFullWhateverIsGivenBack) {
  TokenBucket bucket;
  bucket.take(10, {60}, at(0));
  bucket.give_back(4, {60}, at(0));
  EXPECT_EQ(bucket.level({60}, at(0)), 54);
  bucket.give_back(50, {60}, at(5));
  EXPECT_EQ(bucket.level({60}, at(5)), 60);
  bucket.take(60, {60}, at(5));
  EXPECT_EQ(bucket.level({60}, at(5)), 0);
}

TEST(TokenBucket, DoesNotEmptyWhenTimeStandsBack) {
  TokenBucket bucket;
  bucket.take(10, {60}, at(10));
  EXPECT_DOUBLE_EQ(bucket.level({60}, at(5)), 50);
  bucket.take(1, {60}, at(5));
  EXPECT_DOUBLE_EQ(bucket.level({60}, at(11)), 50);
}

TEST(TokenBucket, HoldsAndFillsAShareOfALimit) {
  const BucketLimit third{60, 1.0 / 3};
  TokenBucket bucket;
  EXPECT_DOUBLE_EQ(bucket.level(third, at(0)), 20);
  bucket.take(20, third, at(0));
  EXPECT_DOUBLE_EQ(bucket.level(third, at(30)), 10);
  EXPECT_DOUBLE_EQ(bucket.level(third, at(3600)), 20);
  EXPECT_DOUBLE_EQ(bucket.seconds_until(20, third, at(30)), 30);
}

TEST(TokenBucket, LetsOneThroughNowAndThenHoweverSmallItsShare) {
  const BucketLimit tenth{1, 0.1};
  TokenBucket bucket;
  EXPECT_DOUBLE_EQ(bucket.seconds_until(1, tenth, at(0)), 0);
  bucket.take(1, tenth, at(0));
  EXPECT_DOUBLE_EQ(bucket.level(tenth, at(60)), 0.1);
  EXPECT_DOUBLE_EQ(bucket.seconds_until(1, tenth, at(0)), 600);
}

TEST(TokenBucket, LetsNothingThroughWithoutAShare) {
  const TokenBucket bucket;
  EXPECT_TRUE(std::isinf(bucket.seconds_until(1, {60, 0}, at(0))));
  EXPECT_DOUBLE_EQ(bucket.level({60, 0}, at(0)), 0);
}

TEST(TokenBucket, ALargerShareMakesNothing) {
  const BucketLimit third{60, 1.0 / 3};
  const BucketLimit half{60, 0.5};
  TokenBucket full;
  full.move(0, third, half, at(0));
  EXPECT_DOUBLE_EQ(full.level(half, at(0)), 20);
  EXPECT_DOUBLE_EQ(full.level(half, at(10)), 25);
  full.move(15, half, {60, 1}, at(10));
  EXPECT_DOUBLE_EQ(full.level({60, 1}, at(10)), 40);
  full.move(-50, {60, 1}, third, at(10));
  EXPECT_DOUBLE_EQ(full.level(third, at(10)), -10);
}

TEST(TokenBucket, TimeBeforeAnotherShareCountsAtTheShareOfThen) {
  const BucketLimit tenth{60, 0.1};
  TokenBucket bucket;
  bucket.take(6, tenth, at(0));
  bucket.move(0, tenth, {60, 1}, at(30));
  EXPECT_DOUBLE_EQ(bucket.level({60, 1}, at(30)), 3);
}

TEST(TokenBucket, HoldsNoMoreThanWhatItsShareHolds) {
  const BucketLimit third{60, 1.0 / 3};
  TokenBucket bucket;
  bucket.move(100, third, {60, 0.5}, at(0));
  EXPECT_DOUBLE_EQ(bucket.level({60, 0.5}, at(0)), 30);
}

}  // namespace
}  // namespace herd::admission
