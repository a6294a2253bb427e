#include "cluster/placement/room_patience.h"

#include <gtest/gtest.h>

namespace herd::placement {
namespace {

constexpr std::int64_t kGiB = std::int64_t{1} << 30;
Instant later(double seconds) { return {1'000 + static_cast<std::int64_t>(seconds * 1e9)}; }

TEST(RoomPatience, MemoryThatStaysIsLookedAtForAMoment) {
  RoomPatience patience;
  EXPECT_TRUE(patience.looks_again(kGiB, later(0)));
  EXPECT_TRUE(patience.looks_again(kGiB + 1000, later(0.5)));
  EXPECT_TRUE(patience.looks_again(kGiB - 1000, later(0.9)));
  EXPECT_FALSE(patience.looks_again(kGiB + 2000, later(1.1)));
}

TEST(RoomPatience, MemoryThatRisesIsWaitedForUntilItStaysOrTheTimeIsUp) {
  RoomPatience stays;
  for (int i = 0; i < 5; ++i) EXPECT_TRUE(stays.looks_again((1 + i) * kGiB, later(0.9 * i)));
  EXPECT_TRUE(stays.looks_again(5 * kGiB, later(4.5)));
  EXPECT_FALSE(stays.looks_again(5 * kGiB, later(4.7)));
  RoomPatience rises;
  for (int i = 0; i < 11; ++i) EXPECT_TRUE(rises.looks_again((1 + i) * kGiB, later(0.9 * i))) << i;
  EXPECT_FALSE(rises.looks_again(13 * kGiB, later(10.1)));
}

}  // namespace
}  // namespace herd::placement
