// How the attention of a step is cut into items for a GPU.
#include "kernels/plans/attention_work.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <vector>

namespace herd {
namespace {

struct Cut {
  std::vector<std::int32_t> splits, tiles;  // items of each sequence
  bool any_tiles = false;
};

// Prefix sums are taken apart again: they must begin with 0.
Cut cut(const std::vector<std::int32_t>& rows, const std::vector<std::int32_t>& contexts, std::int32_t group_max) {
  std::vector<std::int32_t> query_begin = {0};
  for (const std::int32_t count : rows) query_begin.push_back(query_begin.back() + count);
  std::vector<std::int32_t> split_begin(rows.size() + 1, -7), tile_begin(rows.size() + 1, -7);
  Cut result;
  result.any_tiles = cuda::cut_attention(query_begin.data(), contexts.data(), static_cast<std::int32_t>(rows.size()),
                                         group_max, split_begin.data(), tile_begin.data());
  EXPECT_EQ(split_begin[0], 0);
  EXPECT_EQ(tile_begin[0], 0);
  for (std::size_t s = 0; s < rows.size(); s++) {
    result.splits.push_back(split_begin[s + 1] - split_begin[s]);
    result.tiles.push_back(tile_begin[s + 1] - tile_begin[s]);
  }
  return result;
}

using Items = std::vector<std::int32_t>;

TEST(AttentionWorkTest, AStepWithoutSequencesHasNoItems) {
  const Cut empty = cut({}, {}, 4);
  EXPECT_TRUE(empty.splits.empty());
  EXPECT_FALSE(empty.any_tiles);
}

TEST(AttentionWorkTest, DecodeRowsAreCutByPartition) {
  const Cut decode = cut({1, 1, 1, 1, 1}, {1, 512, 513, 1024, 131072}, 8);
  EXPECT_EQ(decode.splits, (Items{1, 1, 2, 2, 256}));
  EXPECT_EQ(decode.tiles, (Items{0, 0, 0, 0, 0}));
  EXPECT_FALSE(decode.any_tiles);
}

TEST(AttentionWorkTest, QueriesOfMoreThanSixteenVirtualRowsAreCutByTile) {
  const Cut four = cut({4, 5, 16, 17, 512}, {600, 600, 600, 600, 600}, 4);
  EXPECT_EQ(four.splits, (Items{2, 0, 0, 0, 0}));
  EXPECT_EQ(four.tiles, (Items{0, 1, 1, 2, 32}));
  EXPECT_TRUE(four.any_tiles);
  const Cut one = cut({16, 17, 64, 65}, {16, 17, 64, 65}, 1);
  EXPECT_EQ(one.splits, (Items{1, 0, 0, 0}));
  EXPECT_EQ(one.tiles, (Items{0, 1, 1, 2}));
}

TEST(AttentionWorkTest, AGroupWiderThanASplitItemIsATileEvenForOneRow) {
  const Cut wide = cut({1, 3}, {5000, 10}, 32);
  EXPECT_EQ(wide.splits, (Items{0, 0}));
  EXPECT_EQ(wide.tiles, (Items{1, 2}));
  EXPECT_TRUE(wide.any_tiles);
}

TEST(AttentionWorkTest, NothingIsMadeOfSequencesWithoutRowsOrContext) {
  const Cut idle = cut({0, 1, 0, 1}, {700, 0, 0, 700}, 2);
  EXPECT_EQ(idle.splits, (Items{0, 0, 0, 2}));
  EXPECT_EQ(idle.tiles, (Items{0, 0, 0, 0}));
  EXPECT_FALSE(idle.any_tiles);
  const Cut wide = cut({1, 0}, {0, 0}, 32);
  EXPECT_EQ(wide.splits, (Items{0, 0}));
  EXPECT_EQ(wide.tiles, (Items{0, 0}));
  EXPECT_TRUE(wide.any_tiles) << "a step of these rows may be recorded before there is a context";
  EXPECT_FALSE(cut({0, 0}, {7, 0}, 32).any_tiles);
}

}  // namespace
}  // namespace herd
