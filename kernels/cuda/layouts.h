#pragma once
// Where a GPU keeps bf16 weights and KV: so that one 16-byte (V: 8-byte) load a lane is an operand of mma_bf16
// (instructions.h), and the loads of a warp are contiguous. The same number of bytes as the CPU's layouts
// (kernels/tensor_view.h), which float32 and float16 keep here too.
//
// K is walked in chunks of 32. The order of k within a chunk is permuted, alike for both operands: lane t of four holds
// the 8 consecutive k 8t … 8t + 7 of the chunk; the first of the chunk's two products takes the first four of them (as
// the instruction's k = 2t, 2t + 1, 2t + 8, 2t + 9), the second one the other four. So a row of the N operand is read
// as it lies in memory, 16 bytes a lane.

#include <cstdint>

#include "kernels/tensor_view.h"

namespace herd::cuda {

// Weights, bf16: [outputs / 16][k / 32][2 products][32 lanes][8 elements]. Of lane 4g + t, elements in order: a[0] low,
// a[0] high, a[1] low, … a[3] high.
inline constexpr std::int64_t kChunkElements = 16 * 32;  // of a panel

// The index (in elements) of W[output, k].
HERD_INLINE constexpr std::int64_t weight_index(std::int64_t k_padded, std::int64_t output, std::int64_t k) {
  const std::int64_t panel = output / 16, row = output % 16;
  const std::int64_t chunk = k / 32, t = k % 32 / 8, product = k % 8 / 4, pair = k % 4 / 2, half = k % 2;
  const std::int64_t lane = row % 8 * 4 + t;
  const std::int64_t element = (pair * 2 + row / 8) * 2 + half;  // a[0], a[1]: first pair of k; a[2], a[3]: second
  return (panel * (k_padded / 32) + chunk) * kChunkElements + (product * 32 + lane) * 8 + element;
}

// The index (in elements) of W[output, k] in weights of any dtype: f32 and f16 lie as on a CPU.
HERD_INLINE constexpr std::int64_t packed_index(const PackedMatrix& w, std::int64_t output, std::int64_t k) {
  if (w.dtype() == DType::kBF16) return weight_index(w.k_padded(), output, k);
  const std::int64_t lane = output % kPanelOutputs;
  const std::int64_t pair = output / kPanelOutputs * (w.k_padded() / 2) + k / 2;
  return w.dtype() == DType::kF32 ? (pair * 2 + k % 2) * kPanelOutputs + lane : (pair * kPanelOutputs + lane) * 2 + k % 2;
}

// K of one block, bf16: [kv_heads][block_size][head_dim_padded32] elements: rows of tokens, the N operand of Q · Kᵀ.
HERD_INLINE constexpr std::int64_t k_index(const KvLayout& layout, std::int64_t head, std::int64_t token,
                                           std::int64_t dim) {
  return (head * layout.block_size + token) * round_up(layout.head_dim, 32) + dim;
}

// V of one block, bf16, behind K: [kv_heads][block_size / 16][head_dim_padded16][16 tokens]: the N operand of P · V.
// Tokens are the k of that product, 16 at a time, permuted likewise: lane t of four holds tokens 4t … 4t + 3 (as k =
// 2t, 2t + 1, 2t + 8, 2t + 9).
HERD_INLINE constexpr std::int64_t v_index(const KvLayout& layout, std::int64_t head, std::int64_t token,
                                           std::int64_t dim) {
  return layout.k_elements_per_token() * layout.block_size +
         ((head * (layout.block_size / 16) + token / 16) * round_up(layout.head_dim, 16) + dim) * 16 + token % 16;
}

}  // namespace herd::cuda
