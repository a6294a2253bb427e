#include "runtime/sampling/row_stats.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "kernels/math.h"
#include "kernels/splitmix64.h"

namespace herd::sampling {
namespace {

// Two runs of logits, neighbours in rule 3's tree. An empty one is skipped.
MaxSum merge(const MaxSum& a, const MaxSum& b) {
  if (a.max == kMinusInfinity && a.sum == 0.0F) return b;
  if (b.max == kMinusInfinity && b.sum == 0.0F) return a;
  const float max = std::max(a.max, b.max);
  return {max, a.sum * exp_f32(a.max - max) + b.sum * exp_f32(b.max - max)};
}

}  // namespace

bool RowStats::finite() const { return !std::isnan(normaliser.sum); }

float RowStats::log_sum() const { return normaliser.max + log_f32(normaliser.sum); }

MaxSum merge_tree(const MaxSum* nodes, int count) {
  if (count == 1) return nodes[0];
  return merge(merge_tree(nodes, count / 2), merge_tree(nodes + count / 2, count / 2));
}

// SplitMix64's finaliser over (position, bits).
std::uint64_t hash_elements(std::uint64_t position, std::span<const float> values) {
  std::uint64_t hash = 0;
  for (const float value : values)
    hash += splitmix64_finish(position++ * kSplitMix64Step ^ std::bit_cast<std::uint32_t>(value));
  return hash;
}

}  // namespace herd::sampling
