// Attention of long queries, bf16: tile items (attention_work.h).
//
// A block takes one item: 64 virtual rows of a sequence, one KV head, and at most 128 dims of the output (wider heads
// are cut into slices of 64 dims, each with all the scores: registers and shared memory hold no more). Each of its four warps has 16 rows
// and walks the partitions in ascending order, 32 keys at a time. A partition is walked twice: its exact maximum has to
// be known before the first P, and scores are cheaper computed again (the same bits) than kept. K and V pass through
// shared memory, the next step's copies under way while this step computes.

#include "kernels/cuda/attention_tiles.h"

#include "kernels/cuda/launch.h"

namespace herd::cuda {
namespace {

constexpr std::int32_t kWarps = 4;
constexpr std::int32_t kThreads = kWarps * kWarp;
constexpr std::int32_t kWholeDims = 128;  // a wider head is cut into slices of
constexpr std::int32_t kSliceDims = 64;
constexpr std::int32_t kPartitionSteps = kAttentionPartition / kKeyStep;
constexpr std::int32_t kBlocksPerMultiprocessor = 2;
static_assert(kTileRows == kWarps * 16);

// Numbers that follow from head_dim.
struct TileShape {
  std::int32_t units;       // 16-byte units of a row of Q and K
  std::int32_t slices;      // of the output's dims
  std::int32_t slice_dims;  // of a slice, a multiple of 16; the last may have fewer

