#pragma once
// Draws from one row of logits by one block (see row_select.cuh for how its functions are called): the stages of
// runtime/sampling's Sampler after the edits. A winner is a key: of its logit or score, then its column; 0: nobody.

#include <cstdint>

#include "kernels/cuda/instructions.h"
#include "kernels/cuda/row_select.cuh"
#include "kernels/math.h"
#include "kernels/ops.h"
#include "kernels/philox.h"

namespace herd::cuda {

__device__ __forceinline__ PhiloxBlock noise_of(const DrawKey& key, std::uint32_t quad) {
  return philox4x32(PhiloxBlock{{key.choice, key.output_index, key.purpose, quad}},
                    static_cast<std::uint32_t>(key.seed), static_cast<std::uint32_t>(key.seed >> 32));
}
__device__ __forceinline__ float gumbel_of_id(const DrawKey& key, std::uint32_t id) {
  const PhiloxBlock block = noise_of(key, id >> 2);
  const std::uint32_t low = (id & 1U) != 0 ? block.word[1] : block.word[0];
  const std::uint32_t high = (id & 1U) != 0 ? block.word[3] : block.word[2];
  return gumbel_of((id & 2U) != 0 ? high : low);
}

// The largest logit, lowest column first.
__device__ __forceinline__ std::uint64_t best_logit(const float* row, std::int64_t columns, ReduceShared& shared) {
  std::uint64_t best = 0;
#pragma unroll 8
  for (std::int64_t c = threadIdx.x; c < columns; c += kRowThreads) {
    const std::uint64_t key = key_of(row[c], static_cast<std::uint32_t>(c));
    if (key >= kLowestKey && key > best) best = key;
  }
  return row_max(best, shared);
}

// Gumbel-max over the columns whose logit / temperature is at least `floor`. A thread takes the four ids of one block
// of random words.
__device__ __forceinline__ std::uint64_t best_score(const float* row, std::int64_t columns, std::uint32_t id_base,
                                                    float temperature, float floor, const DrawKey& draw,
                                                    ReduceShared& shared) {
  std::uint64_t best = 0;
  const std::int64_t skew = id_base & 3U;
  for (std::int64_t first = 4 * std::int64_t{threadIdx.x} - skew; first < columns; first += 4 * kRowThreads) {
    const PhiloxBlock block = noise_of(draw, static_cast<std::uint32_t>(id_base + first) >> 2);
#pragma unroll
    for (int i = 0; i < 4; i++) {
      const std::int64_t column = first + i;
      if (column < 0 || column >= columns) continue;
      const float scaled = row[column] / temperature;
      if (scaled == -math::kInf || !(scaled >= floor)) continue;
      const std::uint64_t key = key_of(scaled + gumbel_of(block.word[i]), static_cast<std::uint32_t>(column));
      if (key > best) best = key;
    }
  }
  return row_max(best, shared);
}

struct Filters {
  float temperature;  // > 0
  float min_p;        // 0: off
  float top_p;        // 1: off
  std::uint32_t k;    // so many candidates at most, in [1, columns]
};

struct FilterShared {
  RunShared run;
  float sum;  // of the weights of all runs so far
  std::uint32_t kept, ended;
};

// What one walk over the candidates leaves for the next one.
struct Walk {
  float max = 0.0F;          // logit / temperature of the first
  std::uint32_t runs = 0;
  std::uint32_t length = 0;  // of the last run: it is still there
};

// The candidates after `taken` others, the last of which has key `below`: sorted, filters.k in all at most, with
// their weights exp(l / T - max); -1 for those that min-p drops (and all behind them are dropped).
__device__ __forceinline__ void weighted_run(const float* row, std::int64_t columns, const Filters& filters,
                                             std::uint64_t below, std::uint32_t taken, Walk& walk, RunShared& shared) {
  const std::uint32_t left = filters.k - taken;
  const std::uint32_t found = next_run(row, columns, below, left < kRunMax / 2 ? left : kRunMax / 2, shared);
  walk.length = found < left ? found : left;
  if (walk.length > 0 && taken == 0) walk.max = value_of_key(shared.keys[0]) / filters.temperature;
  const float floor = filters.min_p > 0.0F ? walk.max + log_f32(filters.min_p) : -math::kInf;
  for (std::uint32_t i = threadIdx.x; i < walk.length; i += kRowThreads) {
    const float scaled = value_of_key(shared.keys[i]) / filters.temperature;
    shared.weights[i] = scaled < floor ? -1.0F : exp_f32(scaled - walk.max);
  }
  block_barrier();
}

// What ends a walk besides min-p and the number of candidates.
enum class WalkEnd {
  kFullSum,  // the sum is what it would be at the last candidate: a weight half as large as it takes to change it is
             // followed by none twice its size (exp_f32 may put neighbours out of order, by an ulp)
  kNothing,
  kEnough,   // the sum has reached a given part of the full one
};

// By one thread: adds the weights of a run to shared.sum, in order, until the walk ends. The best candidate always
// stays. Weights of zero end every walk: they add nothing, and their candidates cannot win (they lie more than 87
// behind the best, and noise spans less than 26).
__device__ __forceinline__ void add_weights(std::uint32_t count, bool first, WalkEnd end, float enough,
                                            FilterShared& shared) {
  float sum = shared.sum;
  std::uint32_t kept = 0;
  for (; kept < count; kept++) {
    const float weight = shared.run.weights[kept];
    const bool over = weight <= 0.0F || (end == WalkEnd::kFullSum && sum + 2.0F * weight == sum) ||
                      (end == WalkEnd::kEnough && !(sum < enough));
    if (over && !(first && kept == 0)) break;
    sum = sum + weight;
  }
  shared.sum = sum;
  shared.kept = kept;
  shared.ended = kept < count ? 1 : 0;
}

// Run after run until the walk ends: shared.sum is then the sum of the weights it passed; but for kFullSum the thread's
// best draw among them is returned. `there`: shared.run holds the first run already.
template <WalkEnd kEnd>
__device__ __forceinline__ std::uint64_t walk_candidates(const float* row, std::int64_t columns, const Filters& filters,
                                                         float enough, const DrawKey& draw, bool there, Walk& walk,
                                                         FilterShared& shared) {
  std::uint64_t below = ~std::uint64_t{0};
  std::uint64_t best = 0;
  std::uint32_t taken = 0;
  walk.runs = 0;
  block_barrier();
  if (threadIdx.x == 0) shared.sum = 0.0F;
  while (taken < filters.k) {
    if (!there) weighted_run(row, columns, filters, below, taken, walk, shared.run);
    there = false;
    walk.runs++;
    if (walk.length == 0) break;
    if (threadIdx.x == 0) add_weights(walk.length, taken == 0, kEnd, enough, shared);
    block_barrier();
    if constexpr (kEnd != WalkEnd::kFullSum) {
      for (std::uint32_t i = threadIdx.x; i < shared.kept; i += kRowThreads) {
        const std::uint64_t key = shared.run.keys[i];
        const std::uint32_t id = column_of_key(key);
        const float scaled = value_of_key(key) / filters.temperature;
        const std::uint64_t score = key_of(scaled + gumbel_of_id(draw, id), id);
        if (score > best) best = score;
      }
    }
    if (shared.ended != 0) break;
    taken += walk.length;
    below = shared.run.keys[walk.length - 1];
  }
  return best;
}

// min-p, then top-k, then top-p over the columns in descending order, then Gumbel-max among those left. Top-p takes two
// walks: it needs the sum of what the filters before it leave.
__device__ __forceinline__ std::uint64_t best_filtered(const float* row, std::int64_t columns, const Filters& filters,
                                                       const DrawKey& draw, FilterShared& shared,
                                                       ReduceShared& reduce) {
  Walk walk;
  std::uint64_t best = 0;
  if (filters.top_p < 1.0F) {
    walk_candidates<WalkEnd::kFullSum>(row, columns, filters, 0.0F, draw, false, walk, shared);
    const float enough = filters.top_p * shared.sum;
    best = walk_candidates<WalkEnd::kEnough>(row, columns, filters, enough, draw, walk.runs == 1, walk, shared);
  } else {
    best = walk_candidates<WalkEnd::kNothing>(row, columns, filters, 0.0F, draw, false, walk, shared);
  }
  return row_max(best, reduce);
}

}  // namespace herd::cuda
