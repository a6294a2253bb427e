#include "runtime/checkpoint/quantize_rows.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

#include "kernels/check.h"
#include "kernels/dtype.h"
#include "runtime/model/weight_source.h"

namespace herd::model {
namespace {

constexpr int kBlock = 32;
constexpr std::uint16_t kNan = 0x7e00;  // f16
constexpr float kScaleMin = 0x1p-124F;  // above it a subnormal x is 0 in units of d, whether it is flushed or not

void store(std::byte* at, std::uint16_t bits) { std::memcpy(at, &bits, sizeof bits); }

// Orders as the magnitudes do, subnormal ones as well.
std::uint32_t magnitude(float x) { return std::bit_cast<std::uint32_t>(x) & 0x7fffffffu; }

// 1 / d, or 0 where the block stands for zeros.
float inverse(float d) { return std::abs(d) < kScaleMin ? 0.0F : 1.0F / d; }

// Half away from zero; |x| < 2^31.
int round_away(float x) {
  const int whole = static_cast<int>(x);
  const float rest = x - static_cast<float>(whole);  // exact
  return whole + static_cast<int>(rest >= 0.5F) - static_cast<int>(rest <= -0.5F);
}

std::uint32_t max_magnitude(const float* x) {
  std::uint32_t max = 0;
  for (int j = 0; j < kBlock; ++j) max = magnitude(x[j]) > max ? magnitude(x[j]) : max;
  return max;
}

void quantize_block_q8_0(const float* x, std::byte* out) {
  const float d = std::bit_cast<float>(max_magnitude(x)) / 127.0F;
  const float id = inverse(d);
  store(out, to_f16_bits(d));
  for (int j = 0; j < kBlock; ++j) out[2 + j] = static_cast<std::byte>(round_away(x[j] * id));
}

int nibble(float scaled) {
  const int n = static_cast<int>(scaled + 8.5F);
  return n < 15 ? n : 15;
}

// The element of the greatest magnitude, the first of several, becomes -8.
void quantize_block_q4_0(const float* x, std::byte* out) {
  const std::uint32_t max = max_magnitude(x);
  const float d = *std::find_if(x, x + kBlock, [max](float each) { return magnitude(each) == max; }) / -8.0F;
  const float id = inverse(d);
  store(out, to_f16_bits(d));
  int quants[kBlock];
  for (int j = 0; j < kBlock; ++j) quants[j] = nibble(x[j] * id);
  for (int j = 0; j < kBlock / 2; ++j) out[2 + j] = static_cast<std::byte>(quants[j] | quants[j + kBlock / 2] << 4);
}

}  // namespace

void quantize_row(WeightFormat format, const float* row, std::int64_t cols, std::byte* out) {
  HERD_CHECK(format == WeightFormat::kQ8_0 || format == WeightFormat::kQ4_0, "q8_0 and q4_0 are made here");
  HERD_CHECK(cols % kBlock == 0, "a row is a whole number of blocks");
  const auto bytes = static_cast<std::size_t>(block_bytes(format));
  for (std::int64_t col = 0; col < cols; col += kBlock, out += bytes) {
    if (has_non_finite(row + col, kBlock)) {
      std::memset(out, 0, bytes);
      store(out, kNan);
    } else if (format == WeightFormat::kQ8_0) {
      quantize_block_q8_0(row + col, out);
    } else {
      quantize_block_q4_0(row + col, out);
    }
  }
}

}  // namespace herd::model
