#pragma once
// Where K and V of one token are in a block, per format: bf16 as in layouts.h, float32 as on the CPU
// (kernels/tensor_view.h draws it); and the search that finds a row's sequence. Device code.

#include <cstdint>

#include "kernels/cuda/layouts.h"

namespace herd::cuda {

// In elements from the start of the block, float32.
HERD_INLINE constexpr std::int64_t cpu_k_index(const KvLayout& layout, std::int64_t head, std::int64_t token,
                                               std::int64_t dim) {
  const std::int64_t group = head * (layout.block_size / 16) + token / 16;
  const std::int64_t pair = group * (round_up(layout.head_dim, 32) / 2) + dim / 2;
  return (pair * 2 + dim % 2) * 16 + token % 16;
}
HERD_INLINE constexpr std::int64_t cpu_v_index(const KvLayout& layout, std::int64_t head, std::int64_t token,
                                               std::int64_t dim) {
  return layout.k_elements_per_token() * layout.block_size +
         (head * layout.block_size + token) * round_up(layout.head_dim, 16) + dim;
}

// The last i in [0, count) with begin[i] <= value; begin ascends, begin[0] <= value.
HERD_INLINE constexpr std::int32_t find_last(const std::int32_t* begin, std::int32_t count, std::int32_t value) {
  std::int32_t low = 0, high = count;
  while (high - low > 1) {
    const std::int32_t middle = (low + high) / 2;
    if (begin[middle] <= value) {
      low = middle;
    } else {
      high = middle;
    }
  }
  return low;
}

}  // namespace herd::cuda
