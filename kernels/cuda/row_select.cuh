#pragma once
// One block over one row of logits, in shared memory alone: reductions, the border of a head of the row's order whose
// weights reach a goal (the best k; top-p), and the best columns in sorted runs, as many runs as are wanted. Every function
// here but those of one key is called by all kRowThreads threads of a block together, with the same arguments; it begins with
// a barrier, so that it sees what the threads wrote before.
//
// Order of columns: key = the logit's bits made unsigned and ascending (-0 and what counts as zero as +0), then
// ~column, so that descending keys are (logit descending, column ascending). 0 is nobody's key.

#include <cstdint>

#include "kernels/cuda/instructions.h"
#include "kernels/math.h"

namespace herd::cuda {

inline constexpr int kRowThreads = 1024;
inline constexpr int kRowWarps = kRowThreads / kWarp;
inline constexpr std::uint32_t kBins = kRowThreads;  // one a thread
inline constexpr std::uint32_t kRunMax = 4096;       // keys of a run
static_assert(kRunMax % kRowThreads == 0);

__device__ __forceinline__ std::uint64_t key_of(float value, std::uint32_t column) {
  const std::uint32_t bits = bits_of(value + 0.0F);
  const std::uint32_t ascending = (bits & 0x80000000U) != 0 ? ~bits : bits | 0x80000000U;
  return std::uint64_t{ascending} << 32 | (0xffffffffU - column);
}
__device__ __forceinline__ float value_of_key(std::uint64_t key) {
  const auto ascending = static_cast<std::uint32_t>(key >> 32);
  return float_of((ascending & 0x80000000U) != 0 ? ascending & 0x7fffffffU : ~ascending);
}
__device__ __forceinline__ std::uint32_t column_of_key(std::uint64_t key) {
  return 0xffffffffU - static_cast<std::uint32_t>(key);
}
// A column at -inf takes no part. (Nor does a negative NaN; callers have made sure that there is none.)
inline constexpr std::uint64_t kLowestKey = std::uint64_t{0x00800000U} << 32;

// Keys of a row, both ends included. None where low > high.
struct KeyRange {
  std::uint64_t low = ~std::uint64_t{0};
  std::uint64_t high = 0;