  // Shared memory, in units: Q, o of all partitions folded so far, then for each of two steps K and V.
  [[nodiscard]] HERD_INLINE std::int32_t q_units() const { return kTileRows * units; }
  [[nodiscard]] HERD_INLINE std::int32_t total_units() const { return kTileRows * slice_dims / 4; }
  [[nodiscard]] HERD_INLINE std::int32_t k_units() const { return kKeyStep * units; }
  [[nodiscard]] HERD_INLINE std::int32_t v_units() const { return kKeyStep / 8 * slice_dims; }
  [[nodiscard]] HERD_INLINE std::int32_t step_units() const { return k_units() + v_units(); }
};
HERD_INLINE TileShape tile_shape(std::int32_t head_dim) {
  const auto padded = static_cast<std::int32_t>(round_up(head_dim, 16));
  const std::int32_t slice_dims = padded > kWholeDims ? kSliceDims : padded;
  return {static_cast<std::int32_t>(round_up(head_dim, 32) / 8), (padded + slice_dims - 1) / slice_dims, slice_dims};
}

struct TileItem {
  Sequence sequence;
  QueryGroup group;
  std::int32_t v_begin;        // first virtual row
  std::int32_t keys;           // visible to some row: positions [0, keys)
  std::int32_t dim_begin;      // the slice of dims
  std::int32_t dims;           // a multiple of 16
  WarpRows rows;
};

// Step i of an item: first all keys of a partition for the maximum, then all of them again with V.
struct TileStep {
  std::int32_t partition;
  std::int32_t key;     // position of the first of 32
  bool second;          // with V
  bool first_of_pass, last_of_pass;
};
__device__ __forceinline__ std::int32_t step_count(const TileItem& item) {
  return 2 * ((item.keys + kKeyStep - 1) / kKeyStep);
}
__device__ __forceinline__ TileStep step_of(const TileItem& item, std::int32_t i) {
  const std::int32_t partition = i / (2 * kPartitionSteps), step = i % (2 * kPartitionSteps);
  const std::int32_t all = (item.keys + kKeyStep - 1) / kKeyStep;
  const std::int32_t count = smaller(kPartitionSteps, all - partition * kPartitionSteps);
  const bool second = step >= count;
  const std::int32_t in_pass = second ? step - count : step;
  return {partition, (partition * kPartitionSteps + in_pass) * kKeyStep, second, in_pass == 0, in_pass == count - 1};
}

// Starts the copies of a step. 16 keys that nobody sees become zeros: the table may end before them.
__device__ __forceinline__ void copy_step(uint4* to, const TileShape& shape, const TileItem& item, const Pages& pages,
                                          const TileStep& step) {
  for (auto i = static_cast<std::int32_t>(threadIdx.x); i < shape.k_units(); i += kThreads) {
    const std::int32_t row = i / shape.units, unit = i % shape.units;
    const bool valid = step.key + row / 16 * 16 < item.keys;
    const std::uint16_t* k = pages.k16(valid ? step.key + row / 16 * 16 : step.key);
    copy16_async(to + unit_index(row, unit, shape.units), k + (row % 16 * shape.units + unit) * 8, valid);
  }
  if (!step.second) return;
  const std::int32_t group_units = item.dims * 2;  // of 16 keys
  for (auto i = static_cast<std::int32_t>(threadIdx.x); i < 2 * group_units; i += kThreads) {
    const std::int32_t group = i / group_units, unit = i % group_units;
    const bool valid = step.key + group * 16 < item.keys;
    const std::uint16_t* v = pages.v16(valid ? step.key + group * 16 : step.key);
    copy16_async(to + shape.k_units() + i, v + item.dim_begin * 16 + unit * 8, valid);
  }
}

// What a warp has of its rows: of the partitions before (o of those is in shared memory: it is needed once in 512 keys),
// and of the partition it is in.
template <int kTiles>
struct TileRows {
  RowSums total;
  float4* total_o;  // the lane's: of tile n at [n * 32]
  float max[2];
  LaneSums sums;
  float o[kTiles][4];
};

template <int kTiles>
__device__ __forceinline__ void begin_values(TileRows<kTiles>& state) {
  join_max(state.max);
  state.sums.clear();
#pragma unroll
  for (int n = 0; n < kTiles; n++) {
#pragma unroll
    for (int c = 0; c < 4; c++) state.o[n][c] = 0.0F;
  }
}

template <int kTiles>
__device__ __forceinline__ void fold_partition(TileRows<kTiles>& state, const TileItem& item, std::int32_t partition) {
  Fold fold[2];
  bool sees[2];
#pragma unroll
  for (int r = 0; r < 2; r++) {
    const float sum = state.sums.total(r);
    sees[r] = item.rows.position[r] >= partition * kAttentionPartition;
    if (!sees[r]) continue;
    fold[r] = fold_max(state.total.max[r], state.max[r], partition == 0);
    state.total.sum[r] = fold_value(state.total.sum[r], sum, fold[r]);
  }
#pragma unroll
  for (int n = 0; n < kTiles; n++) {
    if (n * 8 >= item.dims) continue;
    float4 total = state.total_o[n * kWarp];
    if (sees[0]) total.x = fold_value(total.x, state.o[n][0] + 0.0F, fold[0]);
    if (sees[0]) total.y = fold_value(total.y, state.o[n][1] + 0.0F, fold[0]);
    if (sees[1]) total.z = fold_value(total.z, state.o[n][2] + 0.0F, fold[1]);
    if (sees[1]) total.w = fold_value(total.w, state.o[n][3] + 0.0F, fold[1]);
    state.total_o[n * kWarp] = total;
  }
}

// o += P · V of one step.
template <int kTiles>
__device__ __forceinline__ void multiply_step(TileRows<kTiles>& state, const float (&s)[4][4], const uint4* v_shared,
                                              const TileItem& item, const TileStep& step) {
  const std::int32_t g = lane_id() / 4, t = lane_id() % 4;
  std::uint32_t a[2][4];
  probabilities(a, s, state.max, step.key, item.rows);
#pragma unroll
  for (int h = 0; h < 2; h++) {
    const std::int32_t position = step.key + h * 16;
    if (position > item.rows.last) continue;  // sums would stay what they are
    state.sums.add(a[h]);
    const auto* v = reinterpret_cast<const uint2*>(v_shared + h * item.dims * 2) + g * 4 + t;
    const bool edge = position + 15 > item.rows.first;
#pragma unroll
    for (int n = 0; n < kTiles; n++) {
      if (n * 8 >= item.dims) continue;
      multiply_v(state.o[n], a[h], v[n * 32], position + t * 4, item.rows, edge);
    }
  }
}

template <int kChunks, int kTiles>
__device__ __forceinline__ void compute_step(TileRows<kTiles>& state, const uint4* q, const uint4* k,
                                             const TileShape& shape, const TileItem& item, const TileStep& step,
                                             float scale) {
  const std::int32_t g = lane_id() / 4, t = lane_id() % 4;
  if (step.first_of_pass && !step.second) state.max[0] = state.max[1] = -math::kInf;
  if (step.first_of_pass && step.second) begin_values(state);
  if (step.key <= item.rows.last) {
    float s[4][4];
    const std::int32_t units = kChunks > 0 ? kChunks * 4 : shape.units;
    score_keys<kChunks>(s, q, warp_id() * 16, units / 4, scale, [&](int n, std::int32_t chunk) {
      return k[unit_index(key_of_column(n, g), chunk * 4 + t, units)];
    });
    if (step.second) {
      multiply_step(state, s, k + shape.k_units(), item, step);
    } else {
      take_max(state.max, s, step.key, item.rows);
    }
  }
  if (step.last_of_pass && step.second) fold_partition(state, item, step.partition);
}

template <int kTiles>
__device__ __forceinline__ void write_tile(const AttentionArgs& args, const TileItem& item,
                                           const TileRows<kTiles>& state) {
  const std::int32_t head_dim = args.kv.layout.head_dim;
#pragma unroll
  for (int r = 0; r < 2; r++) {
    if (item.rows.position[r] < 0) continue;
    const std::int32_t v = item.v_begin + warp_id() * 16 + lane_id() / 4 + 8 * r;
    const std::int64_t row = std::int64_t{item.sequence.row_begin} + v / item.group.heads;
    const std::int64_t col = std::int64_t{item.group.first + v % item.group.heads} * head_dim;
#pragma unroll 1
    for (std::int32_t n = 0; n * 8 < item.dims; n++) {
      const float4 total = state.total_o[n * kWarp];
      const std::int32_t dim = item.dim_begin + n * 8 + lane_id() % 4 * 2;
      const float l = state.total.sum[r];
      if (dim < head_dim) store_out(args.out, row, col + dim, r == 0 ? total.x : total.z, l);
      if (dim + 1 < head_dim) store_out(args.out, row, col + dim + 1, r == 0 ? total.y : total.w, l);
    }
  }
}

// A tile of sequence s; false when it has no rows (the KV head has fewer query heads than others).
__device__ __forceinline__ bool tile_item(TileItem& item, const AttentionArgs& args, const TileShape& shape,
                                          std::int32_t s, std::int32_t tile, std::int32_t kv_head,
                                          std::int32_t slice) {
  item.sequence = sequence_of(args.batch, s);
  item.group = query_group(args.batch, kv_head);
  item.v_begin = tile * kTileRows;
  const std::int32_t v_end = smaller(item.v_begin + kTileRows, item.sequence.rows * item.group.heads);
  if (v_end <= item.v_begin) return false;
  item.keys = position_of(item.sequence, item.group.heads, v_end - 1) + 1;
  if (item.keys == 0) return false;
  item.dim_begin = slice * shape.slice_dims;
  const auto padded = static_cast<std::int32_t>(round_up(args.kv.layout.head_dim, 16));
  item.dims = smaller(shape.slice_dims, padded - item.dim_begin);
  item.rows = warp_rows(item.sequence, item.group.heads, item.v_begin + warp_id() * 16);
  return true;
}

template <int kChunks, int kTiles>
__global__ void __launch_bounds__(kThreads) attention_tile_kernel(AttentionArgs args) {
  const TileShape shape = tile_shape(args.kv.layout.head_dim);
  auto* q = reinterpret_cast<uint4*>(dynamic_shared());
  uint4* totals = q + shape.q_units();
  uint4* steps = totals + shape.total_units();
  const AttentionBatch& batch = args.batch;
  const std::int32_t per_tile = args.kv.layout.kv_heads * shape.slices;
  const std::int64_t items = std::int64_t{batch.work.tile_begin[batch.sequences]} * per_tile;
  for (std::int64_t i = blockIdx.x; i < items; i += gridDim.x) {
    // From the last to the first: later tiles of a sequence see more, and the longest work is best begun first.
    const auto index = static_cast<std::int32_t>((items - 1 - i) / per_tile);
    const auto part = static_cast<std::int32_t>((items - 1 - i) % per_tile);
    const std::int32_t s = find_last(batch.work.tile_begin, batch.sequences, index);
    const std::int32_t kv_head = part / shape.slices;
    TileItem item;
    if (!tile_item(item, args, shape, s, index - batch.work.tile_begin[s], kv_head, part % shape.slices)) continue;
    const Pages pages = pages_of(args.kv, batch, s, kv_head);
    block_barrier();  // nobody reads Q, K or V of the item before any more
    stage_q(q, args, item.sequence, item.group, item.v_begin, kTileRows, kThreads);
    const std::int32_t count = step_count(item);
    copy_step(steps, shape, item, pages, step_of(item, 0));
    copy_commit();
    TileRows<kTiles> state;
    state.total_o = reinterpret_cast<float4*>(totals) + warp_id() * shape.slice_dims / 8 * kWarp + lane_id();
    for (std::int32_t step = 0; step < count; step++) {
      uint4* here = steps + step % 2 * shape.step_units();
      copy_wait<0>();
      block_barrier();  // this step's K and V are there; nobody reads those of the step before any more
      if (step + 1 < count) {
        copy_step(steps + (step + 1) % 2 * shape.step_units(), shape, item, pages, step_of(item, step + 1));
        copy_commit();
      }
      compute_step<kChunks, kTiles>(state, q, here, shape, item, step_of(item, step), batch.scale);
    }
    write_tile(args, item, state);
  }
}

}  // namespace

void attention_tiles(Stream& stream, const AttentionArgs& args) {
  const std::int32_t head_dim = args.kv.layout.head_dim;
  const TileShape shape = tile_shape(head_dim);
  auto* const kernel = head_dim == 64    ? attention_tile_kernel<2, 8>
                       : head_dim == 128 ? attention_tile_kernel<4, 16>
                                         : attention_tile_kernel<0, 16>;
  const auto shared_bytes =
      static_cast<std::size_t>(shape.q_units() + shape.total_units() + 2 * shape.step_units()) * sizeof(uint4);
  const auto blocks = static_cast<unsigned>(stream.multiprocessors() * kBlocksPerMultiprocessor);
  launch(stream, "attention_tile", kernel, dim3(blocks), kThreads, shared_bytes, args);
}

}  // namespace herd::cuda
