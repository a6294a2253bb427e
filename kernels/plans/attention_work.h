#pragma once
// How the attention of a step is cut into items for a GPU. Pure; host only. Every item is about the same work where
// that matters (decode: one partition of 512 positions of one sequence, all its rows), so that a batch of one long and
// many short contexts keeps all multiprocessors as busy as an even one.

#include <cstdint>

namespace herd::cuda {

inline constexpr std::int32_t kAttentionPartition = 512;  // positions, absolute (rule 4)
inline constexpr std::int32_t kSplitRows = 16;            // virtual rows (row, head of the group) of a split item
inline constexpr std::int32_t kTileRows = 64;             // virtual rows of a tile item

// split_begin, tile_begin: [sequences + 1] prefix sums of items, as AttentionWork wants them.
//   rows_s = query_begin[s + 1] - query_begin[s];  rows_s * group_max <= kSplitRows: ceil(context / 512) split items;
//   more: ceil(rows_s * group_max / kTileRows) tile items; rows_s = 0 or context 0: none.
// query_begin: [sequences + 1], context_length: [sequences]. True when a sequence is cut into tile items or
// would be if it had a context: the same for every step of these rows, so that a step recorded without contexts serves.
bool cut_attention(const std::int32_t* query_begin, const std::int32_t* context_length, std::int32_t sequences,
                   std::int32_t group_max, std::int32_t* split_begin, std::int32_t* tile_begin);

}  // namespace herd::cuda