  __device__ __forceinline__ bool holds(std::uint64_t key) const { return low <= key && key <= high; }
  __device__ __forceinline__ void add(std::uint64_t key) {
    low = key < low ? key : low;
    high = key > high ? key : high;
  }
};

// Every key in `range` once, by the thread that has its column.
template <class Each>
__device__ __forceinline__ void for_each_key(const float* row, std::int64_t columns, const KeyRange& range,
                                             const Each& each) {
  const auto end = static_cast<std::uint32_t>(columns);
#pragma unroll 4
  for (std::uint32_t c = threadIdx.x; c < end; c += kRowThreads) {
    const std::uint64_t key = key_of(row[c], c);
    if (range.holds(key)) each(key);
  }
}

// ---- reductions; the answer reaches every thread ----

struct ReduceShared {
  std::uint64_t warp[kRowWarps];
};

template <class Combine>
__device__ __forceinline__ std::uint64_t row_reduce(std::uint64_t value, ReduceShared& shared, const Combine& combine) {
  for (int lanes = kWarp / 2; lanes > 0; lanes /= 2) value = combine(value, shuffle_xor(value, lanes));
  block_barrier();
  if (threadIdx.x % kWarp == 0) shared.warp[threadIdx.x / kWarp] = value;
  block_barrier();
  value = shared.warp[0];
  for (int warp = 1; warp < kRowWarps; warp++) value = combine(value, shared.warp[warp]);
  return value;
}
__device__ __forceinline__ std::uint64_t row_max(std::uint64_t value, ReduceShared& shared) {
  return row_reduce(value, shared, [](std::uint64_t a, std::uint64_t b) { return a > b ? a : b; });
}
__device__ __forceinline__ std::uint64_t row_min(std::uint64_t value, ReduceShared& shared) {
  return ~row_max(~value, shared);
}
__device__ __forceinline__ std::uint64_t row_sum(std::uint64_t value, ReduceShared& shared) {
  return row_reduce(value, shared, [](std::uint64_t a, std::uint64_t b) { return a + b; });
}
__device__ __forceinline__ bool row_any(bool value, ReduceShared& shared) {
  return row_max(value ? 1 : 0, shared) != 0;
}
// The lowest and the highest of the threads' ranges.
__device__ __forceinline__ KeyRange row_extent(const KeyRange& mine, ReduceShared& shared) {
  return {row_min(mine.low, shared), row_max(mine.high, shared)};
}
__device__ __forceinline__ KeyRange extent_of(const float* row, std::int64_t columns, const KeyRange& range,
                                              ReduceShared& shared) {
  KeyRange mine;
  for_each_key(row, columns, range, [&](std::uint64_t key) { mine.add(key); });
  return row_extent(mine, shared);
}

// Descending, in place; `count` <= kRunMax keys. Bitonic (Batcher 1968), filled up with nobody's keys to a power of two.
__device__ __forceinline__ void sort_keys(std::uint64_t* keys, std::uint32_t count) {
  std::uint32_t size = 2;
  while (size < count) size *= 2;
  for (std::uint32_t i = count + threadIdx.x; i < size; i += kRowThreads) keys[i] = 0;
  block_barrier();
  for (std::uint32_t run = 2; run <= size; run *= 2) {
    for (std::uint32_t stride = run / 2; stride > 0; stride /= 2) {
      for (std::uint32_t i = threadIdx.x; i < size / 2; i += kRowThreads) {
        const std::uint32_t a = 2 * i - (i & (stride - 1));
        const std::uint32_t b = a + stride;
        const std::uint64_t low = keys[a];
        const std::uint64_t high = keys[b];
        if ((low < high) == ((a & run) == 0)) {
          keys[a] = high;
          keys[b] = low;
        }
      }
      block_barrier();
    }
  }
}

// ---- descents: the border of the shortest head of the order whose weights reach a goal ----
//
// A level weighs the keys of a range in kBins bins, finds the bin that holds the border, and collects that bin's keys; when
// there are more than kRunMax, it cuts the range that they span once more. The first level cuts by value, since logits are
// spread by value and their bits are not: a thousand equal parts of what the keys span, so that only ties and rows of very
// different scales fill a bin. Later levels cut by rank, which takes 10 bits each time, whatever the row: of the 49 bits of
// a row of 128,256 columns (32 of the value, 17 of the column) four levels leave 9.
//
// So a descent over such a row is 2 passes as a rule, 4 where the border lies among more than kRunMax ties, and never more
// than 10.

struct SelectShared {  // dynamic shared memory
  ReduceShared reduce;
  std::uint64_t keys[kRunMax];
  std::uint64_t warp_sum[kRowWarps];
  std::uint64_t total, before, border;
  std::uint32_t sum_low[kBins], sum_high[kBins];  // of each bin's weights
  std::uint32_t bin, count;
};

// How a range of keys falls into bins: the best in bin 0, none in a bin above that of a better one.
struct Bins {
  float top = 0.0F;
  float scale = 0.0F;  // > 0: by value, parts of equal width from `top` down, the last one without an end
  std::uint64_t top_rank = 0;  // else by rank
  int column_bits = 0;
  int shift = 0;

