// The operations on logits of kernels/ops.h that stand alone: one block per row.
#include "kernels/cuda/sampling.h"

#include "kernels/cuda/launch.h"
#include "kernels/cuda/row_draw.cuh"
#include "kernels/cuda/row_select.cuh"
#include "kernels/cuda/row_stats.cuh"

namespace herd::cuda {
namespace {

__device__ __forceinline__ Candidate nobody() { return {-math::kInf, -math::kInf, -1}; }
__device__ __forceinline__ Candidate not_a_number() { return {math::kNan, math::kNan, -1}; }

__device__ __forceinline__ bool any_nan(const float* row, std::int64_t columns, ReduceShared& shared) {
  bool nan = false;
#pragma unroll 8
  for (std::int64_t c = threadIdx.x; c < columns; c += kRowThreads) nan = nan || row[c] != row[c];
  return row_any(nan, shared);
}

__global__ void __launch_bounds__(kLeafThreads)
    leaf_max_sum_kernel(TensorView logits, std::int64_t begin, std::int64_t end, MaxSum* out) {
  __shared__ float warp_max[kLeafWarps];
  const float* row = static_cast<const float*>(logits.data) + blockIdx.x * logits.row_stride;
  const MaxSum leaf = leaf_of_group(row, begin, end, static_cast<int>(threadIdx.x), true, warp_max);
  if (threadIdx.x == 0) out[blockIdx.x] = leaf;
}

__global__ void __launch_bounds__(kRowThreads, 1)
    draw_kernel(const float* logits, std::int64_t columns, std::uint32_t id_base, float temperature, float floor,
                DrawKey draw, Candidate* out) {
  __shared__ ReduceShared reduce;
  if (any_nan(logits, columns, reduce)) {
    if (threadIdx.x == 0) *out = not_a_number();
    return;
  }
  const std::uint64_t best = temperature > 0.0F
                                 ? best_score(logits, columns, id_base, temperature,
                                              lowest_key_at(floor, temperature), draw, reduce)
                                 : best_logit(logits, columns, reduce);
  if (threadIdx.x != 0) return;
  *out = nobody();
  if (best == 0) return;
  const std::uint32_t column = column_of_key(best);
  const std::uint32_t id = id_base + column;
  const float logit = logits[column];
  const float score = temperature > 0.0F ? logit / temperature + gumbel_of_id(draw, id) : logit;
  *out = Candidate{score, logit, static_cast<std::int32_t>(id)};
}

__global__ void __launch_bounds__(kRowThreads, 1)
    top_k_kernel(const float* logits, std::int64_t columns, std::int32_t id_base, std::uint32_t k, Candidate* out) {
  SelectShared& run = *reinterpret_cast<SelectShared*>(dynamic_shared());
  const bool nan = any_nan(logits, columns, run.reduce);
  std::uint32_t done = 0;
  for (std::uint64_t below = ~std::uint64_t{0}; !nan && done < k;) {
    const std::uint32_t left = k - done;
    const std::uint32_t found = next_run(logits, columns, below, left < kRunMax / 2 ? left : kRunMax / 2, run);
    if (found == 0) break;
    for (std::uint32_t i = threadIdx.x; i < found && i < left; i += kRowThreads) {
      const std::uint32_t column = column_of_key(run.keys[i]);
      const float logit = logits[column];
      out[done + i] = Candidate{logit, logit, id_base + static_cast<std::int32_t>(column)};
    }
    below = run.keys[found - 1];
    done += found < left ? found : left;
  }
  for (std::uint32_t i = done + threadIdx.x; i < k; i += kRowThreads) out[i] = nan ? not_a_number() : nobody();
}

}  // namespace

void leaf_max_sum(Stream& stream, const TensorView& logits, std::int64_t begin, std::int64_t end, MaxSum* out) {
  launch(stream, "leaf_max_sum", leaf_max_sum_kernel, dim3(static_cast<unsigned>(logits.rows)), kLeafThreads, 0, logits,
         begin, end, out);
}

void draw(Stream& stream, const float* logits, std::int64_t cols, std::int32_t id_base, float temperature, float floor,
          const DrawKey& key, Candidate* out) {
  launch(stream, "draw", draw_kernel, dim3(1), kRowThreads, 0, logits, cols, static_cast<std::uint32_t>(id_base),
         temperature, floor, key, out);
}

void top_k(Stream& stream, const float* logits, std::int64_t cols, std::int32_t id_base, std::int32_t k,
           Candidate* out) {
  launch(stream, "top_k", top_k_kernel, dim3(1), kRowThreads, sizeof(SelectShared), logits, cols, id_base,
         static_cast<std::uint32_t>(k), out);
}

}  // namespace herd::cuda
