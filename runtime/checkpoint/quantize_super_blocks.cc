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
double nearest(double x) { return x + 0x1.8p52 - 0x1.8p52; }
int nearest_within(double x, int low, int high) {
  return static_cast<int>(std::clamp(nearest(x), static_cast<double>(low), static_cast<double>(high)));
}

void store_f16(std::byte* at, float value) {
  const std::uint16_t bits = to_f16_bits(value);
  std::memcpy(at, &bits, sizeof bits);
}
// What a file's f16 number stands for.
double as_f16(double value) { return f16_to_float(to_f16_bits(static_cast<float>(value))); }

// The element of the greatest magnitude, the first of several.
double largest(const float* x, int n) {
  double found = 0;
  for (int i = 0; i < n; ++i)
    if (std::abs(double{x[i]}) > std::abs(found)) found = x[i];
  return found;
}

// ---- q6_k ----

constexpr int kSmallGroup = 16;

// The scale with which integers in [-32, 32) come nearest to 16 floats, errors weighted by x².
double scale_of_signed(const float* x) {
  const double max = largest(x, kSmallGroup);
  if (std::abs(max) < kZeroBelow) return 0;
  double best = 0;
  double scale = 0;
  // Of integers q the best scale is Σ w·x·q / Σ w·q²; what it leaves is less by (Σ w·x·q)² / Σ w·q².
  const auto attempt = [&](double inverse, bool first) {
    double xq = 0;
    double qq = 0;
    for (int i = 0; i < kSmallGroup; ++i) {
      const double q = nearest_within(inverse * x[i], -32, 31);
      const double weight = double{x[i]} * x[i];
      xq += weight * x[i] * q;
      qq += weight * q * q;
    }
    if (!(qq > 0) || (!first && !(xq * xq > best * qq))) return;
    scale = xq / qq;
    best = scale * xq;
  };
  attempt(-32 / max, true);
  for (int step = -9; step <= 9; ++step)
    if (step != 0) attempt(-(32 + 0.1 * step) / max, false);
  return scale;
}

// ---- q4_k, q5_k ----

constexpr int kGroup = 32;
constexpr int kGroups = kSuperBlock / kGroup;

// x ≈ scale·q − minimum, q in [0, most]; neither is negative.
struct Line {
  double scale = 0;
  double minimum = 0;
};

// Which steps are tried: as if there were `first` integers more than there are, then 0.1 more, …
struct Search {
  int most;  // the largest integer
  double first;
  int steps;
};
constexpr Search kSearch4 = {15, -1, 20};
constexpr Search kSearch5 = {31, -0.5, 15};

// The line with which integers come nearest to 32 floats; errors of large elements weigh more.
Line line_of_group(const float* x, const Search& search) {
  double squares = 0;
  for (int i = 0; i < kGroup; ++i) squares += double{x[i]} * x[i];
  const double typical = std::sqrt(squares / kGroup);
  double weights[kGroup];
  double sum_w = 0;
  double sum_x = 0;
  double low = 0;  // 0 or below: a minimum only takes off
  double high = x[0];
  for (int i = 0; i < kGroup; ++i) {
    weights[i] = typical + std::abs(double{x[i]});
    sum_w += weights[i];
    sum_x += weights[i] * x[i];
    low = std::min(low, double{x[i]});
    high = std::max(high, double{x[i]});
  }
  if (!(high > low)) return {0, -low};
  double q[kGroup];
  const auto round_all = [&](double inverse) {
    for (int i = 0; i < kGroup; ++i) q[i] = nearest_within(inverse * (x[i] - low), 0, search.most);
  };
  const auto error_of = [&](const Line& line) {
    double error = 0;
    for (int i = 0; i < kGroup; ++i) {
      const double off = line.scale * q[i] - line.minimum - x[i];
      error += weights[i] * (off * off);
    }
    return error;
  };
  Line best{(high - low) / search.most, -low};
  round_all(search.most / (high - low));
  double least = error_of(best);
  for (int step = 0; step <= search.steps; ++step) {
    round_all((search.most + search.first + 0.1 * step) / (high - low));
    double sum_q = 0;
    double sum_qq = 0;
    double sum_xq = 0;
    for (int i = 0; i < kGroup; ++i) {
      sum_q += weights[i] * q[i];
      sum_qq += weights[i] * q[i] * q[i];
      sum_xq += weights[i] * q[i] * x[i];
    }
    const double determinant = sum_w * sum_qq - sum_q * sum_q;
    if (!(determinant > 0)) continue;
    Line line{(sum_w * sum_xq - sum_x * sum_q) / determinant, (sum_q * sum_xq - sum_qq * sum_x) / determinant};
    if (line.minimum < 0) line = {sum_xq / sum_qq, 0};
    const double error = error_of(line);
    if (!(error < least)) continue;
    least = error;
    best = line;
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
  for (int g = 0; g < kGroups; ++g) {
    const Line line = line_of_group(x + g * kGroup, search);
    scales[g] = line.scale;
    minimums[g] = line.minimum;
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
    for (int i = g * kGroup; i < (g + 1) * kGroup; ++i) q[i] = unit == 0 ? 0 : nearest_within((x[i] + minimum) / unit, 0, search.most);
  }
}

void store_nibbles_of_64(const int* q, std::byte* out) {
  for (int j = 0; j < kSuperBlock; ++j) out[32 * (j / 64) + j % 32] |= static_cast<std::byte>((q[j] & 15) << (j % 64 < 32 ? 0 : 4));
}

bool stands_for_zeros(const float* x) { return std::abs(largest(x, kSuperBlock)) < kZeroBelow; }

}  // namespace

void quantize_block_q6_k(const float* x, std::byte* out) {
  constexpr int kSmallGroups = kSuperBlock / kSmallGroup;
  std::memset(out, 0, block_bytes(WeightFormat::kQ6_K));
  double scales[kSmallGroups];
  double most = 0;
  for (int g = 0; g < kSmallGroups; ++g) {
    scales[g] = scale_of_signed(x + g * kSmallGroup);
    if (std::abs(scales[g]) > std::abs(most)) most = scales[g];
  }
  if (std::abs(most) < kZeroBelow) return;
  const double d = as_f16(most / -128);
  store_f16(out + scale_offset(WeightFormat::kQ6_K), static_cast<float>(most / -128));
  int q[kSuperBlock];
  for (int g = 0; g < kSmallGroups; ++g) {
    const int sc = nearest_within(-128 / most * scales[g], -128, 127);
    out[192 + g] = static_cast<std::byte>(sc);
    for (int i = g * kSmallGroup; i < (g + 1) * kSmallGroup; ++i) q[i] = d * sc == 0 ? 32 : 32 + nearest_within(x[i] / (d * sc), -32, 31);
  }
  for (int j = 0; j < kSuperBlock; ++j) {
    const int part = j / 32 % 4;
    const int i = j % 32;
    out[64 * (j / 128) + 32 * (part % 2) + i] |= static_cast<std::byte>((q[j] & 15) << 4 * (part / 2));
    out[128 + 32 * (j / 128) + i] |= static_cast<std::byte>(q[j] >> 4 << 2 * part);
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
  for (int j = 0; j < kSuperBlock; ++j) out[16 + j % 32] |= static_cast<std::byte>(q[j] >> 4 << j / 32);
  store_nibbles_of_64(q, out + 48);
}

}  // namespace herd::model
