#include "runtime/checkpoint/gguf_dequantize.h"

#include <algorithm>
#include <cstring>

namespace herd::model {
namespace {

constexpr int kBlock = 32;  // elements
constexpr int kSuperBlock = 256;

template <class T>
T load(const std::byte* at) {
  T value;
  std::memcpy(&value, at, sizeof value);
  return value;
}

float load_f16(const std::byte* at) { return f16_to_float(load<std::uint16_t>(at)); }

// Byte j of the nibbles holds elements j (low) and j + 16; bit j of `fifth` is the fifth bit of element j.
template <class Expand>
void expand_nibbles(const std::byte* nibbles, std::uint32_t fifth, Expand expand, float* out) {
  const auto high = [fifth](int j) { return (fifth & 1U << j) != 0 ? 16 : 0; };
  for (int j = 0; j < kBlock / 2; ++j) out[j] = expand(std::to_integer<int>(nibbles[j] & std::byte{15}) | high(j));
  out += kBlock / 2;
  for (int j = 0; j < kBlock / 2; ++j) out[j] = expand(std::to_integer<int>(nibbles[j] >> 4) | high(j + kBlock / 2));
}

void expand_block_q8_0(const std::byte* block, float* out) {
  const float d = load_f16(block);
  for (int j = 0; j < kBlock; ++j) out[j] = d * static_cast<float>(load<std::int8_t>(block + 2 + j));
}

void expand_block_q4_0(const std::byte* block, float* out) {
  const float d = load_f16(block);
  expand_nibbles(block + 2, 0, [d](int n) { return d * static_cast<float>(n - 8); }, out);
}

// Two roundings: this file is compiled with -ffp-contract=off.
void expand_block_q4_1(const std::byte* block, float* out) {
  const float d = load_f16(block);
  const float m = load_f16(block + 2);
  expand_nibbles(block + 4, 0, [d, m](int n) { return d * static_cast<float>(n) + m; }, out);
}

void expand_block_q5_0(const std::byte* block, float* out) {
  const float d = load_f16(block);
  expand_nibbles(block + 6, load<std::uint32_t>(block + 2), [d](int n) { return d * static_cast<float>(n - 16); }, out);
}

// Two roundings.
void expand_block_q5_1(const std::byte* block, float* out) {
  const float d = load_f16(block);
  const float m = load_f16(block + 2);
  expand_nibbles(block + 8, load<std::uint32_t>(block + 4), [d, m](int n) { return d * static_cast<float>(n) + m; }, out);
}

struct ScaleAndMinimum {
  int scale, minimum;
};

// Of group `group` of 32 elements, from the twelve bytes that hold those of eight groups, 6 bits each.
ScaleAndMinimum six_bit_numbers(const std::byte* packed, int group) {
  const auto bits = [packed](int byte, int shift, int mask) { return std::to_integer<int>(packed[byte]) >> shift & mask; };
  if (group < 4) return {bits(group, 0, 63), bits(group + 4, 0, 63)};
  return {bits(group + 4, 0, 15) | bits(group - 4, 6, 3) << 4, bits(group + 4, 4, 15) | bits(group, 6, 3) << 4};
}

// q4_k, and q5_k with `fifths`, whose bit g of byte i is the fifth bit of element i of group g. Four roundings, of which the last
// alone is not exact: scale and minimum of a group are products themselves.
void expand_groups(const std::byte* block, const std::byte* fifths, const std::byte* nibbles, float* out) {
  const float d = load_f16(block);
  const float dmin = load_f16(block + 2);
  for (int group = 0; group < kSuperBlock / kBlock; ++group) {
    const ScaleAndMinimum numbers = six_bit_numbers(block + 4, group);
    const float scale = d * static_cast<float>(numbers.scale);
    const float minimum = dmin * static_cast<float>(numbers.minimum);
    const std::byte* bytes = nibbles + 32 * (group / 2);
    for (int i = 0; i < kBlock; ++i) {
      const int nibble = std::to_integer<int>(bytes[i]) >> 4 * (group % 2) & 15;
      const int fifth = fifths == nullptr ? 0 : std::to_integer<int>(fifths[i]) >> group & 1;
      *out++ = scale * static_cast<float>(nibble | fifth << 4) - minimum;
    }
  }
}

void expand_block_q4_k(const std::byte* block, float* out) { expand_groups(block, nullptr, block + 16, out); }
void expand_block_q5_k(const std::byte* block, float* out) { expand_groups(block, block + 16, block + 48, out); }

// Two roundings: the scale of 16 elements is a product itself.
void expand_block_q6_k(const std::byte* block, float* out) {
  const float d = load_f16(block + 208);
  for (int half = 0; half < 2; ++half) {
    for (int part = 0; part < 8; ++part) {  // sixteen elements with a scale
      const float scale = d * static_cast<float>(load<std::int8_t>(block + 192 + 8 * half + part));
      const std::byte* lower = block + 64 * half + 16 * (part % 4);
      const std::byte* upper = block + 128 + 32 * half + 16 * (part % 2);
      const int lower_shift = part < 4 ? 0 : 4, upper_shift = part / 2 * 2;
      for (int i = 0; i < 16; ++i) {
        const int low = std::to_integer<int>(lower[i]) >> lower_shift & 15;
        const int high = std::to_integer<int>(upper[i]) >> upper_shift & 3;
        out[i] = scale * static_cast<float>((low | high << 4) - 32);
      }
      out += 16;
    }
  }
}

template <int kElements, class ExpandBlock>
void expand_blocks(ExpandBlock expand_block, WeightFormat format, const std::byte* row, std::int64_t begin, std::int64_t end,
                   float* out) {
  for (std::int64_t at = begin; at < end;) {
    const std::int64_t block = at / kElements;
    const std::int64_t first = at - block * kElements;
    const std::int64_t count = std::min<std::int64_t>(kElements - first, end - at);
    const std::byte* source = row + block * block_bytes(format);
    if (count == kElements) {
      expand_block(source, out);
    } else {
      float whole[kElements];
      expand_block(source, whole);
      std::copy_n(whole + first, count, out);
    }
    out += count;
    at += count;
  }
}

}  // namespace

void expand_row(WeightFormat format, const std::byte* row, std::int64_t col_begin, std::int64_t col_end, float* out) {
  const std::int64_t count = col_end - col_begin;
  switch (format) {
    case WeightFormat::kF32:
      if (count > 0) std::memcpy(out, row + col_begin * 4, static_cast<std::size_t>(count) * 4);
      return;
    case WeightFormat::kBF16:
      for (std::int64_t i = 0; i < count; ++i) {
        out[i] = to_float(BFloat16{load<std::uint16_t>(row + (col_begin + i) * 2)});
      }
      return;
    case WeightFormat::kF16:
      for (std::int64_t i = 0; i < count; ++i) out[i] = load_f16(row + (col_begin + i) * 2);
      return;
    case WeightFormat::kQ8_0:
      return expand_blocks<kBlock>(expand_block_q8_0, format, row, col_begin, col_end, out);
    case WeightFormat::kQ4_0:
      return expand_blocks<kBlock>(expand_block_q4_0, format, row, col_begin, col_end, out);
    case WeightFormat::kQ4_1:
      return expand_blocks<kBlock>(expand_block_q4_1, format, row, col_begin, col_end, out);
    case WeightFormat::kQ5_0:
      return expand_blocks<kBlock>(expand_block_q5_0, format, row, col_begin, col_end, out);
    case WeightFormat::kQ5_1:
      return expand_blocks<kBlock>(expand_block_q5_1, format, row, col_begin, col_end, out);
    case WeightFormat::kQ4_K:
      return expand_blocks<kSuperBlock>(expand_block_q4_k, format, row, col_begin, col_end, out);
    case WeightFormat::kQ5_K:
      return expand_blocks<kSuperBlock>(expand_block_q5_k, format, row, col_begin, col_end, out);
    case WeightFormat::kQ6_K:
      return expand_blocks<kSuperBlock>(expand_block_q6_k, format, row, col_begin, col_end, out);
  }
}

}  // namespace herd::model
