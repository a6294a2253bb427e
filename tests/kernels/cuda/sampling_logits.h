#pragma once
// Rows of logits that sampling trips over. Not a test.

#include <cstddef>
#include <cstdint>
#include <vector>

#include "kernels/math.h"
#include "tests/kernels/cuda/cuda_fixture.h"

namespace herd::testing {

template <class T, std::size_t kCount>
T one_of(Random& random, const T (&options)[kCount]) {
  return options[random.below(static_cast<std::int64_t>(kCount))];
}

// Kinds of rows beyond the kinds of values: those that sampling trips over.
enum class RowKind { kSpread, kPeaked, kFlat, kTies, kZeros, kMostlyMasked, kAllMasked, kTiny, kHuge, kNan, kInfinite };
inline constexpr int kRowKinds = 11;

inline std::vector<float> logits_of(Random& random, RowKind kind, std::int64_t columns) {
  std::vector<float> row(static_cast<std::size_t>(columns));
  for (float& logit : row) {
    const float x = random.uniform() + random.uniform() + random.uniform();
    switch (kind) {
      case RowKind::kPeaked: logit = x * 30.0F; break;
      case RowKind::kFlat: logit = -2.5F; break;
      case RowKind::kTies: logit = static_cast<float>(random.below(5)); break;
      case RowKind::kZeros: logit = random.below(2) == 0 ? 0.0F : -0.0F; break;
      case RowKind::kMostlyMasked: logit = random.below(10) == 0 ? x : -math::kInf; break;
      case RowKind::kAllMasked: logit = -math::kInf; break;
      case RowKind::kTiny: logit = x * 0x1p-127F; break;
      case RowKind::kHuge: logit = x * 1e38F; break;
      default: logit = x * 4.0F; break;
    }
  }
  if (kind == RowKind::kNan && columns > 0) row[static_cast<std::size_t>(random.below(columns))] = math::kNan;
  if (kind == RowKind::kInfinite && columns > 0) row[static_cast<std::size_t>(random.below(columns))] = math::kInf;
  return row;
}

}  // namespace herd::testing
