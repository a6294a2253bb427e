// Attention of short queries, bf16: split items (attention_work.h), and the fold of their partials. Long ones are in
// attention_tiles.cu, float32 in attention_f32.cu.
//
// A block takes one item: one partition of one sequence and one KV head, with all its virtual rows (at most 16). Its
// four warps share the scores by key, 128 each, and P · V by dim. Partials go to scratch, and the fold kernel adds those
// of each row and head. A sequence of one partition has nothing to fold: its block writes the output. When the step has
// more partials than scratch has room for, a block takes a sequence and KV head and walks its partitions instead.

#include "kernels/cuda/attention.h"

#include <algorithm>
#include <string>

#include "kernels/cuda/attention_device.h"
#include "kernels/cuda/attention_f32.h"
#include "kernels/cuda/attention_tiles.h"
#include "kernels/cuda/launch.h"

namespace herd::cuda {
namespace {

constexpr std::int32_t kWarps = 4;
constexpr std::int32_t kThreads = kWarps * kWarp;
constexpr std::int32_t kSteps = kAttentionPartition / kKeyStep;
constexpr std::int32_t kWarpSteps = kSteps / kWarps;
constexpr std::int32_t kBlocksPerMultiprocessor = 2;
constexpr std::int64_t kScratchBytesMax = std::int64_t{128} << 20;
constexpr std::int64_t kScratchPartitions = 256;  // of every row

// How the split items of a step are worked off; the same in every block and in both kernels.
struct SplitPlan {
  std::int32_t items;     // of all sequences
  std::int32_t rows_max;  // of a sequence that has split items: items lie that far apart in scratch
  bool walk;              // scratch is too small
};

// By a whole block of kThreads.
__device__ SplitPlan plan_splits(const AttentionArgs& args) {
  __shared__ std::int32_t warp_rows_max[kWarps];
  const AttentionBatch& batch = args.batch;
  std::int32_t rows_max = 0;
  for (auto s = static_cast<std::int32_t>(threadIdx.x); s < batch.sequences; s += kThreads) {
    const bool split = batch.work.split_begin[s + 1] > batch.work.split_begin[s];
    const std::int32_t rows = batch.query_begin[s + 1] - batch.query_begin[s];
    rows_max = split && rows > rows_max ? rows : rows_max;
  }
  for (std::int32_t mask = kWarp / 2; mask > 0; mask /= 2) rows_max = larger(rows_max, shuffle_xor(rows_max, mask));
  if (lane_id() == 0) warp_rows_max[warp_id()] = rows_max;
  block_barrier();
  for (std::int32_t warp = 0; warp < kWarps; warp++) rows_max = larger(rows_max, warp_rows_max[warp]);
  const std::int32_t items = batch.work.split_begin[batch.sequences];
  return {items, rows_max, std::int64_t{items} * rows_max > args.scratch.items};
}

// Scratch: (m, l) of [item][query head], then o of [item][query head][dim]; an item is a row and a partition.
__device__ __forceinline__ float* partial_sums(const AttentionArgs& args, std::int64_t slot, std::int32_t head) {
  return args.scratch.partials + (slot * args.batch.query_heads + head) * 2;
}
__device__ __forceinline__ float* partial_values(const AttentionArgs& args, std::int64_t slot, std::int32_t head) {
  return args.scratch.partials + args.scratch.items * args.batch.query_heads * 2 +
         (slot * args.batch.query_heads + head) * args.kv.layout.head_dim;
}

// Dynamic shared memory of a split block. A lane keeps the scores of its step (32 keys) as four units, and puts P, two
// units as M operands of 16 keys each, over the first two of them.
struct SplitShared {
  uint4* scores;  // [16 steps][4][32 lanes]
  float* max;     // [4 warps][16 rows]
  float* sum;     // [16 rows]: l, for the output
  uint4* q;       // 16 rows
};
constexpr std::size_t kScoreBytes = kSteps * 4 * kWarp * sizeof(uint4);
constexpr std::size_t kSplitFixedBytes = kScoreBytes + (kWarps + 1) * 16 * sizeof(float);
__device__ __forceinline__ SplitShared split_shared() {
  unsigned char* base = dynamic_shared();
  auto* floats = reinterpret_cast<float*>(base + kScoreBytes);
  return {reinterpret_cast<uint4*>(base), floats, floats + kWarps * 16, reinterpret_cast<uint4*>(base + kSplitFixedBytes)};
}

// What a block works on: a sequence and KV head, its rows, and where the warp's dims begin.
struct SplitItem {
  Sequence sequence;
  QueryGroup group;
  WarpRows rows;
  std::int32_t tile_begin, tiles;  // the warp's tiles of 8 dims
};

// Scores of 32 keys from `key` on, of which those before `end` exist.
template <int kChunks>
__device__ __forceinline__ void score_step(float (&s)[4][4], const SplitShared& shared, const Pages& pages,
                                           std::int32_t key, std::int32_t end, float scale) {
  const std::int32_t g = lane_id() / 4, t = lane_id() % 4;
  const auto dims = static_cast<std::int32_t>(round_up(pages.kv.layout.head_dim, 32));
  // The table may end before the second 16 keys: then nobody sees them.
  const std::uint16_t* k16[2] = {pages.k16(key), pages.k16(key + 16 < end ? key + 16 : key)};
  const auto from_memory = [&](int n, std::int32_t chunk) {
    return load16_streaming(k16[n / 2] + key_of_column(n, g) % 16 * dims + chunk * 32 + t * 8);
  };
  if constexpr (kChunks > 0) {  // all loads under way before the first product
    uint4 k[kChunks][4];
#pragma unroll
    for (int i = 0; i < 4 * kChunks; i++) k[i / 4][i % 4] = from_memory(i % 4, i / 4);
    score_keys<kChunks>(s, shared.q, 0, kChunks, scale, [&](int n, std::int32_t chunk) { return k[chunk][n]; });
  } else {
    score_keys<kChunks>(s, shared.q, 0, dims / 32, scale, from_memory);
  }
}

// P of the partition that begins at `begin`, keys until `end`, into shared memory, and the maxima of the lane's rows.
template <int kChunks>
__device__ __forceinline__ void share_probabilities(float (&max)[2], const SplitShared& shared, const SplitItem& item,
                                                    const Pages& pages, std::int32_t begin, std::int32_t end,
                                                    float scale) {
  const std::int32_t g = lane_id() / 4;
  const std::int32_t first_step = warp_id() * kWarpSteps;
  uint4* mine = shared.scores + first_step * 4 * kWarp + lane_id();
  const std::int32_t warp_begin = begin + first_step * kKeyStep;
  const std::int32_t steps = smaller(kWarpSteps, (end - warp_begin + kKeyStep - 1) / kKeyStep);  // <= 0: none
  max[0] = max[1] = -math::kInf;
  block_barrier();  // nobody reads P of the partition before any more
#pragma unroll 1
  for (std::int32_t step = 0; step < steps; step++) {
    float s[4][4];
    score_step<kChunks>(s, shared, pages, warp_begin + step * kKeyStep, end, scale);
    take_max(max, s, warp_begin + step * kKeyStep, item.rows);
#pragma unroll
    for (int n = 0; n < 4; n++) {
      mine[(step * 4 + n) * kWarp] = make_uint4(bits_of(s[n][0]), bits_of(s[n][1]), bits_of(s[n][2]), bits_of(s[n][3]));
    }
  }
  join_max(max);
  if (lane_id() % 4 == 0) {
    shared.max[warp_id() * 16 + g] = max[0];
    shared.max[warp_id() * 16 + g + 8] = max[1];
  }
  block_barrier();
#pragma unroll
  for (int i = 0; i < 2 * kWarps; i++) {
    const float other = shared.max[i / 2 * 16 + g + i % 2 * 8];
    max[i % 2] = other > max[i % 2] ? other : max[i % 2];
  }
#pragma unroll 1
  for (std::int32_t step = 0; step < steps; step++) {
    float s[4][4];
#pragma unroll
    for (int n = 0; n < 4; n++) {
      const uint4 bits = mine[(step * 4 + n) * kWarp];
      s[n][0] = float_of(bits.x);
      s[n][1] = float_of(bits.y);
      s[n][2] = float_of(bits.z);
      s[n][3] = float_of(bits.w);
    }
    std::uint32_t a[2][4];
    probabilities(a, s, max, warp_begin + step * kKeyStep, item.rows);
#pragma unroll
    for (int h = 0; h < 2; h++) mine[(step * 4 + h) * kWarp] = make_uint4(a[h][0], a[h][1], a[h][2], a[h][3]);
  }
  block_barrier();
}

// o += P · V of 16 keys: the warp's dims. `position`: of the first key.
template <int kTiles>
__device__ __forceinline__ void multiply_group(float (&o)[kTiles][4], LaneSums& sums, const SplitShared& shared,
                                               const SplitItem& item, const Pages& pages, std::int32_t group,
                                               std::int32_t position, bool edge) {
  const std::int32_t g = lane_id() / 4, t = lane_id() % 4;
  const std::uint16_t* v16 = pages.v16(position) + (item.tile_begin * 8 + g) * 16 + t * 4;
  uint2 v[kTiles];
#pragma unroll
  for (int n = 0; n < kTiles; n++) {
    if (n < item.tiles) v[n] = *reinterpret_cast<const uint2*>(v16 + n * 8 * 16);
  }
  const uint4 p = shared.scores[(group / 2 * 4 + group % 2) * kWarp + lane_id()];
  const std::uint32_t a[4] = {p.x, p.y, p.z, p.w};
  if (warp_id() == 0) sums.add(a);
#pragma unroll
  for (int n = 0; n < kTiles; n++) {
    if (n < item.tiles) multiply_v(o[n], a, v[n], position + t * 4, item.rows, edge);
  }
}

// One partition: m, o, and in warp 0 l, of the lane's rows and the warp's dims.
template <int kChunks, int kTiles>
__device__ __forceinline__ void attend_partition(RowSums& row, float (&o)[kTiles][4], const SplitShared& shared,
                                                 const SplitItem& item, const Pages& pages, std::int32_t begin,
                                                 float scale) {
  const std::int32_t end = smaller(begin + kAttentionPartition, item.rows.last + 1);
  share_probabilities<kChunks>(row.max, shared, item, pages, begin, end, scale);
#pragma unroll
  for (int n = 0; n < kTiles; n++) {
#pragma unroll
    for (int c = 0; c < 4; c++) o[n][c] = 0.0F;
  }
  LaneSums sums;
  sums.clear();
  const std::int32_t groups = (end - begin + 15) / 16;
  const std::int32_t all_see = smaller(groups, larger(item.rows.first + 1 - begin, 0) / 16);
#pragma unroll 4
  for (std::int32_t group = 0; group < all_see; group++) {
    multiply_group<kTiles>(o, sums, shared, item, pages, group, begin + group * 16, false);
  }
#pragma unroll 1
  for (std::int32_t group = all_see; group < groups; group++) {
    multiply_group<kTiles>(o, sums, shared, item, pages, group, begin + group * 16, true);
  }
#pragma unroll
  for (int n = 0; n < kTiles; n++) {
#pragma unroll
    for (int c = 0; c < 4; c++) o[n][c] = o[n][c] + 0.0F;
  }
#pragma unroll
  for (int r = 0; r < 2; r++) row.sum[r] = sums.total(r);
}

// Calls body(row of the lane: 0 or 1, row of the step, query head, n, c, dim) for every element of o that exists.
template <int kTiles, class Body>
__device__ __forceinline__ void for_each_element(const SplitItem& item, std::int32_t head_dim, const Body& body) {
#pragma unroll
  for (int r = 0; r < 2; r++) {
    if (item.rows.position[r] < 0) continue;
    const std::int32_t v = lane_id() / 4 + 8 * r;
    const std::int32_t row = v / item.group.heads, head = item.group.first + v % item.group.heads;
#pragma unroll
    for (int n = 0; n < kTiles; n++) {
#pragma unroll
      for (int i = 0; i < 2; i++) {
        const std::int32_t dim = (item.tile_begin + n) * 8 + lane_id() % 4 * 2 + i;
        if (n < item.tiles && dim < head_dim) body(r, row, head, n, 2 * r + i, dim);
      }
    }
  }
}

// Partitions [partition_begin, partition_end) of an item, folded in order; `row` and `o` as of attend_partition.
template <int kChunks, int kTiles>
__device__ __forceinline__ void attend(RowSums& row, float (&o)[kTiles][4], const SplitShared& shared,
                                       const SplitItem& item, const Pages& pages, std::int32_t partition_begin,
                                       std::int32_t partition_end, float scale) {
#pragma unroll 1
  for (std::int32_t partition = partition_begin; partition < partition_end; partition++) {
    const std::int32_t begin = partition * kAttentionPartition;
    RowSums next;
    float next_o[kTiles][4];
    attend_partition<kChunks, kTiles>(next, next_o, shared, item, pages, begin, scale);
#pragma unroll
    for (int r = 0; r < 2; r++) {
      if (item.rows.position[r] < begin) continue;  // sees nothing of it
      const Fold fold = fold_max(row.max[r], next.max[r], partition == partition_begin);
      row.sum[r] = fold_value(row.sum[r], next.sum[r], fold);
#pragma unroll
      for (int n = 0; n < kTiles; n++) {
#pragma unroll
        for (int c = 2 * r; c < 2 * r + 2; c++) o[n][c] = fold_value(o[n][c], next_o[n][c], fold);
      }
    }
  }
}

template <int kTiles>
__device__ __forceinline__ void write_output(const AttentionArgs& args, const SplitShared& shared,
                                             const SplitItem& item, const RowSums& row, const float (&o)[kTiles][4]) {
  const std::int32_t g = lane_id() / 4, head_dim = args.kv.layout.head_dim;
  if (warp_id() == 0 && lane_id() % 4 == 0) {
    shared.sum[g] = row.sum[0];
    shared.sum[g + 8] = row.sum[1];
  }
  block_barrier();
  for_each_element<kTiles>(item, head_dim, [&](int r, std::int32_t step_row, std::int32_t head, int n, int c,
                                               std::int32_t dim) {
    store_out(args.out, std::int64_t{item.sequence.row_begin} + step_row, std::int64_t{head} * head_dim + dim, o[n][c],
              shared.sum[g + 8 * r]);
  });
}

template <int kTiles>
__device__ __forceinline__ void write_partials(const AttentionArgs& args, const SplitItem& item, std::int64_t slot,
                                               const RowSums& row, const float (&o)[kTiles][4]) {
  for_each_element<kTiles>(item, args.kv.layout.head_dim, [&](int r, std::int32_t step_row, std::int32_t head, int n,
                                                              int c, std::int32_t dim) {
    if (warp_id() == 0 && dim == 0) {
      float* sums = partial_sums(args, slot + step_row, head);
      sums[0] = row.max[r];
      sums[1] = row.sum[r];
    }
    partial_values(args, slot + step_row, head)[dim] = o[n][c];
  });
}

template <int kChunks, int kTiles>
__global__ void __launch_bounds__(kThreads, kBlocksPerMultiprocessor) attention_split_kernel(AttentionArgs args) {
  const SplitShared shared = split_shared();
  const SplitPlan plan = plan_splits(args);
  const AttentionBatch& batch = args.batch;
  const std::int32_t* split_begin = batch.work.split_begin;
  const std::int32_t kv_heads = args.kv.layout.kv_heads;
  const auto tiles = static_cast<std::int32_t>(round_up(args.kv.layout.head_dim, 16) / 8);
  const std::int32_t warp_tiles = (tiles + kWarps - 1) / kWarps;
  const std::int64_t items = std::int64_t{plan.walk ? batch.sequences : plan.items} * kv_heads;
  for (std::int64_t i = blockIdx.x; i < items; i += gridDim.x) {
    const auto index = static_cast<std::int32_t>(i / kv_heads), kv_head = static_cast<std::int32_t>(i % kv_heads);
    const std::int32_t s = plan.walk ? index : find_last(split_begin, batch.sequences, index);
    const std::int32_t partitions = split_begin[s + 1] - split_begin[s];
    SplitItem item;
    item.sequence = sequence_of(batch, s);
    item.group = query_group(batch, kv_head);
    if (partitions == 0 || item.group.heads == 0) continue;
    item.rows = warp_rows(item.sequence, item.group.heads, 0);
    item.tile_begin = warp_id() * warp_tiles;
    item.tiles = smaller(warp_tiles, larger(tiles - item.tile_begin, 0));
    stage_q(shared.q, args, item.sequence, item.group, 0, 16, kThreads);
    block_barrier();
    const Pages pages = pages_of(args.kv, batch, s, kv_head);
    RowSums row;
    float o[kTiles][4];
    const bool whole = plan.walk || partitions == 1;
    const std::int32_t partition = whole ? 0 : index - split_begin[s];
    attend<kChunks, kTiles>(row, o, shared, item, pages, partition, whole ? partitions : partition + 1, batch.scale);
    if (whole) {
      write_output<kTiles>(args, shared, item, row, o);
    } else {
      write_partials<kTiles>(args, item, std::int64_t{index} * plan.rows_max, row, o);
    }
  }
}

// Folds the partials of one row, block (row, some of the heads); zeros for a row without a context. A thread has a dim.
__global__ void __launch_bounds__(kThreads) attention_fold_kernel(AttentionArgs args) {
  const SplitPlan plan = plan_splits(args);
  const AttentionBatch& batch = args.batch;
  const std::int32_t* split_begin = batch.work.split_begin;
  const std::int32_t head_dim = args.kv.layout.head_dim;
  const auto row = static_cast<std::int32_t>(blockIdx.x);
  const std::int32_t s = find_last(batch.query_begin, batch.sequences, row);
  const Sequence sequence = sequence_of(batch, s);
  const std::int32_t row_of_sequence = row - sequence.row_begin;
  const bool idle = sequence.context == 0 || row_of_sequence >= sequence.rows;
  if (!idle && (plan.walk || split_begin[s + 1] - split_begin[s] <= 1)) return;  // written already, or a tile's
  const std::int32_t position = sequence.context - sequence.rows + row_of_sequence;
  const std::int32_t partitions = idle ? 0 : position / kAttentionPartition + 1;
  for (auto head = static_cast<std::int32_t>(blockIdx.y); head < batch.query_heads; head += gridDim.y) {
    for (auto dim = static_cast<std::int32_t>(threadIdx.x); dim < head_dim; dim += kThreads) {
      float max = 0.0F, sum = 0.0F, value = 0.0F;
#pragma unroll 4
      for (std::int32_t partition = 0; partition < partitions; partition++) {
        const std::int64_t slot = (std::int64_t{split_begin[s]} + partition) * plan.rows_max + row_of_sequence;
        const float* sums = partial_sums(args, slot, head);
        const Fold fold = fold_max(max, sums[0], partition == 0);
        sum = fold_value(sum, sums[1], fold);
        value = fold_value(value, partial_values(args, slot, head)[dim], fold);
      }
      store_out(args.out, row, std::int64_t{head} * head_dim + dim, value, idle ? 1.0F : sum);
    }
  }
}

void launch_splits(Stream& stream, const AttentionArgs& args) {
  const std::int64_t head_dim = args.kv.layout.head_dim;
  auto* const kernel = head_dim == 64    ? attention_split_kernel<2, 2>
                       : head_dim == 128 ? attention_split_kernel<4, 4>
                                         : attention_split_kernel<0, 8>;
  const std::size_t shared_bytes = kSplitFixedBytes + static_cast<std::size_t>(16 * round_up(head_dim, 32) * 2);
  const auto blocks = static_cast<unsigned>(stream.multiprocessors() * kBlocksPerMultiprocessor);
  launch(stream, "attention_split", kernel, dim3(blocks), kThreads, shared_bytes, args);
  // Many rows: most of them are not split, so a block looks at a whole row.
  const auto rows = static_cast<unsigned>(args.q.rows);
  const dim3 grid(rows, rows <= 512 ? static_cast<unsigned>(args.batch.query_heads) : 1);
  launch(stream, "attention_fold", attention_fold_kernel, grid, kThreads, 0, args);
}

std::int64_t item_bytes(const ScratchLimits& limits) {
  return std::int64_t{limits.query_heads} * (limits.head_dim + 2) * static_cast<std::int64_t>(sizeof(float));
}

}  // namespace

std::int64_t attention_scratch_items(const ScratchLimits& limits) {
  const std::int64_t fitting = kScratchBytesMax / item_bytes(limits);
  return std::max<std::int64_t>(1, std::min(limits.rows * kScratchPartitions, fitting));
}

std::size_t attention_scratch_bytes(const ScratchLimits& limits) {
  return static_cast<std::size_t>(attention_scratch_items(limits) * item_bytes(limits));
}

void attention(Stream& stream, const TensorView& q, const KvView& kv, const AttentionBatch& batch,
               const AttentionScratch& scratch, const TensorView& out) {
  if (q.rows == 0) return;
  if (q.dtype == DType::kF32) {
    attention_f32(stream, q, kv, batch, out);
    return;
  }
  if (kv.layout.head_dim > kAttentionHeadDimMax) {
    stream.fail("attention: head_dim " + std::to_string(kv.layout.head_dim) + " is more than " +
                std::to_string(kAttentionHeadDimMax));
    return;
  }
  const AttentionArgs args = {q, kv, batch, scratch, out};
  launch_splits(stream, args);
  if (batch.work.tiles) attention_tiles(stream, args);
}

}  // namespace herd::cuda
