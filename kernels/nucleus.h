#pragma once
// The arithmetic of top-p (nucleus sampling, Holtzman et al. 2020): weights are whole numbers, so their sums have no order, and any
// number of threads, ranks or blocks of a GPU finds the same border. Rule 6 of docs/numerics.md.
//
// All filters keep the head of one order of a row's edited logits: the larger logit first (-0 equals +0), of equal ones the lower
// id. t = logit / temperature, one fp32 division, descends along it, though two neighbours may share one t. Columns whose
// t is -inf take no part.
//   min-p   keeps those with t >= max + log(min_p), one fp32 addition; max is the largest t
//   top-k   keeps the first k of them
//   top-p   keeps the fewest first of those left whose weights sum to at least the goal. At least one is kept, and the last one kept
//           has a weight above 0.

#include <cstdint>

#include "kernels/inline.h"
#include "kernels/math.h"

namespace herd {

inline constexpr float kNucleusOne = 0x1p40F;  // the weight of the likeliest

// exp(t - max) * 2^40, truncated: in [0, 2^40]. 2^22 of them fit into 64 bits. t <= max, neither is NaN or -inf; both may be
// +inf. Along the order only zeros follow a zero, though other neighbours may be out of order by an ulp (exp_f32).
HERD_INLINE std::uint64_t nucleus_weight(float t, float max) {
  return t >= max ? static_cast<std::uint64_t>(kNucleusOne)
                  : static_cast<std::uint64_t>(exp_f32(t - max) * kNucleusOne);  // times a power of two: exact
}

// ceil(top_p * total) in fp64, in [1, total].   top_p in [0, 1); total >= 1, the sum of the weights of those left
HERD_INLINE std::uint64_t nucleus_goal(float top_p, std::uint64_t total) {
  const double goal = __builtin_ceil(static_cast<double>(top_p) * static_cast<double>(total));
  if (!(goal >= 1.0)) return 1;
  if (goal >= static_cast<double>(total)) return total;  // also where `total` rounds up to 2^64
  return static_cast<std::uint64_t>(goal);
}

// Where a border lies is found by sums over bins, which cut a range of t into equal steps; those of one t share a bin.
inline constexpr std::int64_t kNucleusColumns = std::int64_t{1} << 22;  // of a row, at most: their weights fit into 64 bits
inline constexpr std::int32_t kNucleusBins = 1024;

struct NucleusBin {
  std::uint64_t weight;   // sum over its columns
  std::uint64_t columns;  // how many
};

struct NucleusScale {
  float temperature;  // above 0
  float max;          // of the weights: the largest t of the row
  float floor;        // columns whose t is below take no part; above -inf, at most max
  float top;          // the first bin begins here; no t is above
  float steps;        // bins for each unit of t, finite
};

// In [0, kNucleusBins), ascending as t descends.
HERD_INLINE std::int32_t nucleus_bin(float t, const NucleusScale& scale) {
  const float last = static_cast<float>(kNucleusBins - 1);
  const float steps = t >= scale.top ? 0.0F : (scale.top - t) * scale.steps;
  const float bounded = steps < last ? steps : last;
  return static_cast<std::int32_t>(bits_of(bounded + 0x1p23F) & 0x7fffffU);  // rounded to a whole number
}

}  // namespace herd
