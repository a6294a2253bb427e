#pragma once
// What the bf16 attention kernels share: where rows, keys and values are, and the arithmetic of one warp over 16 rows
// and 32 keys. Device code. Split items and tile items do the same sums in the same order because both call this.
//
// Virtual rows: the (row, query head) pairs of a sequence that share a KV head, row by row. 16 of them are the M
// operand of mma_bf16. Lane 4g + t holds rows g and g + 8.
//
// Keys are taken 32 at a time, as four N operands of 8. Which key is which column is free (columns do not meet), so
// columns are dealt such that the lane that gets a score is the one that needs it as P for P · V: the lane's scores of
// operand n are keys 16 (n / 2) + 4t + 2 (n % 2) and the next one, and 4t … 4t + 3 of 16 are its k of that product.

#include "kernels/cuda/attention.h"
#include "kernels/cuda/attention_kv.h"
#include "kernels/plans/attention_work.h"
#include "kernels/cuda/instructions.h"
#include "kernels/cuda/layouts.h"
#include "kernels/math.h"

namespace herd::cuda {

struct AttentionArgs {
  TensorView q;
  KvView kv;
  AttentionBatch batch;
  AttentionScratch scratch;
  TensorView out;
};

inline constexpr std::int32_t kKeyStep = 32;  // keys of one step of a warp

__device__ __forceinline__ std::int32_t lane_id() { return static_cast<std::int32_t>(threadIdx.x) % kWarp; }
__device__ __forceinline__ std::int32_t warp_id() { return static_cast<std::int32_t>(threadIdx.x) / kWarp; }
template <class T>
__device__ __forceinline__ T smaller(T a, T b) {
  return a < b ? a : b;
}
template <class T>
__device__ __forceinline__ T larger(T a, T b) {
  return a > b ? a : b;
}

// The query heads of a KV head; they lie together. By a whole warp.
struct QueryGroup {
  std::int32_t first;
  std::int32_t heads;
};
__device__ __forceinline__ QueryGroup query_group(const AttentionBatch& batch, std::int32_t kv_head) {
  std::int32_t before = 0, count = 0;
  for (std::int32_t head = lane_id(); head < batch.query_heads; head += kWarp) {
    const std::int32_t of = batch.kv_head_of_query[head];
    before += of < kv_head ? 1 : 0;
    count += of == kv_head ? 1 : 0;
  }
  for (std::int32_t mask = kWarp / 2; mask > 0; mask /= 2) {
    before += shuffle_xor(before, mask);
    count += shuffle_xor(count, mask);
  }
  return {before, count};
}

// One sequence of the step.
struct Sequence {
  std::int32_t row_begin;
  std::int32_t rows;
  std::int32_t context;  // positions [context - rows, context) are this step's
};
__device__ __forceinline__ Sequence sequence_of(const AttentionBatch& batch, std::int32_t s) {
  return {batch.query_begin[s], batch.query_begin[s + 1] - batch.query_begin[s], batch.context_length[s]};
}

// 16 virtual rows of a warp, and the lane's two of them. A position of -1: there is no such row.
struct WarpRows {
  std::int32_t position[2];
  std::int32_t first, last;  // lowest and highest position of the 16 that are; -1 when there is none
};
__device__ __forceinline__ std::int32_t position_of(const Sequence& sequence, std::int32_t heads, std::int32_t v) {
  return v < sequence.rows * heads ? sequence.context - sequence.rows + v / heads : -1;
}
__device__ __forceinline__ WarpRows warp_rows(const Sequence& sequence, std::int32_t heads, std::int32_t v_begin) {
  const std::int32_t g = lane_id() / 4;
  const std::int32_t v_last = smaller(v_begin + 15, sequence.rows * heads - 1);
  WarpRows rows;
  rows.position[0] = position_of(sequence, heads, v_begin + g);
  rows.position[1] = position_of(sequence, heads, v_begin + g + 8);
  rows.first = position_of(sequence, heads, v_begin);
  rows.last = v_last < v_begin ? -1 : position_of(sequence, heads, v_last);
  return rows;
}

// Where K and V of one sequence and KV head are.
struct Pages {
  const KvView& kv;
  const std::uint32_t* table;
  std::int32_t head;
  std::int32_t block_shift;  // block_size is a power of two

