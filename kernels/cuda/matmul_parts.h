#pragma once
// What the products share: where a result goes, rule 3's tree leaf by leaf, the kinds of product matmul() chooses from.

#include <cstdint>
#include <type_traits>

#include "kernels/cuda/instructions.h"
#include "kernels/cuda/stream.h"
#include "kernels/tensor_view.h"

namespace herd::cuda {

inline constexpr int kTreeLevels = 3;  // of kLeaves leaves
static_assert(1 << kTreeLevels == kLeaves);

inline constexpr int kTokenTile = 8;  // tokens of one mma_bf16

// ---- kinds of product: launchers with the arguments of matmul() ----

// bf16 x bf16 on tensor cores, for few tokens; right for any number, and for any k and alignment of x.
void matmul_skinny(Stream& stream, const TensorView& x, const PackedMatrix& w, const float* bias,
                   const TensorView& out);
// The same bits for many tokens. False, and nothing enqueued, when it cannot: it wants rows that can be read 16 bytes at
// a time (rows_of_16_bytes) and shared memory for the tree.
[[nodiscard]] bool matmul_tiled(Stream& stream, const TensorView& x, const PackedMatrix& w, const float* bias,
                                const TensorView& out);
// Every other pair of dtypes, in rule 1's order.
void matmul_canonical(Stream& stream, const TensorView& x, const PackedMatrix& w, const float* bias,
                      const TensorView& out);

// Whether rows of bf16 are whole 16-byte pieces at 16-byte boundaries.
[[nodiscard]] inline bool rows_of_16_bytes(const TensorView& x) {
  return reinterpret_cast<std::uintptr_t>(x.data) % 16 == 0 && x.cols % 8 == 0 && x.row_stride % 8 == 0;
}

// ---- in kernels ----

// Adds the bias and stores out[token, output] rounded to out's dtype; bias f32 [out.cols] or null. Padding outputs are
// stored too, without a bias: ops.h gives them room.
__device__ __forceinline__ void store_result(const TensorView& out, const float* bias, std::int64_t token,
                                             std::int64_t output, float sum) {
  const float value = bias != nullptr && output < out.cols ? sum + bias[output] : sum;
  const std::int64_t at = token * out.row_stride + output;
  if (out.dtype == DType::kF32) {
    static_cast<float*>(out.data)[at] = value;
  } else {
    static_cast<std::uint16_t*>(out.data)[at] = to_bf16(value).bits;
  }
}

// w.leaf_chunk[leaf]: an index that the compiler does not know would send the whole matrix through local memory.
__device__ __forceinline__ int leaf_border(const PackedMatrix& w, int leaf) {
  int border = w.leaf_chunk[0];
#pragma unroll
  for (int i = 1; i <= kLeaves; i++) border = i <= leaf ? w.leaf_chunk[i] : border;
  return border;
}

// Rule 3's tree, as leaves 0 .. leaf_count - 1 are finished one after the other (reference_math.h, tree_sum: an absent
// leaf is skipped). The caller holds one running sum; sums of left subtrees of 2^level leaves wait in its slot `level`,
// bit `level` of `waiting` (0 at first) says that one does. After the last leaf the running sum is the tree's; after
// every other one it is to begin from +0 again.
//   present: the leaf has chunks. keep(level): slot = sum. add(level): sum = slot + sum. take(level): sum = slot.
// `level` comes as a std::integral_constant, so that slots can be registers.
template <int kLevel = 0, class Keep, class Add, class Take>
__device__ __forceinline__ void close_leaf(int leaf, int leaf_count, bool present, unsigned& waiting, const Keep& keep,
                                           const Add& add, const Take& take) {
  if constexpr (kLevel < kTreeLevels) {
    constexpr std::integral_constant<int, kLevel> kSlot;
    constexpr unsigned kBit = 1U << kLevel;
    if (leaf_count >> kLevel == 1) return;
    if ((static_cast<unsigned>(leaf) & kBit) == 0) {  // a left subtree: waits for its right one
      if (present) keep(kSlot);
      waiting = present ? waiting | kBit : waiting & ~kBit;
      return;
    }
    if ((waiting & kBit) != 0) {
      if (present) {
        add(kSlot);
      } else {
        take(kSlot);
      }
      present = true;
    }
    close_leaf<kLevel + 1>(leaf, leaf_count, present, waiting, keep, add, take);
  }
}

}  // namespace herd::cuda