  // The key without the bits that are the same for every column.
  __device__ __forceinline__ std::uint64_t rank_of(std::uint64_t key) const {
    return key >> 32 << column_bits | (key & ((1U << column_bits) - 1));
  }
  __device__ __forceinline__ std::uint32_t of(std::uint64_t key) const {
    if (scale > 0.0F) {
      const float part = (top - value_of_key(key)) * scale;
      return part < static_cast<float>(kBins - 1) ? static_cast<std::uint32_t>(part) : kBins - 1;
    }
    return static_cast<std::uint32_t>((top_rank - rank_of(key)) >> shift);
  }
};

__device__ __forceinline__ Bins bins_by_rank(const KeyRange& range, std::int64_t columns) {
  Bins bins;
  while (columns > std::int64_t{1} << bins.column_bits) bins.column_bits++;
  bins.top_rank = bins.rank_of(range.high);
  while ((bins.top_rank - bins.rank_of(range.low)) >> bins.shift >= kBins) bins.shift++;
  return bins;
}

// Of at most `reach` below the highest value. By rank where values do not spread: one value, infinities, subnormal steps.
__device__ __forceinline__ Bins bins_by_value(const KeyRange& range, float reach, std::int64_t columns) {
  Bins bins;
  bins.top = value_of_key(range.high);
  float width = bins.top - value_of_key(range.low);
  width = reach < width ? reach : width;
  bins.scale = static_cast<float>(kBins) / width;
  const bool spread = bins.top < math::kInf && width > 0.0F && bins.scale < math::kInf;
  return spread ? bins : bins_by_rank(range, columns);
}

// Adds to the sum of a bin. Two halves, since shared memory adds 64 bits by comparing and swapping until nobody else did.
__device__ __forceinline__ void add_to_bin(std::uint32_t bin, std::uint64_t weight, SelectShared& shared) {
  const auto low = static_cast<std::uint32_t>(weight);
  const std::uint32_t before = fetch_add(&shared.sum_low[bin], low);
  const auto high = static_cast<std::uint32_t>(weight >> 32) + (before + low < before ? 1U : 0U);
  if (high != 0) fetch_add(&shared.sum_high[bin], high);
}

// The sum of each bin's weights. A thread adds up what falls into one bin in a row, so that ties do not queue for it.
template <class Weight>
__device__ __forceinline__ void weigh_bins(const float* row, std::int64_t columns, const KeyRange& range,
                                           const Bins& bins, const Weight& weight_of, SelectShared& shared) {
  block_barrier();
  shared.sum_low[threadIdx.x] = 0;
  shared.sum_high[threadIdx.x] = 0;
  block_barrier();
  std::uint32_t bin = 0;
  std::uint64_t sum = 0;
  for_each_key(row, columns, range, [&](std::uint64_t key) {
    const std::uint32_t mine = bins.of(key);
    if (mine != bin) {
      if (sum != 0) add_to_bin(bin, sum, shared);
      bin = mine;
      sum = 0;
    }
    sum += weight_of(key);
  });
  if (sum != 0) add_to_bin(bin, sum, shared);
  block_barrier();
}

// Sum over threads 0 … this one.
__device__ __forceinline__ std::uint64_t inclusive_sum(std::uint64_t value, SelectShared& shared) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const int warp = static_cast<int>(threadIdx.x) / kWarp;
  for (int step = 1; step < kWarp; step *= 2) {
    const std::uint64_t lower = shuffle(value, lane >= step ? lane - step : lane);
    if (lane >= step) value += lower;
  }
  block_barrier();
  if (lane == kWarp - 1) shared.warp_sum[warp] = value;
  block_barrier();
  for (int other = 0; other < kRowWarps; other++) value += other < warp ? shared.warp_sum[other] : 0;
  return value;
}

// Into shared: the bin whose weights reach the goal, the last one where none does, and the sum of what lies before it,
// `before` it all included. Returns the goal, which may depend on the sum of all.
template <class Goal>
__device__ __forceinline__ std::uint64_t find_bin(std::uint64_t before, const Goal& goal_of, SelectShared& shared) {
  const auto bin = static_cast<std::uint32_t>(threadIdx.x);
  const std::uint64_t mine = std::uint64_t{shared.sum_high[bin]} << 32 | shared.sum_low[bin];
  const std::uint64_t after = before + inclusive_sum(mine, shared);
  if (bin == kBins - 1) {
    shared.total = after;
    shared.bin = bin;
    shared.before = after - mine;
  }
  block_barrier();
  const std::uint64_t goal = goal_of(shared.total);
  if (after - mine < goal && goal <= after) {  // one thread at most
    shared.bin = bin;
    shared.before = after - mine;
  }
  block_barrier();
  return goal;
}

// Into shared.keys and shared.count: the keys of `range` in bin shared.bin; kAbove: and all better ones up to `best`. Where
// there are more than kRunMax the keys are some of them, and the extent of that bin is returned.
template <bool kAbove>
__device__ __forceinline__ KeyRange collect_bin(const float* row, std::int64_t columns, const KeyRange& range,
                                                std::uint64_t best, const Bins& bins, SelectShared& shared) {
  if (threadIdx.x == 0) shared.count = 0;
  block_barrier();
  const std::uint32_t bin = shared.bin;
  KeyRange mine;
  bool full = false;
  for_each_key(row, columns, {range.low, kAbove ? best : range.high}, [&](std::uint64_t key) {
    const bool beyond = kAbove && key > range.high;
    const std::uint32_t its = beyond ? 0 : bins.of(key);
    const bool above = beyond || its < bin;
    if (its > bin || (above && !kAbove)) return;
    if (!above) mine.add(key);
    if (full) return;
    const std::uint32_t at = fetch_add(&shared.count, 1U);
    full = at >= kRunMax;
    if (!full) shared.keys[at] = key;
  });
  block_barrier();
  return shared.count > kRunMax ? row_extent(mine, shared.reduce) : KeyRange{};
}

