#pragma once
// KV writes and paged attention. Launchers; shapes as in kernels/ops.h.
//
// bf16: rule 4 with tensor cores where it multiplies: partitions of 512 absolute positions; score = chain of mma_bf16
// over head_dim, times scale; exact maximum over the row's visible keys; P = exp(score - max) rounded to bf16; l = sum
// of the rounded P in 16 lanes (position mod 16, ascending, fixed tree); o = chain of mma_bf16 over the partition's
// positions, 16 at a time, ascending, from +0, then + 0 (a -0 becomes +0); partitions are folded in ascending order by
// rule 4's formula. A row's bits do not depend on the rows beside it, nor on how the work was cut, nor on anything
// that it does not see, NaN and infinities included. f32: rule 4 itself, the CPU's bits.
//
// Work (attention_work.h): short queries are cut by partition, their partials folded by a second kernel; long ones by
// row tile, each tile walking its partitions in order. Launches depend on shapes alone, never on contexts: they may be
// recorded and repeated with other contexts.
//
// Rows without a context (context_length 0: they only fill a batch up) become zeros.

#include <cstddef>

#include "kernels/cuda/stream.h"
#include "kernels/ops.h"
#include "kernels/step_recorder.h"

namespace herd::cuda {

inline constexpr std::int32_t kAttentionHeadDimMax = 256;  // bf16; a larger one fails the stream

void write_kv(Stream& stream, const TensorView& k, const TensorView& v, const std::int64_t* slots, const KvView& kv);
void rope_write_kv(Stream& stream, const TensorView& q, const TensorView& k, const TensorView& v,
                   const std::int32_t* positions, const float* table, const std::int64_t* slots, const KvView& kv);

// Scratch for partials. An item is what one row leaves of one partition: (m, l) and o of every query head, f32. Room
// for 256 partitions of every row, but at most 128 MiB (and at least one item): attention falls back to walking the
// partitions of a query one after the other when a step has more: same bits.
//   bytes = items · query_heads · (head_dim + 2) · 4
[[nodiscard]] std::int64_t attention_scratch_items(const ScratchLimits& limits);
[[nodiscard]] std::size_t attention_scratch_bytes(const ScratchLimits& limits);
struct AttentionScratch {
  float* partials = nullptr;  // 16-byte aligned
  std::int64_t items = 0;     // what it has room for, with the query_heads and head_dim of the step
};
// bf16 needs batch.work (cut_attention); f32 does not look at it, nor at `scratch`.
void attention(Stream& stream, const TensorView& q, const KvView& kv, const AttentionBatch& batch,
               const AttentionScratch& scratch, const TensorView& out);

}  // namespace herd::cuda
