#include "kernels/plans/attention_work.h"

namespace herd::cuda {

bool cut_attention(const std::int32_t* query_begin, const std::int32_t* context_length, std::int32_t sequences,
                   std::int32_t group_max, std::int32_t* split_begin, std::int32_t* tile_begin) {
  split_begin[0] = 0;
  tile_begin[0] = 0;
  bool tiled = false;
  for (std::int32_t s = 0; s < sequences; s++) {
    const std::int64_t rows = std::int64_t{query_begin[s + 1]} - query_begin[s];
    const std::int64_t virtual_rows = rows * group_max;
    const bool split = virtual_rows <= kSplitRows;
    const std::int64_t partitions = (std::int64_t{context_length[s]} + kAttentionPartition - 1) / kAttentionPartition;
    tiled = tiled || (rows > 0 && !split);
    const std::int64_t splits = rows > 0 && split ? partitions : 0;
    const std::int64_t tiles = split || context_length[s] == 0 ? 0 : (virtual_rows + kTileRows - 1) / kTileRows;
    split_begin[s + 1] = static_cast<std::int32_t>(split_begin[s] + splits);
    tile_begin[s + 1] = static_cast<std::int32_t>(tile_begin[s] + tiles);
  }
  return tiled;
}

}  // namespace herd::cuda
