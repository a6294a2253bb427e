#pragma once
// RowStats: what log-probabilities and comparisons need of a raw row of logits, added over slices and ranks in rule 3's
// tree. Pure.

#include <cstdint>
#include <limits>
#include <span>

#include "kernels/ops.h"

namespace herd::sampling {

inline constexpr float kInfinity = std::numeric_limits<float>::infinity();
inline constexpr float kMinusInfinity = -kInfinity;  // the logit of a token that takes no part, the maximum of no logits

struct RowStats {
  MaxSum normaliser;       // of all leaves
  std::uint64_t hash = 0;  // of every element and its place; 0 when not asked for

  [[nodiscard]] bool finite() const;  // no NaN, no +inf
  [[nodiscard]] float log_sum() const;
};

// Balanced binary tree over 1, 2, 4 or 8 neighbouring runs of logits.
[[nodiscard]] MaxSum merge_tree(const MaxSum* nodes, int count);

// The sum over a row does not depend on how it is sliced. values[0] lies at `position` of the row.
[[nodiscard]] std::uint64_t hash_elements(std::uint64_t position, std::span<const float> values);

}  // namespace herd::sampling
