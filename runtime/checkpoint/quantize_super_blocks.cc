#include "runtime/checkpoint/quantize_super_blocks.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>

#include "kernels/dtype.h"
#include "kernels/weight_format.h"

namespace herd::model {
namespace {

constexpr int kSuperBlock = 256;
constexpr double kZeroBelow = 0x1p-50;  // as f16 its scales would be 0

// To the nearest integer, to even where two are as near; |x| < 2^51.
template <typename Number>
Number nearest(Number x) {
  return x + 0x1.8p52 - 0x1.8p52;
}
// `low` where x is a NaN, as where scales are beyond f16.
int nearest_within(double x, int low, int high) {
  return static_cast<int>(std::min<double>(high, std::max<double>(low, nearest(x))));
}

void store_f16(std::byte* at, float value) {
  const std::uint16_t bits = to_f16_bits(value);
  std::memcpy(at, &bits, sizeof bits);
}
// What a file's f16 number stands for.
double as_f16(double value) { return f16_to_float(to_f16_bits(static_cast<float>(value))); }

// ---- groups beside each other ----

// A number of each of some groups that follow one another. The sums of a group are made in the order of its elements, where each
// addition waits for the one before: those of its neighbours fill the gap. Two lanes are what every machine has registers for.
constexpr int kLanes = 2;
using Lanes = double __attribute__((vector_size(kLanes * sizeof(double))));

Lanes all(double value) { return Lanes{} + value; }
Lanes magnitude(Lanes x) { return x < -x ? -x : x; }
// The bound where x is a NaN. They become one instruction only for a bound that GCC does not know.
Lanes at_most(Lanes bound, Lanes x) { return x < bound ? x : bound; }
Lanes at_least(Lanes bound, Lanes x) { return bound < x ? x : bound; }
Lanes root(Lanes x) {
  for (int lane = 0; lane < kLanes; ++lane) x[lane] = std::sqrt(x[lane]);
  return x;
}

// Element i of each group of n.
Lanes elements(const float* x, int n, int i) {
  Lanes found;
  for (int lane = 0; lane < kLanes; ++lane) found[lane] = x[lane * n + i];
  return found;
}

// ---- q6_k ----

constexpr int kSmallGroup = 16;
constexpr int kSmallGroups = kSuperBlock / kSmallGroup;

// The scales with which integers in [-32, 32) come nearest to the 16 floats of each group, errors weighted by x².
Lanes scales_of_signed(const float* floats) {
  Lanes x[kSmallGroup];
  Lanes weights[kSmallGroup];
  Lanes weighted[kSmallGroup];
  Lanes max = {};  // the element of the greatest magnitude, the first of several
  for (int i = 0; i < kSmallGroup; ++i) {
    x[i] = elements(floats, kSmallGroup, i);
    weights[i] = x[i] * x[i];
    weighted[i] = weights[i] * x[i];
    max = magnitude(x[i]) > magnitude(max) ? x[i] : max;
  }
  // A group that stands for zeros has no integer but 0: no attempt is better than none.
  const auto counts = magnitude(max) >= kZeroBelow;
  const Lanes lowest = counts ? all(-32) : all(0);
  const Lanes highest = counts ? all(31) : all(0);
  Lanes best = {};
  Lanes scale = {};
  // Of integers q the best scale is Σ w·x·q / Σ w·q²; what it leaves is less by (Σ w·x·q)² / Σ w·q².
  const auto attempt = [&](double most) {
    const Lanes inverse = -most / max;
    Lanes xq = {};
    Lanes qq = {};
    for (int i = 0; i < kSmallGroup; ++i) {
      const Lanes q = at_most(highest, at_least(lowest, nearest(inverse * x[i])));
      xq += weighted[i] * q;
      qq += weights[i] * q * q;
    }
    const auto better = xq * xq > best * qq;
    scale = better ? xq / qq : scale;
    best = better ? scale * xq : best;
  };
  attempt(32);
  for (int step = -9; step <= 9; ++step)
    if (step != 0) attempt(32 + 0.1 * step);
  return scale;
}

// ---- q4_k, q5_k ----

constexpr int kGroup = 32;
constexpr int kGroups = kSuperBlock / kGroup;

// x ≈ scale·q − minimum, q in [0, most]; neither is negative.
struct Lines {
  Lanes scale = {};
  Lanes minimum = {};
};

// Which steps are tried: as if there were `first` integers more than there are, then 0.1 more, …
struct Search {
  int most;  // the largest integer
  double first;
  int steps;
};
constexpr Search kSearch4 = {15, -1, 20};
constexpr Search kSearch5 = {31, -0.5, 15};

// Groups of 32 floats as a search reads them.
struct Weighted {
  Lanes x[kGroup];
  Lanes above[kGroup];    // x less the lowest
  Lanes weights[kGroup];  // errors of large elements weigh more
  Lanes sum_w = {};
  Lanes sum_x = {};   // weighted
  Lanes lowest = {};  // 0 or below: a minimum only takes off
  Lanes range = {};   // from there to the highest
};

void weight(const float* floats, Weighted& groups) {
  auto& [x, above, weights, sum_w, sum_x, lowest, range] = groups;
  Lanes squares = {};
  for (int i = 0; i < kGroup; ++i) {
    x[i] = elements(floats, kGroup, i);
    squares += x[i] * x[i];
  }
  const Lanes typical = root(squares / kGroup);
  Lanes highest = x[0];
  for (int i = 0; i < kGroup; ++i) {
    weights[i] = typical + magnitude(x[i]);
    sum_w += weights[i];
    sum_x += weights[i] * x[i];
    lowest = at_most(lowest, x[i]);
    highest = at_least(highest, x[i]);
  }
  for (int i = 0; i < kGroup; ++i) above[i] = x[i] - lowest;
  range = highest - lowest;
}

Lanes error_of(const Weighted& groups, const Lanes* q, const Lines& lines) {
  Lanes error = {};
  for (int i = 0; i < kGroup; ++i) {
    const Lanes off = lines.scale * q[i] - lines.minimum - groups.x[i];
    error += groups.weights[i] * (off * off);
  }
  return error;
}

// The lines with which integers come nearest to the 32 floats of each group.
Lines lines_of_groups(const float* floats, const Search& search) {
  Weighted groups;
  weight(floats, groups);
  const auto& [x, above, weights, sum_w, sum_x, lowest, range] = groups;
  // Where all elements are the same they are the minimum, and no integer but 0 is left: no line is better than the first.
  const Lanes most = range > 0 ? all(search.most) : all(0);
  Lanes q[kGroup];
  for (int i = 0; i < kGroup; ++i) q[i] = at_most(most, nearest(search.most / range * above[i]));
  Lines best{range / search.most, -lowest};
  Lanes least = error_of(groups, q, best);
  for (int step = 0; step <= search.steps; ++step) {
    const Lanes inverse = (search.most + search.first + 0.1 * step) / range;
    Lanes sum_q = {};
    Lanes sum_qq = {};
    Lanes sum_xq = {};
    for (int i = 0; i < kGroup; ++i) {
      q[i] = at_most(most, nearest(inverse * above[i]));
      const Lanes weighted = weights[i] * q[i];
      sum_q += weighted;
      sum_qq += weighted * q[i];
      sum_xq += weighted * x[i];
    }
    const Lanes determinant = sum_w * sum_qq - sum_q * sum_q;
    Lines lines{(sum_w * sum_xq - sum_x * sum_q) / determinant, (sum_q * sum_xq - sum_qq * sum_x) / determinant};
    const auto negative = lines.minimum < 0;
    lines.scale = negative ? sum_xq / sum_qq : lines.scale;
    lines.minimum = negative ? all(0) : lines.minimum;
    const Lanes error = error_of(groups, q, lines);
    const auto better = (determinant > 0) & (error < least);
    least = better ? error : least;
    best.scale = better ? lines.scale : best.scale;
    best.minimum = better ? lines.minimum : best.minimum;
  }
  return best;
}

// In units of their largest / 63; the unit.
double six_bits(const double* values, int* out) {
  const double most = *std::max_element(values, values + kGroups);
  for (int g = 0; g < kGroups; ++g) out[g] = most > 0 ? nearest_within(63 / most * values[g], 0, 63) : 0;
  return std::max(most, 0.0) / 63;
}

// d, dmin and the groups' six-bit numbers to `out`, all integers to q.
void quantize_lines(const float* x, const Search& search, std::byte* out, int* q) {
  double scales[kGroups];
  double minimums[kGroups];
  for (int g = 0; g < kGroups; g += kLanes) {
    const Lines lines = lines_of_groups(x + g * kGroup, search);
    std::memcpy(scales + g, &lines.scale, sizeof(Lanes));
    std::memcpy(minimums + g, &lines.minimum, sizeof(Lanes));
  }
  int sc[kGroups];
  int mc[kGroups];
  const double d = six_bits(scales, sc);
  const double dmin = six_bits(minimums, mc);
  store_f16(out, static_cast<float>(d));
  store_f16(out + 2, static_cast<float>(dmin));
  for (int g = 0; g < 4; ++g) {
    out[4 + g] = static_cast<std::byte>(sc[g] | sc[g + 4] >> 4 << 6);
    out[8 + g] = static_cast<std::byte>(mc[g] | mc[g + 4] >> 4 << 6);
    out[12 + g] = static_cast<std::byte>((sc[g + 4] & 15) | (mc[g + 4] & 15) << 4);
  }
  for (int g = 0; g < kGroups; ++g) {
    const double unit = as_f16(d) * sc[g];
    const double minimum = as_f16(dmin) * mc[g];
    for (int i = g * kGroup; i < (g + 1) * kGroup; ++i)
      q[i] = unit == 0 ? 0 : nearest_within((x[i] + minimum) / unit, 0, search.most);
  }
}

void store_nibbles_of_64(const int* q, std::byte* out) {
  for (int j = 0; j < kSuperBlock; j += 64, q += 64, out += 32)
    for (int i = 0; i < 32; ++i) out[i] = static_cast<std::byte>((q[i] & 15) | (q[i + 32] & 15) << 4);
}

bool stands_for_zeros(const float* x) {
  return std::all_of(x, x + kSuperBlock, [](float each) { return std::abs(each) < kZeroBelow; });
}

}  // namespace

void quantize_block_q6_k(const float* x, std::byte* out) {
  std::memset(out, 0, block_bytes(WeightFormat::kQ6_K));
  double scales[kSmallGroups];
  for (int g = 0; g < kSmallGroups; g += kLanes) {
    const Lanes found = scales_of_signed(x + g * kSmallGroup);
    std::memcpy(scales + g, &found, sizeof(Lanes));
  }
  const auto smaller = [](double a, double b) { return std::abs(a) < std::abs(b); };
  const double most = *std::max_element(scales, scales + kSmallGroups, smaller);
  if (std::abs(most) < kZeroBelow) return;
  const double d = as_f16(most / -128);
  store_f16(out + scale_offset(WeightFormat::kQ6_K), static_cast<float>(most / -128));
  int q[kSuperBlock];
  for (int g = 0; g < kSmallGroups; ++g) {
    const int sc = nearest_within(-128 / most * scales[g], -128, 127);
    out[192 + g] = static_cast<std::byte>(sc);
    const double unit = d * sc;  // a NaN where d is an infinity and sc 0
    for (int i = g * kSmallGroup; i < (g + 1) * kSmallGroup; ++i)
      q[i] = std::abs(unit) > 0 ? 32 + nearest_within(x[i] / unit, -32, 31) : 32;
  }
  for (int j = 0; j < kSuperBlock; j += 128) {
    std::byte* low = out + j / 2;
    std::byte* high = out + 128 + j / 4;
    for (int i = 0; i < 64; ++i) low[i] = static_cast<std::byte>((q[j + i] & 15) | (q[j + i + 64] & 15) << 4);
    for (int part = 0; part < 4; ++part)
      for (int i = 0; i < 32; ++i) high[i] |= static_cast<std::byte>(q[j + 32 * part + i] >> 4 << 2 * part);
  }
}

void quantize_block_q4_k(const float* x, std::byte* out) {
  std::memset(out, 0, block_bytes(WeightFormat::kQ4_K));
  if (stands_for_zeros(x)) return;
  int q[kSuperBlock];
  quantize_lines(x, kSearch4, out, q);
  store_nibbles_of_64(q, out + 16);
}

void quantize_block_q5_k(const float* x, std::byte* out) {
  std::memset(out, 0, block_bytes(WeightFormat::kQ5_K));
  if (stands_for_zeros(x)) return;
  int q[kSuperBlock];
  quantize_lines(x, kSearch5, out, q);
  for (int g = 0; g < kGroups; ++g)
    for (int i = 0; i < kGroup; ++i) out[16 + i] |= static_cast<std::byte>(q[g * kGroup + i] >> 4 << g);
  store_nibbles_of_64(q, out + 48);
}

}  // namespace herd::model
