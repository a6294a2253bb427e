#pragma once
// Sums of exponentials over leaves of a row of logits (rule 6), in rule 2's lanes and rule 3's tree.

#include <cstdint>

#include "kernels/cuda/instructions.h"
#include "kernels/math.h"
#include "kernels/ops.h"

namespace herd::cuda {

inline constexpr int kLeafThreads = 128;  // that work on one leaf
inline constexpr int kLeafWarps = kLeafThreads / kWarp;
inline constexpr int kLogitLanes = 16;

// The greater of two; NaN when one is (no comparison with a NaN in a is true).
__device__ __forceinline__ float max_or_nan(float a, float b) {
  if (b != b) return b;
  return b > a ? b : a;
}

// The MaxSum of columns [begin, end), begin a multiple of 16; valid in thread 0 of the group of kLeafThreads. All
// groups of a block call it together; group `g` has warp_max[g * kLeafWarps] and on. Without `with_sum` the sum is 0
// where it would be a number, which saves half the work.
__device__ __forceinline__ MaxSum leaf_of_group(const float* values, std::int64_t begin, std::int64_t end, int thread,
                                                bool with_sum, float* warp_max) {
  float max = -math::kInf;
#pragma unroll 8
  for (std::int64_t c = begin + thread; c < end; c += kLeafThreads) max = max_or_nan(max, values[c]);
  for (int lanes = kWarp / 2; lanes > 0; lanes /= 2) max = max_or_nan(max, shuffle_xor(max, lanes));
  block_barrier();
  if (thread % kWarp == 0) warp_max[thread / kWarp] = max;
  block_barrier();
  for (int warp = 0; warp < kLeafWarps; warp++) max = max_or_nan(max, warp_max[warp]);
  max = max + 0.0F;  // -0 becomes +0, so that the order of comparisons does not show

  float sum = 0.0F;  // threads 0 to 15: their lane
  if (max == math::kInf) sum = math::kNan;  // inf - inf
  if (thread < kLogitLanes && max > -math::kInf && with_sum) {
#pragma unroll 8
    for (std::int64_t c = begin + thread; c < end; c += kLogitLanes) sum = sum + exp_f32(values[c] - max);
  }
  for (int half = kLogitLanes / 2; half > 0; half /= 2) sum = sum + shuffle_down(sum, half);
  return max != max ? MaxSum{max, max} : MaxSum{max, sum};
}

// Two runs of logits, neighbours in rule 3's tree. An empty one is skipped.
__device__ __forceinline__ MaxSum merge(const MaxSum& a, const MaxSum& b) {
  if (a.max == -math::kInf && a.sum == 0.0F) return b;
  if (b.max == -math::kInf && b.sum == 0.0F) return a;
  const float max = a.max < b.max ? b.max : a.max;
  return {max, a.sum * exp_f32(a.max - max) + b.sum * exp_f32(b.max - max)};
}

// Of nodes [kBegin, kBegin + kCount), a power of two of them.
template <int kBegin, int kCount>
__device__ __forceinline__ MaxSum merge_tree(const float* max, const float* sum) {
  if constexpr (kCount == 1) {
    return {max[kBegin], sum[kBegin]};
  } else {
    return merge(merge_tree<kBegin, kCount / 2>(max, sum), merge_tree<kBegin + kCount / 2, kCount / 2>(max, sum));
  }
}

}  // namespace herd::cuda
