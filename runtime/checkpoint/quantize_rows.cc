#include "runtime/checkpoint/quantize_rows.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

#include "kernels/check.h"
#include "kernels/dtype.h"
#include "runtime/checkpoint/quantize_super_blocks.h"
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

// Of q[kBlock]: byte j holds the lower four bits of elements j and j + 16; bit j of a word the fifth one of element j.
void store_nibbles(const int* q, std::byte* out) {
  for (int j = 0; j < kBlock / 2; ++j) out[j] = static_cast<std::byte>((q[j] & 15) | (q[j + kBlock / 2] & 15) << 4);
}
void store_fifth_bits(const int* q, std::byte* out) {
  std::uint32_t bits = 0;
  for (int j = 0; j < kBlock; ++j) bits |= static_cast<std::uint32_t>(q[j] >> 4) << j;
  std::memcpy(out, &bits, sizeof bits);
}

// d; the element of the greatest magnitude, the first of several, becomes -half.
float quantize_about_zero(const float* x, int half, int* q) {
  const std::uint32_t max = max_magnitude(x);
  const float d = *std::find_if(x, x + kBlock, [max](float each) { return magnitude(each) == max; }) / static_cast<float>(-half);
  const float id = inverse(d);
  for (int j = 0; j < kBlock; ++j) q[j] = std::min(static_cast<int>(x[j] * id + (static_cast<float>(half) + 0.5F)), 2 * half - 1);
  return d;
}

void quantize_block_q4_0(const float* x, std::byte* out) {
  int q[kBlock];
  store(out, to_f16_bits(quantize_about_zero(x, 8, q)));
  store_nibbles(q, out + 2);
}

void quantize_block_q5_0(const float* x, std::byte* out) {
  int q[kBlock];
  store(out, to_f16_bits(quantize_about_zero(x, 16, q)));
  store_fifth_bits(q, out + 2);
  store_nibbles(q, out + 6);
}

void quantize_block(WeightFormat format, const float* x, std::byte* out) {
  switch (format) {
    case WeightFormat::kQ8_0:
      return quantize_block_q8_0(x, out);
    case WeightFormat::kQ4_0:
      return quantize_block_q4_0(x, out);
    case WeightFormat::kQ5_0:
      return quantize_block_q5_0(x, out);
    case WeightFormat::kQ4_K:
      return quantize_block_q4_k(x, out);
    case WeightFormat::kQ5_K:
      return quantize_block_q5_k(x, out);
    case WeightFormat::kQ6_K:
      return quantize_block_q6_k(x, out);
    default:
      HERD_UNREACHABLE("no blocks of this format are made here");
  }
}

}  // namespace

void quantize_row(WeightFormat format, const float* row, std::int64_t cols, std::byte* out) {
  const std::int64_t elements = block_elements(format);
  HERD_CHECK(cols % elements == 0, "a row is a whole number of blocks");
  const auto bytes = static_cast<std::size_t>(block_bytes(format));
  for (std::int64_t col = 0; col < cols; col += elements, out += bytes) {
    if (has_non_finite(row + col, static_cast<std::size_t>(elements))) {
      std::memset(out, 0, bytes);
      store(out + scale_offset(format), kNan);
    } else {
      quantize_block(format, row + col, out);
    }
  }
}

}  // namespace herd::model
