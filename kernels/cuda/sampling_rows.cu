// Rows of logits to tokens, as runtime/sampling's Sampler does it: one block per row, two kernels. The first looks at the
// raw row (log-sum-exp, hash, most likely tokens), the second edits it, draws, and looks the winner's logprob up.
#include "kernels/cuda/launch.h"
#include "kernels/cuda/row_draw.cuh"
#include "kernels/cuda/row_select.cuh"
#include "kernels/cuda/row_stats.cuh"
#include "kernels/cuda/sampling.h"
#include "kernels/splitmix64.h"

namespace herd::cuda {
namespace {

static_assert(kLeaves * kLeafThreads == kRowThreads, "all leaves at once");

// SplitMix64's finaliser over (position, bits), as the Sampler has it.
__device__ __forceinline__ std::uint64_t hash_element(std::uint64_t position, float value) {
  return splitmix64_finish(position * kSplitMix64Step ^ bits_of(value));
}

__device__ __forceinline__ std::uint64_t hash_of(const float* row, std::int64_t columns, ReduceShared& shared) {
  std::uint64_t hash = 0;
#pragma unroll 4
  for (std::int64_t c = threadIdx.x; c < columns; c += kRowThreads) {
    hash += hash_element(static_cast<std::uint64_t>(c), row[c]);
  }
  return row_sum(hash, shared);
}

struct StatsShared {
  float warp_max[kRowWarps];
  float max[kLeaves];
  float sum[kLeaves];
};

// Of the whole row; the same in every thread.
__device__ __forceinline__ MaxSum normaliser_of(const float* row, const SampleBatch& batch, bool with_sum,
                                                StatsShared& shared) {
  const int leaf = static_cast<int>(threadIdx.x) / kLeafThreads;
  const int thread = static_cast<int>(threadIdx.x) % kLeafThreads;
  std::int32_t begin = 0;
  std::int32_t end = 0;
#pragma unroll
  for (int i = 0; i < kLeaves; i++) {  // an index that is not constant would put the borders into local memory
    if (i != leaf) continue;
    begin = batch.vocab_leaf[i];
    end = batch.vocab_leaf[i + 1];
  }
  const MaxSum mine = leaf_of_group(row, begin, end, thread, with_sum, shared.warp_max + leaf * kLeafWarps);
  if (thread == 0) {
    shared.max[leaf] = mine.max;
    shared.sum[leaf] = mine.sum;
  }
  block_barrier();
  return merge_tree<0, kLeaves>(shared.max, shared.sum);
}

// Leaves the row's log-sum-exp in out.logprob for the second kernel.
__global__ void __launch_bounds__(kRowThreads, 1) row_stats_kernel(TensorView logits, SampleBatch batch) {
  __shared__ StatsShared stats;
  SelectShared& select = *reinterpret_cast<SelectShared*>(dynamic_shared());
  const int thread = static_cast<int>(threadIdx.x);
  const SampleRowParams& params = batch.params[blockIdx.x];
  SampledRow& out = batch.out[blockIdx.x];
  if (thread < kTopLogprobsMax) out.top[thread] = TokenScore{params.active != 0 ? -1 : 0, 0.0F};
  if (params.active == 0) {
    if (thread == 0) {
      out.token = 0;
      out.logprob = 0.0F;
      out.finite = 0;
      out.top_count = 0;
      out.logits_hash = 0;
    }
    return;
  }

  const float* row = static_cast<const float*>(logits.data) + blockIdx.x * logits.row_stride;
  const bool with_sum = params.logprobs >= 0;  // otherwise only whether it is a number counts
  const MaxSum normaliser = normaliser_of(row, batch, with_sum, stats);
  const std::uint64_t hash = batch.hash_logits ? hash_of(row, logits.cols, select.reduce) : 0;
  const bool finite = normaliser.sum == normaliser.sum;
  const float log_sum = normaliser.max + log_f32(normaliser.sum);
  int top = 0;
  if (finite && params.logprobs > 0) {
    const int want = params.logprobs < kTopLogprobsMax ? params.logprobs : kTopLogprobsMax;
    const auto found = static_cast<int>(
        next_run(row, logits.cols, ~std::uint64_t{0}, static_cast<std::uint32_t>(want), select));
    top = found < want ? found : want;
    if (thread < top) {
      const std::uint32_t column = column_of_key(select.keys[thread]);
      out.top[thread] = TokenScore{static_cast<std::int32_t>(column), row[column] - log_sum};
    }
  }
  if (thread != 0) return;
  out.token = 0;
  out.logprob = finite ? log_sum : 0.0F;
  out.finite = finite ? 1 : 0;
  out.top_count = top;
  out.logits_hash = hash;
}

// bias, penalties, mask. Whether a NaN came of it.
__device__ __forceinline__ bool apply_edits(float* row, LogitEdit* edits, int begin, int end, ReduceShared& shared) {
  if (begin >= end) return false;
  bool nan = false;
  for (int i = begin + static_cast<int>(threadIdx.x); i < end; i += kRowThreads) {
    LogitEdit& edit = edits[i];
    const float raw = row[edit.token];
    float logit = raw;
    if ((edit.flags & kEditBias) != 0) logit = logit + edit.bias;
    if ((edit.flags & kEditRepetition) != 0) {
      logit = logit < 0.0F ? logit * edit.repetition_penalty : logit / edit.repetition_penalty;
    }
    if ((edit.flags & kEditCount) != 0) logit = logit - edit.count_penalty;
    if ((edit.flags & kEditMask) != 0) logit = -math::kInf;
    edit.raw = raw;
    row[edit.token] = logit;
    nan = nan || logit != logit;
  }
  return row_any(nan, shared);  // and every thread sees the edited row
}

__device__ __forceinline__ std::uint64_t winner_of(const float* row, std::int64_t columns,
                                                   const SampleRowParams& params, SelectShared& select) {
  if (!(params.temperature > 0.0F)) return best_logit(row, columns, select.reduce);
  const bool top_k = params.top_k > 0 && params.top_k < columns;
  if (!top_k && params.top_p >= 1.0F && !(params.min_p > 0.0F)) {
    return best_score(row, columns, 0, params.temperature, kLowestKey, draw_key_of(params), select.reduce);
  }
  return best_filtered(row, columns, static_cast<std::uint32_t>(top_k ? params.top_k : columns), params, select);
}

__global__ void __launch_bounds__(kRowThreads, 1) draw_rows_kernel(TensorView logits, SampleBatch batch) {
  __shared__ float raw;
  SelectShared& select = *reinterpret_cast<SelectShared*>(dynamic_shared());
  const SampleRowParams& params = batch.params[blockIdx.x];
  SampledRow& out = batch.out[blockIdx.x];
  if (out.finite == 0) return;  // not active, or not finite before the edits

  float* row = static_cast<float*>(logits.data) + blockIdx.x * logits.row_stride;
  const bool nan = apply_edits(row, batch.edits, params.edit_begin, params.edit_end, select.reduce);
  const std::uint64_t winner = nan ? 0 : winner_of(row, logits.cols, params, select);
  const auto token = static_cast<std::int32_t>(winner == 0 ? 0 : column_of_key(winner));
  if (threadIdx.x == 0) raw = row[token];
  block_barrier();
  for (int i = params.edit_begin + static_cast<int>(threadIdx.x); i < params.edit_end; i += kRowThreads) {
    if (batch.edits[i].token == token) raw = batch.edits[i].raw;
  }
  block_barrier();
  if (threadIdx.x != 0) return;
  out.token = token;
  out.finite = winner != 0 ? 1 : 0;
  out.logprob = winner != 0 && params.logprobs >= 0 ? raw - out.logprob : 0.0F;  // what was there is the log-sum-exp
}

}  // namespace

void sample_rows(Stream& stream, const TensorView& logits, const SampleBatch& batch) {
  const dim3 rows(static_cast<unsigned>(logits.rows));
  launch(stream, "sample_rows: statistics", row_stats_kernel, rows, kRowThreads, sizeof(SelectShared), logits, batch);
  launch(stream, "sample_rows: draw", draw_rows_kernel, rows, kRowThreads, sizeof(SelectShared), logits, batch);
}

}  // namespace herd::cuda
