#include "cluster/gateway/parking_lot.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "cluster/gateway/retry_delay.h"

namespace herd::gateway {
namespace {

TEST(ParkingLot, CountsRequestsSequencesAndTokens) {
  ParkingLot lot;
  lot.park(SequenceId(3), {.request = RequestId(1), .tokens = 10, .ready_at = {5}});
  lot.park(SequenceId(2), {.request = RequestId(1), .tokens = 20, .ready_at = {9}});
  lot.park(SequenceId(7), {.request = RequestId(2), .tokens = 30, .ready_at = {5}});
  lot.check_integrity();
  EXPECT_EQ(lot.work(), (admission::ParkedWork{.requests = 2, .sequences = 3, .tokens = 60}));
  EXPECT_EQ(lot.parked().begin()->first, SequenceId(2)) << "oldest first";
  lot.remove(SequenceId(3));
  lot.remove(SequenceId(3));
  lot.check_integrity();
  EXPECT_EQ(lot.work(), (admission::ParkedWork{.requests = 2, .sequences = 2, .tokens = 50}));
  lot.remove(SequenceId(2));
  EXPECT_EQ(lot.work(), (admission::ParkedWork{.requests = 1, .sequences = 1, .tokens = 30}));
}

TEST(ParkingLot, SaysWhenTheNextOneGetsReady) {
  ParkingLot lot;
  EXPECT_EQ(lot.next_ready({0}), std::nullopt);
  lot.park(SequenceId(1), {.request = RequestId(1), .tokens = 1, .ready_at = {9}});
  lot.park(SequenceId(2), {.request = RequestId(1), .tokens = 1, .ready_at = {5}});
  EXPECT_EQ(lot.next_ready({4}), Instant{5});
  EXPECT_EQ(lot.next_ready({5}), Instant{9}) << "that one is ready";
  EXPECT_EQ(lot.next_ready({9}), std::nullopt);
}

TEST(RetryDelay, IsRandomInARangeThatDoublesUpToItsMaximum) {
  RetryDelay delay(0.02, 0.5, 7);
  RetryDelay same(0.02, 0.5, 7);
  for (const auto& [failures, most_s] : {std::pair{1U, 0.04}, std::pair{2U, 0.08}, std::pair{5U, 0.5}, std::pair{99U, 0.5}}) {
    double longest = 0;
    double shortest = 1;
    for (int i = 0; i < 1000; ++i) {
      const Instant at = delay.after({1000}, failures);
      EXPECT_EQ(at, same.after({1000}, failures)) << "the same seed, the same delays";
      const double s = seconds_between({1000}, at);
      longest = std::max(longest, s);
      shortest = std::min(shortest, s);
    }
    EXPECT_GE(shortest, 0.02 - 1e-9);
    EXPECT_LE(longest, most_s);
    EXPECT_GT(longest, 0.02 + 0.9 * (most_s - 0.02));
  }
  EXPECT_EQ(delay.longest_after({0}), Instant{500'000'000});
}

}  // namespace
}  // namespace herd::gateway
