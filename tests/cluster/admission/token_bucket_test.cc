#include "cluster/admission/token_bucket.h"

#include <gtest/gtest.h>

#include <cmath>

namespace herd::admission {
namespace {

constexpr Instant at(double seconds) { return {static_cast<std::int64_t>(seconds * 1e9)}; }

TEST(TokenBucket, HoldsOneMinuteAndStartsFull) {
  TokenBucket bucket;
  EXPECT_DOUBLE_EQ(bucket.level(60, at(0)), 60);
  bucket.take(60, 60, at(0));
  EXPECT_DOUBLE_EQ(bucket.level(60, at(0)), 0);
  EXPECT_DOUBLE_EQ(bucket.level(60, at(10)), 10);
  EXPECT_DOUBLE_EQ(bucket.level(60, at(3600)), 60);
}

TEST(TokenBucket, GoesIntoDebtAndSaysWhenItIsOver) {
  TokenBucket bucket;
  bucket.take(90, 60, at(0));
  EXPECT_DOUBLE_EQ(bucket.level(60, at(0)), -30);
  EXPECT_DOUBLE_EQ(bucket.seconds_until(0, 60, at(0)), 30);
  EXPECT_NEAR(bucket.seconds_until(1, 60, at(30)), 1, 1e-9);
  EXPECT_DOUBLE_EQ(bucket.seconds_until(1, 60, at(31)), 0);
}

TEST(TokenBucket, WaitsForAFullBucketWhenMoreIsWantedThanItHolds) {
  TokenBucket bucket;
  EXPECT_DOUBLE_EQ(bucket.seconds_until(1000, 60, at(0)), 0);
  bucket.take(1, 60, at(0));
  EXPECT_DOUBLE_EQ(bucket.seconds_until(1000, 60, at(0)), 1);
}

TEST(TokenBucket, LetsOneThroughUnderALimitBelowOneAMinute) {
  TokenBucket bucket;
  EXPECT_DOUBLE_EQ(bucket.seconds_until(1, 0.5, at(0)), 0);
  bucket.take(1, 0.5, at(0));
  EXPECT_DOUBLE_EQ(bucket.seconds_until(1, 0.5, at(0)), 120);
}

TEST(TokenBucket, IsEndlessWithoutALimitAndFullWhenOneComes) {
  TokenBucket bucket;
  bucket.take(1e9, 0, at(0));
  EXPECT_TRUE(std::isinf(bucket.level(0, at(0))));
  EXPECT_DOUBLE_EQ(bucket.seconds_until(1e9, 0, at(0)), 0);
  EXPECT_DOUBLE_EQ(bucket.level(60, at(0)), 60);
}

TEST(TokenBucket, IsCutToASmallerLimit) {
  TokenBucket bucket;
  bucket.take(1, 600, at(0));
  EXPECT_DOUBLE_EQ(bucket.level(60, at(0)), 60);
}

TEST(TokenBucket, HoldsNoMoreThanWhenFullWhateverIsGivenBack) {
  TokenBucket bucket;
  bucket.take(10, 60, at(0));
  bucket.give_back(4, 60, at(0));
  EXPECT_EQ(bucket.level(60, at(0)), 54);
  bucket.give_back(50, 60, at(5));
  EXPECT_EQ(bucket.level(60, at(5)), 60);
  bucket.take(60, 60, at(5));
  EXPECT_EQ(bucket.level(60, at(5)), 0);
}

TEST(TokenBucket, DoesNotEmptyWhenTimeStandsBack) {
  TokenBucket bucket;
  bucket.take(10, 60, at(10));
  EXPECT_DOUBLE_EQ(bucket.level(60, at(5)), 50);
  bucket.take(1, 60, at(5));
  EXPECT_DOUBLE_EQ(bucket.level(60, at(11)), 50);
}

}  // namespace
}  // namespace herd::admission