// What a descent leaves in shared.keys: `count` keys, sorted.
struct Run {
  std::uint32_t count = 0;
  std::uint64_t before = 0;  // the sum of the weights of better keys
  std::uint64_t goal = 0;
};

// To the bin that holds the border. range: the extent of all keys that take part. reach: so far below the best value are
// keys looked for at first; the rest of them shares a bin.
template <bool kAbove, class Weight, class Goal>
__device__ __forceinline__ Run descend(const float* row, std::int64_t columns, KeyRange range, float reach,
                                       const Weight& weight_of, const Goal& goal_of, SelectShared& shared) {
  const std::uint64_t best = range.high;
  Bins bins = bins_by_value(range, reach, columns);
  Run run;
  for (bool first = true;; first = false) {
    weigh_bins(row, columns, range, bins, weight_of, shared);
    run.goal = find_bin(run.before, [&](std::uint64_t total) { return first ? goal_of(total) : run.goal; }, shared);
    const KeyRange extent = collect_bin<kAbove>(row, columns, range, best, bins, shared);
    run.count = shared.count;
    run.before = shared.before;
    if (run.count <= kRunMax) break;
    range = extent;
    bins = bins_by_rank(range, columns);
  }
  sort_keys(shared.keys, run.count);
  return run;
}

// The key of a sorted run with whose weight the sum reaches the goal; `otherwise` where it does not.
template <class Weight>
__device__ __forceinline__ std::uint64_t border_in_run(const Run& run, const Weight& weight_of, std::uint64_t otherwise,
                                                       SelectShared& shared) {
  constexpr std::uint32_t kEach = kRunMax / kRowThreads;
  const std::uint32_t begin = static_cast<std::uint32_t>(threadIdx.x) * kEach;
  const std::uint32_t end = begin + kEach < run.count ? begin + kEach : run.count;
  std::uint64_t mine = 0;
  for (std::uint32_t i = begin; i < end; i++) mine += weight_of(shared.keys[i]);
  if (threadIdx.x == 0) shared.border = otherwise;
  const std::uint64_t after = run.before + inclusive_sum(mine, shared);
  std::uint64_t sum = after - mine;
  if (sum < run.goal && run.goal <= after) {  // one thread at most
    std::uint32_t i = begin;
    for (;; i++) {
      sum += weight_of(shared.keys[i]);
      if (sum >= run.goal) break;
    }
    shared.border = shared.keys[i];
  }
  block_barrier();
  return shared.border;
}

// The last key of the shortest head of `range` (an extent) whose weights sum to at least goal_of(the sum of all); the lowest
// where all of them do not.
template <class Weight, class Goal>
__device__ __forceinline__ std::uint64_t border_of(const float* row, std::int64_t columns, const KeyRange& range,
                                                   float reach, const Weight& weight_of, const Goal& goal_of,
                                                   SelectShared& shared) {
  const Run run = descend<false>(row, columns, range, reach, weight_of, goal_of, shared);
  return border_in_run(run, weight_of, range.low, shared);
}

// ---- the best columns ----

inline constexpr float kNear = 64.0F;  // of a model's logits, the best are nearer to each other

// The key of the column in place `want` of the order; the lowest where there are fewer.
__device__ __forceinline__ std::uint64_t border_of_best(const float* row, std::int64_t columns, const KeyRange& range,
                                                        std::uint32_t want, SelectShared& shared) {
  return border_of(row, columns, range, kNear, [](std::uint64_t) { return std::uint64_t{1}; },
                   [&](std::uint64_t) { return std::uint64_t{want}; }, shared);
}

// The best columns with keys below `below` (~0: from the top), sorted, in shared.keys: at least min(want, there are),
// at most kRunMax. want in [1, kRunMax]; up to half of that there is room for what shares a bin. Returns how many.
__device__ __forceinline__ std::uint32_t next_run(const float* row, std::int64_t columns, std::uint64_t below,
                                                  std::uint32_t want, SelectShared& shared) {
  const KeyRange range = extent_of(row, columns, {kLowestKey, below - 1}, shared.reduce);
  if (range.high == 0) return 0;
  return descend<true>(row, columns, range, kNear, [](std::uint64_t) { return std::uint64_t{1}; },
                       [&](std::uint64_t) { return std::uint64_t{want}; }, shared)
      .count;
}

}  // namespace herd::cuda
