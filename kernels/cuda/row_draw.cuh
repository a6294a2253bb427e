#pragma once
// Draws from one row of logits by one block (see row_select.cuh for how its functions are called): the stages of
// runtime/sampling's Sampler after the edits. A winner is a key: of its logit or score, then its column; 0: nobody.

#include <cstdint>

#include "kernels/cuda/instructions.h"
#include "kernels/cuda/row_select.cuh"
#include "kernels/math.h"
#include "kernels/nucleus.h"
#include "kernels/ops.h"
#include "kernels/philox.h"
#include "kernels/row_sampler.h"

namespace herd::cuda {

__device__ __forceinline__ DrawKey draw_key_of(const SampleRowParams& params) {
  return {params.seed, params.choice, params.output_index, kDrawPurposeSample};
}
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

// The lowest key whose logit / temperature is at least `floor`; above all keys where there is none. Quotients descend with
// their logits, so keys alone tell afterwards which columns are in.
__device__ __forceinline__ std::uint64_t lowest_key_at(float floor, float temperature) {
  if (floor == -math::kInf) return kLowestKey;
  auto low = static_cast<std::uint32_t>(kLowestKey >> 32);
  auto high = static_cast<std::uint32_t>(key_of(math::kInf, 0) >> 32) + 1;
  while (low < high) {
    const std::uint32_t middle = low + (high - low) / 2;
    const bool in = value_of_key(std::uint64_t{middle} << 32) / temperature >= floor;
    low = in ? low : middle + 1;
    high = in ? middle : high;
  }
  return std::uint64_t{low} << 32;
}

// The score of a column, 0 where its logit / temperature is -inf.
__device__ __forceinline__ std::uint64_t score_of(float logit, float temperature, float gumbel, std::uint32_t column) {
  const float scaled = logit / temperature;
  return scaled == -math::kInf ? 0 : key_of(scaled + gumbel, column);
}

// Gumbel-max over the columns with keys from `border` on. A thread takes the four ids of one block of random words.
__device__ __forceinline__ std::uint64_t best_score(const float* row, std::int64_t columns, std::uint32_t id_base,
                                                    float temperature, std::uint64_t border, const DrawKey& draw,
                                                    ReduceShared& shared) {
  std::uint64_t best = 0;
  const std::int64_t skew = id_base & 3U;
  for (std::int64_t first = 4 * std::int64_t{threadIdx.x} - skew; first < columns; first += 4 * kRowThreads) {
    float logit[4];
    bool in[4];
    bool any = false;
#pragma unroll
    for (int i = 0; i < 4; i++) {
      const std::int64_t column = first + i;
      const bool there = column >= 0 && column < columns;
      logit[i] = there ? row[column] : -math::kInf;
      in[i] = there && key_of(logit[i], static_cast<std::uint32_t>(column)) >= border;
      any = any || in[i];
    }
    if (!any) continue;
    const PhiloxBlock block = noise_of(draw, static_cast<std::uint32_t>(id_base + first) >> 2);
#pragma unroll
    for (int i = 0; i < 4; i++) {
      if (!in[i]) continue;
      const std::uint64_t score =
          score_of(logit[i], temperature, gumbel_of(block.word[i]), static_cast<std::uint32_t>(first + i));
      if (score > best) best = score;
    }
  }
  return row_max(best, shared);
}

// ---- filters (kernels/nucleus.h): each keeps a head of the order, so what is left of a row is a border among its keys ----

inline constexpr std::uint32_t kListed = kRunMax / 2;  // so many candidates are drawn from where they were sorted
inline constexpr float kNucleusReach = 28.0F;          // exp(-28) * 2^40 < 1: what lies further below the best weighs nothing

// What min-p keeps; with top-p nothing that weighs nothing.
__device__ __forceinline__ std::uint64_t quotient_border(const SampleRowParams& params, float max) {
  float floor = params.min_p > 0.0F ? max + log_f32(params.min_p) : -math::kInf;
  if (params.top_p < 1.0F && floor < max - kNucleusReach) floor = max - kNucleusReach;
  return lowest_key_at(floor, params.temperature);
}

// The best k columns, kListed at most, sorted; then the other filters and the draw among them.
__device__ __forceinline__ std::uint64_t best_listed(const float* row, std::int64_t columns, std::uint32_t k,
                                                     const SampleRowParams& params, SelectShared& shared) {
  const std::uint32_t found = next_run(row, columns, ~std::uint64_t{0}, k, shared);
  const std::uint32_t count = found < k ? found : k;
  if (count == 0) return 0;
  const float temperature = params.temperature;
  const float max = value_of_key(shared.keys[0]) / temperature;
  std::uint64_t border = quotient_border(params, max);
  if (params.top_p < 1.0F) {
    const auto weight_of = [&](std::uint64_t key) {
      return key >= border ? nucleus_weight(value_of_key(key) / temperature, max) : 0;
    };
    std::uint64_t sum = 0;
    for (std::uint32_t i = threadIdx.x; i < count; i += kRowThreads) sum += weight_of(shared.keys[i]);
    const std::uint64_t goal = nucleus_goal(params.top_p, row_sum(sum, shared.reduce));
    const std::uint64_t last = border_in_run({count, 0, goal}, weight_of, border, shared);
    border = last;
  }
  const DrawKey draw = draw_key_of(params);
  std::uint64_t best = 0;
  for (std::uint32_t i = threadIdx.x; i < count && shared.keys[i] >= border; i += kRowThreads) {
    const std::uint32_t column = column_of_key(shared.keys[i]);
    const std::uint64_t score =
        score_of(value_of_key(shared.keys[i]), temperature, gumbel_of_id(draw, column), column);
    if (score > best) best = score;
  }
  return row_max(best, shared.reduce);
}

// min-p, then top-k, then top-p, then Gumbel-max among those left. Passes over the row: few candidates, 3 as a rule, all of
// them next_run's. Else one for the extent, those of a descent for top-k and for top-p (row_select.cuh), one to draw: with
// top-p alone 4 as a rule, 6 where its border lies among many ties, and 12 for the worst row of 128,256 columns.
__device__ __forceinline__ std::uint64_t best_filtered(const float* row, std::int64_t columns, std::uint32_t k,
                                                       const SampleRowParams& params, SelectShared& shared) {
  if (k <= kListed) return best_listed(row, columns, k, params, shared);
  const float temperature = params.temperature;
  KeyRange kept = extent_of(row, columns, {kLowestKey, ~std::uint64_t{0}}, shared.reduce);
  if (kept.high == 0) return 0;
  const float max = value_of_key(kept.high) / temperature;
  const auto raise = [&](std::uint64_t border) { kept.low = border > kept.low ? border : kept.low; };
  if (k < columns) raise(border_of_best(row, columns, kept, k, shared));
  raise(quotient_border(params, max));
  if (params.top_p < 1.0F) {
    raise(border_of(
        row, columns, kept, math::kInf,
        [&](std::uint64_t key) { return nucleus_weight(value_of_key(key) / temperature, max); },
        [&](std::uint64_t total) { return nucleus_goal(params.top_p, total); }, shared));
  }
  return best_score(row, columns, 0, temperature, kept.low, draw_key_of(params), shared.reduce);
}

}  // namespace herd::cuda
