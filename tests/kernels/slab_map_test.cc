#include "kernels/cpu/slab_map.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <random>
#include <vector>

namespace herd {
namespace {

constexpr std::size_t kLine = kSlabAlignment;

TEST(SlabMap, CutsPlacesOfWholeCacheLinesFromTheLowEnd) {
  SlabMap map(10 * kLine);
  EXPECT_TRUE(map.empty());
  EXPECT_EQ(map.take(1)->offset, 0U);
  EXPECT_EQ(map.take(kLine)->offset, kLine);
  EXPECT_EQ(map.take(kLine + 1)->offset, 2 * kLine);
  EXPECT_EQ(map.take(0)->offset, 4 * kLine) << "nothing takes a place of its own, too";
  EXPECT_EQ(map.take(5 * kLine)->offset, 5 * kLine);
  EXPECT_FALSE(map.take(1));
  EXPECT_FALSE(map.empty());
}

TEST(SlabMap, JoinsFreedNeighboursOnBothSides) {
  SlabMap map(4 * kLine);
  for (int i = 0; i < 4; ++i) ASSERT_TRUE(map.take(kLine));
  map.give_back(0, kLine);
  map.give_back(2 * kLine, kLine);
  EXPECT_FALSE(map.take(2 * kLine)) << "two gaps, no one of them large enough";
  map.give_back(kLine, kLine);
  EXPECT_EQ(map.take(3 * kLine)->offset, 0U);
  map.give_back(0, 3 * kLine);
  map.give_back(3 * kLine, kLine);
  EXPECT_TRUE(map.empty());
  EXPECT_EQ(map.take(4 * kLine)->offset, 0U);
}

TEST(SlabMap, TellsWhatWasTakenBeforeFromWhatNeverWas) {
  SlabMap map(8 * kLine);
  EXPECT_EQ(map.take(2 * kLine)->used_before, 0U);
  EXPECT_EQ(map.take(kLine)->used_before, 0U);
  map.give_back(0, 2 * kLine);
  map.give_back(2 * kLine, kLine);
  EXPECT_EQ(map.take(kLine)->used_before, kLine);
  EXPECT_EQ(map.take(4 * kLine)->used_before, 2 * kLine) << "its last two lines are new";
  EXPECT_EQ(map.take(kLine)->used_before, 0U);
}

TEST(SlabMapDeathTest, APlaceGivenBackTwiceIsAnErrorOfOurs) {
  SlabMap map(4 * kLine);
  ASSERT_TRUE(map.take(kLine));
  ASSERT_TRUE(map.take(kLine));
  map.give_back(0, kLine);
  EXPECT_DEATH(map.give_back(0, kLine), "was taken");
}

// Against a picture of every line: no two places overlap, the first gap that fits is taken, a line is old when it was taken
// before, and in the end all is one gap again.
TEST(SlabMap, AgreesWithAPictureOfEveryLine) {
  constexpr std::size_t kLines = 97;
  struct Held {
    std::size_t offset, bytes;
  };
  std::mt19937 random(7);
  SlabMap map(kLines * kLine);
  std::vector<char> taken(kLines), old(kLines);
  std::vector<Held> held;
  const auto lines_of = [](std::size_t bytes) { return std::max<std::size_t>(1, (bytes + kLine - 1) / kLine); };
  for (int turn = 0; turn < 20000; ++turn) {
    if (random() % 2 == 0 || held.empty()) {
      const std::size_t bytes = random() % (20 * kLine);
      const std::size_t lines = lines_of(bytes);
      std::size_t first = 0;
      while (first + lines <= kLines && std::count(taken.begin() + first, taken.begin() + first + lines, 1) > 0) ++first;
      const auto place = map.take(bytes);
      ASSERT_EQ(place.has_value(), first + lines <= kLines);
      if (!place) continue;
      ASSERT_EQ(place->offset, first * kLine);
      ASSERT_EQ(place->used_before, kLine * static_cast<std::size_t>(std::count(old.begin() + first, old.begin() + first + lines, 1)));
      std::fill_n(taken.begin() + first, lines, 1);
      std::fill_n(old.begin() + first, lines, 1);
      held.push_back({place->offset, bytes});
    } else {
      std::swap(held[random() % held.size()], held.back());
      map.give_back(held.back().offset, held.back().bytes);
      std::fill_n(taken.begin() + held.back().offset / kLine, lines_of(held.back().bytes), 0);
      held.pop_back();
    }
  }
  for (const Held& each : held) map.give_back(each.offset, each.bytes);
  EXPECT_TRUE(map.empty());
  EXPECT_EQ(map.take(kLines * kLine)->offset, 0U);
}

}  // namespace
}  // namespace herd
