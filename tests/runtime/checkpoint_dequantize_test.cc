// Block formats against the Python package `gguf` (bits), against hand-computed vectors, and against themselves when
// columns are cut anywhere.

#include "runtime/checkpoint/gguf_dequantize.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "tests/runtime/checkpoint_bytes.h"

namespace herd::model {
namespace {

#include "tests/golden/gguf_blocks.inc"

using testing::append;
using testing::as_bytes;

std::vector<float> expand(WeightFormat encoding, std::span<const std::byte> row, std::int64_t begin, std::int64_t end) {
  std::vector<float> out(static_cast<std::size_t>(end - begin));
  expand_row(encoding, row.data(), begin, end, out.data());
  return out;
}

struct Golden {
  WeightFormat encoding;
  std::span<const unsigned char> bytes;
  std::span<const std::uint32_t> floats;
};
const Golden kGoldens[] = {
    {WeightFormat::kQ8_0, kQ8_0Bytes, kQ8_0Floats},
    {WeightFormat::kQ4_0, kQ4_0Bytes, kQ4_0Floats},
    {WeightFormat::kQ4_1, kQ4_1Bytes, kQ4_1Floats},
    {WeightFormat::kQ5_0, kQ5_0Bytes, kQ5_0Floats},
    {WeightFormat::kQ5_1, kQ5_1Bytes, kQ5_1Floats},
    {WeightFormat::kQ4_K, kQ4_KBytes, kQ4_KFloats},
    {WeightFormat::kQ5_K, kQ5_KBytes, kQ5_KFloats},
    {WeightFormat::kQ6_K, kQ6_KBytes, kQ6_KFloats},
};

TEST(GgufDequantize, EqualsThePythonPackageBitForBit) {
  for (const Golden& golden : kGoldens) {
    const auto row = std::as_bytes(golden.bytes);
    const auto cols = static_cast<std::int64_t>(golden.floats.size());
    ASSERT_EQ(row_bytes(golden.encoding, cols), static_cast<std::int64_t>(row.size()));
    const auto floats = expand(golden.encoding, row, 0, cols);
    for (std::size_t i = 0; i < floats.size(); ++i) {
      ASSERT_EQ(std::bit_cast<std::uint32_t>(floats[i]), golden.floats[i])
          << format_name(golden.encoding) << " " << i;
    }
  }
}

TEST(GgufDequantize, AnyColumnRangeIsASliceOfTheWholeRow) {
  for (const Golden& golden : kGoldens) {
    const auto row = std::as_bytes(golden.bytes);
    const std::int64_t cols = 4 * block_elements(golden.encoding);
    const std::int64_t step = cols / 18;
    const auto whole = expand(golden.encoding, row, 0, cols);
    for (std::int64_t begin = 0; begin <= cols; begin += step) {
      for (std::int64_t end = begin; end <= cols; end += step + 2) {
        ASSERT_EQ(expand(golden.encoding, row, begin, end),
                  std::vector<float>(whole.begin() + begin, whole.begin() + end));
      }
    }
  }
}

TEST(GgufDequantize, Q40FollowsTheLayoutOfItsNibbles) {
  const unsigned char block[] = {0x00, 0x38,  // d = 0.5
                                 0x0b, 0x30, 0x55, 0x7a, 0x9f, 0xc4, 0xe9, 0x0e,
                                 0x33, 0x58, 0x7d, 0xa2, 0xc7, 0xec, 0x11, 0x36};
  const std::vector<float> expected = {1.5, -4,   -1.5, 1,   3.5, -2, .5, 3,  -2.5, 0,    2.5, -3, -.5, 2, -3.5, -1,
                                       -4,  -2.5, -1.5, -.5, .5,  2,  3,  -4, -2.5, -1.5, -.5, 1,  2,   3, -3.5, -2.5};
  EXPECT_EQ(expand(WeightFormat::kQ4_0, std::as_bytes(std::span(block)), 0, 32), expected);
}

// Element j alone is not 0: its low bits, its high bits and its scale lie where the format says.
TEST(GgufDequantize, Q6KFollowsTheLayoutOfItsBits) {
  for (int j = 0; j < 256; ++j) {
    std::string block(210, '\0');
    for (int i = 128; i < 192; ++i) block[static_cast<std::size_t>(i)] = '\xaa';  // n = 32 everywhere
    const int half = j / 128, i = j % 32, part = j / 32 % 4;
    block[static_cast<std::size_t>(64 * half + 32 * (part % 2) + i)] = static_cast<char>(5 << (4 * (part / 2)));
    block[static_cast<std::size_t>(192 + j / 16)] = -3;
    block[209] = 0x38;  // d = 0.5
    std::vector<float> expected(256, 0.0F);
    expected[static_cast<std::size_t>(j)] = 0.5F * -3.0F * 5.0F;
    ASSERT_EQ(expand(WeightFormat::kQ6_K, as_bytes(block), 0, 256), expected) << j;
  }
}

// A group alone has a scale and a minimum, and element j a number of all its bits.
TEST(GgufDequantize, Q4KAndQ5KFollowTheLayoutOfTheirBits) {
  constexpr int kScale = 0b100101, kMinimum = 0b011010;
  for (const bool fifth : {false, true}) {
    for (std::size_t j = 0; j < 256; ++j) {
      std::string block(fifth ? 176 : 144, '\0');
      const auto put = [&block](std::size_t at, int bits) { block[at] = static_cast<char>(block[at] | bits); };
      put(1, 0x38);  // d = 0.5
      put(3, 0x34);  // dmin = 0.25
      const std::size_t group = j / 32, i = j % 32;
      if (group < 4) {
        put(4 + group, kScale);
        put(8 + group, kMinimum);
      } else {
        put(4 + group + 4, (kScale & 15) | (kMinimum & 15) << 4);
        put(4 + group - 4, (kScale >> 4) << 6);
        put(4 + group, (kMinimum >> 4) << 6);
      }
      const std::size_t nibbles = fifth ? 48 : 16;
      put(nibbles + 32 * (group / 2) + i, group % 2 == 0 ? 5 : 5 << 4);
      if (fifth) put(16 + i, 1 << group);
      std::vector<float> expected(256, 0.0F);
      std::fill_n(expected.begin() + static_cast<std::ptrdiff_t>(32 * group), 32, -0.25F * kMinimum);
      expected[j] += 0.5F * kScale * (fifth ? 21 : 5);
      ASSERT_EQ(expand(fifth ? WeightFormat::kQ5_K : WeightFormat::kQ4_K, as_bytes(block), 0, 256), expected) << j;
    }
  }
}

TEST(GgufDequantize, PlainRowsNeedNoAlignment) {
  std::string bytes(1, 'x');
  for (const float value : {1.5F, -0.0F, 3e38F}) append(bytes, value);
  EXPECT_EQ(expand(WeightFormat::kF32, as_bytes(bytes).subspan(1), 1, 3), (std::vector<float>{-0.0F, 3e38F}));
  bytes.assign(1, 'x');
  for (const int value : {0x3c00, 0x0001, 0xfbff}) append(bytes, static_cast<std::uint16_t>(value));
  EXPECT_EQ(expand(WeightFormat::kF16, as_bytes(bytes).subspan(1), 0, 3),
            (std::vector<float>{1.0F, std::ldexp(1.0F, -24), -65504.0F}));
  bytes.assign(1, 'x');
  for (const int value : {0x3f80, 0xc040}) append(bytes, static_cast<std::uint16_t>(value));
  EXPECT_EQ(expand(WeightFormat::kBF16, as_bytes(bytes).subspan(1), 0, 2), (std::vector<float>{1.0F, -3.0F}));
}

}  // namespace
}  // namespace herd::model