  __device__ __forceinline__ const std::uint16_t* block(std::int32_t position) const {
    const std::int64_t id = table[position >> block_shift];
    return reinterpret_cast<const std::uint16_t*>(static_cast<const char*>(kv.data) +
                                                  id * kv.layout.bytes_per_block());
  }
  // `position` is a multiple of 16: K rows of 16 tokens, V of 16 tokens (layouts.h).
  __device__ __forceinline__ const std::uint16_t* k16(std::int32_t position) const {
    return block(position) + k_index(kv.layout, head, position & (kv.layout.block_size - 1), 0);
  }
  __device__ __forceinline__ const std::uint16_t* v16(std::int32_t position) const {
    return block(position) + v_index(kv.layout, head, position & (kv.layout.block_size - 1), 0);
  }
};
__device__ __forceinline__ Pages pages_of(const KvView& kv, const AttentionBatch& batch, std::int32_t s,
                                          std::int32_t head) {
  std::int32_t shift = 4;
  while ((1 << shift) < kv.layout.block_size) shift++;
  return {kv, batch.block_tables + batch.block_table_begin[s], head, shift};
}

// ---- rows in shared memory ----
// Rows of `units` 16-byte units (a multiple of 4), placed so that two rows next to each other lie in different banks.

__device__ __forceinline__ std::int32_t unit_index(std::int32_t row, std::int32_t unit, std::int32_t units) {
  return row * units + (units % 8 == 0 ? unit ^ ((row & 1) * 4) : unit);
}

// Q of virtual rows [v_begin, v_begin + count) by `threads` threads; +0 beyond head_dim and where there is no row.
__device__ __forceinline__ void stage_q(uint4* to, const AttentionArgs& args, const Sequence& sequence,
                                        const QueryGroup& group, std::int32_t v_begin, std::int32_t count,
                                        std::int32_t threads) {
  const std::int32_t head_dim = args.kv.layout.head_dim;
  const auto units = static_cast<std::int32_t>(round_up(head_dim, 32) / 8);
  const auto* q = static_cast<const std::uint16_t*>(args.q.data);
  const bool aligned = head_dim % 8 == 0 && args.q.row_stride % 8 == 0 && reinterpret_cast<std::uint64_t>(q) % 16 == 0;
  for (auto i = static_cast<std::int32_t>(threadIdx.x); i < count * units; i += threads) {
    const std::int32_t row = i / units, unit = i % units, v = v_begin + row;
    uint4 value = make_uint4(0, 0, 0, 0);
    if (v < sequence.rows * group.heads && unit * 8 < head_dim) {
      const std::int64_t at = (std::int64_t{sequence.row_begin} + v / group.heads) * args.q.row_stride +
                              std::int64_t{group.first + v % group.heads} * head_dim + unit * 8;
      if (aligned) {
        value = *reinterpret_cast<const uint4*>(q + at);
      } else {
        std::uint32_t words[4] = {0, 0, 0, 0};
#pragma unroll
        for (std::int32_t d = 0; d < 8; d++) {
          if (unit * 8 + d < head_dim) words[d / 2] |= std::uint32_t{q[at + d]} << (d % 2 * 16);
        }
        value = make_uint4(words[0], words[1], words[2], words[3]);
      }
    }
    to[unit_index(row, unit, units)] = value;
  }
}

// ---- scores ----

// The key of 32 that is column g of operand n.
__device__ __forceinline__ std::int32_t key_of_column(std::int32_t n, std::int32_t g) {
  return n / 2 * 16 + g / 2 * 4 + n % 2 * 2 + g % 2;
}
// The key of 32 whose score is s[n][c].
__device__ __forceinline__ std::int32_t key_of_score(std::int32_t n, std::int32_t c) {
  return n / 2 * 16 + lane_id() % 4 * 4 + n % 2 * 2 + c % 2;
}

// s[n][c]: score of row g + 8 (c / 2) and key key_of_score(n, c). q: 16 rows in shared memory. load_k(n, chunk): the 16
// bytes from dim 32 chunk + 8t on of key key_of_column(n, g). kChunks: chunks of 32 dims, 0 when not known.
template <int kChunks, class LoadK>
__device__ __forceinline__ void score_keys(float (&s)[4][4], const uint4* q, std::int32_t row_begin,
                                           std::int32_t chunks, float scale, const LoadK& load_k) {
  const std::int32_t g = lane_id() / 4, t = lane_id() % 4;
  const std::int32_t count = kChunks > 0 ? kChunks : chunks;
#pragma unroll
  for (int n = 0; n < 4; n++) {
#pragma unroll
    for (int c = 0; c < 4; c++) s[n][c] = 0.0F;
  }
  const auto add_chunk = [&](std::int32_t chunk) {
    uint4 k[4];
#pragma unroll
    for (int n = 0; n < 4; n++) k[n] = load_k(n, chunk);
    const uint4 low = q[unit_index(row_begin + g, chunk * 4 + t, count * 4)];
    const uint4 high = q[unit_index(row_begin + g + 8, chunk * 4 + t, count * 4)];
    const std::uint32_t first[4] = {low.x, high.x, low.y, high.y};
    const std::uint32_t second[4] = {low.z, high.z, low.w, high.w};
#pragma unroll
    for (int n = 0; n < 4; n++) {
      const std::uint32_t b_first[2] = {k[n].x, k[n].y};
      const std::uint32_t b_second[2] = {k[n].z, k[n].w};
      mma_bf16(s[n], first, b_first);
      mma_bf16(s[n], second, b_second);
    }
  };
  if constexpr (kChunks > 0) {
#pragma unroll
    for (std::int32_t chunk = 0; chunk < kChunks; chunk++) add_chunk(chunk);
  } else {
#pragma unroll 1
    for (std::int32_t chunk = 0; chunk < chunks; chunk++) add_chunk(chunk);
  }
#pragma unroll
  for (int n = 0; n < 4; n++) {
#pragma unroll
    for (int c = 0; c < 4; c++) s[n][c] = s[n][c] * scale;
  }
}

// max[r] = the larger of it and the lane's scores of visible keys; `begin` is the position of the first key. A NaN is
// passed over: it makes P and with it the row NaN whatever the maximum is.
__device__ __forceinline__ void take_max(float (&max)[2], const float (&s)[4][4], std::int32_t begin,
                                         const WarpRows& rows) {
#pragma unroll
  for (int n = 0; n < 4; n++) {
#pragma unroll
    for (int c = 0; c < 4; c++) {
      const bool visible = begin + key_of_score(n, c) <= rows.position[c / 2];
      max[c / 2] = visible && s[n][c] > max[c / 2] ? s[n][c] : max[c / 2];
    }
  }
}
// Over the four lanes that share a row.
__device__ __forceinline__ void join_max(float (&max)[2]) {
#pragma unroll
  for (int r = 0; r < 2; r++) {
#pragma unroll
    for (int mask = 1; mask <= 2; mask *= 2) {
      const float other = shuffle_xor(max[r], mask);
      max[r] = other > max[r] ? other : max[r];
    }
  }
}

// a[h]: P of keys 16h … 16h + 15 as the M operand of P · V; +0 for what a row does not see.
__device__ __forceinline__ void probabilities(std::uint32_t (&a)[2][4], const float (&s)[4][4], const float (&max)[2],
                                              std::int32_t begin, const WarpRows& rows) {
#pragma unroll
  for (int n = 0; n < 4; n++) {
#pragma unroll
    for (int r = 0; r < 2; r++) {
      std::uint32_t word = 0;
#pragma unroll
      for (int i = 0; i < 2; i++) {
        const float p = exp_f32(s[n][2 * r + i] - max[r]);
        const bool visible = begin + key_of_score(n, i) <= rows.position[r];
        word |= visible ? std::uint32_t{to_bf16(p).bits} << (16 * i) : 0;
      }
      a[n / 2][n % 2 * 2 + r] = word;
    }
  }
}

// ---- sums ----

// Σ of the rounded P in rule 2's 16 lanes: of the warp's lane, rows g and g + 8, lanes 4t … 4t + 3 of the sum.
struct LaneSums {
  float lane[2][4];
  __device__ __forceinline__ void clear() {
#pragma unroll
    for (int i = 0; i < 8; i++) lane[i / 4][i % 4] = 0.0F;
  }
  __device__ __forceinline__ void add(const std::uint32_t (&a)[4]) {
#pragma unroll
    for (int i = 0; i < 4; i++) {
      float* at = &lane[i % 2][i / 2 * 2];
      at[0] = at[0] + float_of(a[i] << 16);
      at[1] = at[1] + float_of(a[i] & 0xffff0000U);
    }
  }
  // Lane i + lane i + 8, then 4, 2, 1; by all lanes of the warp.
  [[nodiscard]] __device__ __forceinline__ float total(int r) const {
    float x[4];
#pragma unroll
    for (int j = 0; j < 4; j++) {
      x[j] = lane[r][j] + shuffle_xor(lane[r][j], 2);
      x[j] = x[j] + shuffle_xor(x[j], 1);
    }
    return (x[0] + x[2]) + (x[1] + x[3]);
  }
};

// m and l of rows g and g + 8, of one partition or of all folded so far, and the fold of rule 4.
struct RowSums {
  float max[2];
  float sum[2];
};
struct Fold {
  float keep, take;
  bool first;  // nothing to keep: the partial is copied
};
__device__ __forceinline__ Fold fold_max(float& total, float partial, bool first) {
  const float max = first || partial > total ? partial : total;
  const Fold fold = {first ? 0.0F : exp_f32(total - max), exp_f32(partial - max), first};
  total = max;
  return fold;
}
__device__ __forceinline__ float fold_value(float total, float partial, const Fold& fold) {
  return fold.first ? partial : fma_f32(total, fold.keep, partial * fold.take);
}

// ---- P · V ----

// V of four tokens, the first at `position`; +0 for those beyond `last`.
__device__ __forceinline__ uint2 tokens_until(uint2 v, std::int32_t position, std::int32_t last) {
  const std::int32_t count = last - position + 1;
  v.x = count >= 2 ? v.x : count == 1 ? v.x & 0xffffU : 0;
  v.y = count >= 4 ? v.y : count == 3 ? v.y & 0xffffU : 0;
  return v;
}
__device__ __forceinline__ bool has_non_finite(std::uint32_t pair) {
  return (pair & 0x7f80U) == 0x7f80U || (pair & 0x7f800000U) == 0x7f800000U;
}

// Row by row, with V of what the row does not see as +0. Slow, and rarely needed: 0 · NaN.
__device__ __forceinline__ void multiply_rows_apart(float (&o)[4], const std::uint32_t (&a)[4], uint2 v,
                                                    std::int32_t position, const WarpRows& rows) {
  const std::int32_t g = lane_id() / 4;
  float kept[4] = {o[0], o[1], o[2], o[3]};
#pragma unroll 1
  for (std::int32_t row = 0; row < 16; row++) {
    const std::int32_t last = shuffle(row < 8 ? rows.position[0] : rows.position[1], row % 8 * 4);
    const uint2 seen = tokens_until(v, position, last);
    const std::uint32_t b[2] = {seen.x, seen.y};
    float c[4] = {o[0], o[1], o[2], o[3]};
    mma_bf16(c, a, b);
    const bool low = row == g, high = row == g + 8;
    kept[0] = low ? c[0] : kept[0];
    kept[1] = low ? c[1] : kept[1];
    kept[2] = high ? c[2] : kept[2];
    kept[3] = high ? c[3] : kept[3];
  }
#pragma unroll
  for (int c = 0; c < 4; c++) o[c] = kept[c];
}

// o += P · V of 16 tokens and 8 dims. v: V of dim g, tokens 4t … 4t + 3, the first of them at `position`. edge: not
// all rows see all 16 tokens (the same in the whole warp). What no row sees (it may never have been written) counts as +0. What some see is
// multiplied by P = +0 for the others, which adds nothing as long as it is finite.
__device__ __forceinline__ void multiply_v(float (&o)[4], const std::uint32_t (&a)[4], uint2 v, std::int32_t position,
                                           const WarpRows& rows, bool edge) {
  if (edge) {
    v = tokens_until(v, position, rows.last);
    const uint2 all_see = tokens_until(v, position, rows.first);
    if (ballot(has_non_finite(v.x ^ all_see.x) || has_non_finite(v.y ^ all_see.y)) != 0) {
      multiply_rows_apart(o, a, v, position, rows);
      return;
    }
  }
  const std::uint32_t b[2] = {v.x, v.y};
  mma_bf16(o, a, b);
}

// Output of one element: o / l rounded.
__device__ __forceinline__ void store_out(const TensorView& out, std::int64_t row, std::int64_t col, float o, float l) {
  static_cast<std::uint16_t*>(out.data)[row * out.row_stride + col] = to_bf16(o / l).bits;
}

}  // namespace herd::cuda
