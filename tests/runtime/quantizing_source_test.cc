// Floats to blocks against the Python package `gguf` (bytes), and a model quantised while it is read.

#include "runtime/checkpoint/quantizing_source.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "kernels/device.h"
#include "runtime/checkpoint/gguf_dequantize.h"
#include "runtime/checkpoint/quantize_rows.h"
#include "tests/runtime/tiny_checkpoint.h"

namespace herd::model {
namespace {

#include "tests/golden/quantized_rows.inc"

using namespace testing;

constexpr WeightFormat kMade[] = {WeightFormat::kQ8_0, WeightFormat::kQ4_0};

std::vector<unsigned char> quantize(WeightFormat format, std::span<const float> row) {
  std::vector<unsigned char> out(static_cast<std::size_t>(row_bytes(format, static_cast<std::int64_t>(row.size()))));
  quantize_row(format, row.data(), static_cast<std::int64_t>(row.size()), std::as_writable_bytes(std::span(out)).data());
  return out;
}

std::vector<unsigned char> quantize_in_kernel_mode(WeightFormat format, std::span<const float> row) {
  std::vector<unsigned char> out;
  std::thread([&] {
    set_kernel_float_mode();
    out = quantize(format, row);
  }).join();
  return out;
}

std::vector<float> golden_row() {
  std::vector<float> row;
  for (const std::uint32_t bits : kRowBits) row.push_back(std::bit_cast<float>(bits));
  return row;
}

TEST(QuantizeRow, EqualsThePythonPackageByteForByte) {
  const auto row = golden_row();
  const std::vector<unsigned char> q8_0(std::begin(kQuantizedQ8_0), std::end(kQuantizedQ8_0));
  const std::vector<unsigned char> q4_0(std::begin(kQuantizedQ4_0), std::end(kQuantizedQ4_0));
  EXPECT_EQ(quantize(WeightFormat::kQ8_0, row), q8_0);
  EXPECT_EQ(quantize(WeightFormat::kQ4_0, row), q4_0);
  EXPECT_EQ(quantize_in_kernel_mode(WeightFormat::kQ8_0, row), q8_0);
  EXPECT_EQ(quantize_in_kernel_mode(WeightFormat::kQ4_0, row), q4_0);
}

// No block's bytes depend on what the processor does with subnormal numbers.
TEST(QuantizeRow, TinyBlocksStandForZerosInEveryFloatMode) {
  for (const WeightFormat format : kMade) {
    for (int exponent = -149; exponent < -90; ++exponent) {
      std::vector<float> row(32);
      for (int j = 0; j < 32; ++j)
        row[static_cast<std::size_t>(j)] = std::ldexp(static_cast<float>((j * 11 + 5) % 32 - 16), exponent);
      const auto blocks = quantize(format, row);
      EXPECT_EQ(blocks, quantize_in_kernel_mode(format, row)) << format_name(format) << " 2^" << exponent;
      std::vector<float> values(32, 1.0F);
      expand_row(format, std::as_bytes(std::span(blocks)).data(), 0, 32, values.data());
      EXPECT_EQ(values, std::vector<float>(32, 0.0F));
    }
  }
}

TEST(QuantizeRow, WhatIsNotFiniteIsFoundAfterwards) {
  for (const WeightFormat format : kMade) {
    for (const float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(),
                            -std::numeric_limits<float>::infinity(), 1e30F}) {
      for (const std::size_t place : {0U, 31U, 40U}) {
        std::vector<float> row(96, 0.5F);
        row[place] = bad;
        const auto blocks = quantize(format, row);
        EXPECT_TRUE(has_non_finite(format, blocks.data(), 3)) << format_name(format) << " " << bad << " at " << place;
        row[place] = 0.5F;
        EXPECT_FALSE(has_non_finite(format, quantize(format, row).data(), 3));
      }
    }
  }
}

// An element is at most half a step from what it becomes, but for what rounding the scale to f16 adds.
TEST(QuantizeRow, StaysWithinHalfAStep) {
  std::vector<float> row(4096);
  for (std::size_t i = 0; i < row.size(); ++i)
    row[i] = static_cast<float>(static_cast<double>(splitmix64_finish(i) >> 11) * 0x1p-53 - 0.5);
  for (const WeightFormat format : kMade) {
    const auto blocks = quantize(format, row);
    std::vector<float> values(row.size());
    expand_row(format, std::as_bytes(std::span(blocks)).data(), 0, 4096, values.data());
    // q4_0 reaches from -8 to 7 steps: the largest of the other sign may be a whole step away.
    const float bound = format == WeightFormat::kQ8_0 ? 0.5F * 0.5F / 127.0F * 1.13F : 0.5F / 8.0F * 1.01F;
    for (std::size_t i = 0; i < row.size(); ++i) ASSERT_LE(std::abs(values[i] - row[i]), bound) << i;
  }
}

std::shared_ptr<const Checkpoint> opened(const std::string& path) {
  auto checkpoint = open_checkpoint(path);
  EXPECT_TRUE(checkpoint) << checkpoint.error().message();
  return checkpoint ? std::shared_ptr<const Checkpoint>(std::move(*checkpoint)) : nullptr;
}

constexpr const char* kEmbedding = "model.embed_tokens.weight";
constexpr const char* kDown = "model.layers.0.mlp.down_proj.weight";
constexpr const char* kOut = "model.layers.0.self_attn.o_proj.weight";  // 16 columns: no whole block
constexpr const char* kQuery = "model.layers.1.self_attn.q_proj.weight";

TEST(QuantizingSource, SaysWhatItMakesAndLetsTheRestThrough) {
  const ModelDirectory directory(tiny_model(true, true), "BF16");
  const auto checkpoint = opened(directory.path());
  const QuantizingSource q8_0(checkpoint, checkpoint->config(), WeightFormat::kQ8_0);
  const QuantizingSource q4_0(checkpoint, checkpoint->config(), WeightFormat::kQ4_0);
  for (const char* name : {kDown, kQuery}) {
    EXPECT_EQ(q8_0.stored_format(name), WeightFormat::kQ8_0) << name;
    EXPECT_EQ(q4_0.stored_format(name), WeightFormat::kQ4_0) << name;
  }
  for (const char* name : {kEmbedding, "lm_head.weight"}) EXPECT_EQ(q4_0.stored_format(name), WeightFormat::kQ8_0) << name;
  for (const char* name :
       {kOut, "model.norm.weight", "model.layers.0.input_layernorm.weight", "model.layers.0.self_attn.q_proj.bias"}) {
    EXPECT_EQ(q4_0.stored_format(name), WeightFormat::kBF16) << name;
    const auto info = *checkpoint->info(name);
    const auto count = static_cast<std::size_t>(info.rows * info.cols);
    std::vector<float> values(count), expected(count);
    std::vector<std::uint16_t> bits(count), expected_bits(count);
    ASSERT_TRUE(q4_0.read_rows(name, 0, info.rows, 0, info.cols, values.data()).ok());
    ASSERT_TRUE(checkpoint->read_rows(name, 0, info.rows, 0, info.cols, expected.data()).ok());
    EXPECT_EQ(values, expected) << name;
    ASSERT_TRUE(q4_0.read_stored_rows(name, 0, info.rows, 0, info.cols, bits.data()).ok());
    ASSERT_TRUE(checkpoint->read_stored_rows(name, 0, info.rows, 0, info.cols, expected_bits.data()).ok());
    EXPECT_EQ(bits, expected_bits) << name;
  }
}

TEST(QuantizingSource, GivesTheBlocksOfTheRowsAndWhatTheyStandFor) {
  const ModelDirectory directory(tiny_model(true, true), "BF16");
  const auto checkpoint = opened(directory.path());
  for (const WeightFormat wanted : kMade) {
    const QuantizingSource source(checkpoint, checkpoint->config(), wanted);
    for (const char* name : {kEmbedding, kDown, kQuery}) {
      const WeightFormat format = *source.stored_format(name);
      const auto info = *checkpoint->info(name);
      std::vector<float> whole(static_cast<std::size_t>(info.rows * info.cols));
      ASSERT_TRUE(checkpoint->read_rows(name, 0, info.rows, 0, info.cols, whole.data()).ok());
      for (std::int64_t col_begin = 0; col_begin < info.cols; col_begin += 32) {
        for (std::int64_t col_end = col_begin + 32; col_end <= info.cols; col_end += 32) {
          const std::int64_t row = 3, rows = 6, cols = col_end - col_begin;
          const auto width = static_cast<std::size_t>(row_bytes(format, cols));
          std::vector<unsigned char> blocks(static_cast<std::size_t>(rows) * width);
          std::vector<float> values(static_cast<std::size_t>(rows * (cols - 3)));
          ASSERT_TRUE(source.read_stored_rows(name, row, row + rows, col_begin, col_end, blocks.data()).ok());
          ASSERT_TRUE(source.read_rows(name, row, row + rows, col_begin + 1, col_end - 2, values.data()).ok());
          for (std::int64_t i = 0; i < rows; ++i) {
            const auto floats = std::span(whole).subspan(static_cast<std::size_t>((row + i) * info.cols + col_begin),
                                                         static_cast<std::size_t>(cols));
            const auto expected = quantize(format, floats);
            const auto actual = std::span(blocks).subspan(static_cast<std::size_t>(i) * width, width);
            ASSERT_TRUE(std::equal(expected.begin(), expected.end(), actual.begin())) << name;
            std::vector<float> expanded(static_cast<std::size_t>(cols - 3));
            expand_row(format, std::as_bytes(std::span(expected)).data(), 1, cols - 2, expanded.data());
            ASSERT_TRUE(std::equal(expanded.begin(), expanded.end(), values.begin() + i * (cols - 3))) << name;
          }
        }
      }
    }
  }
}

// The blocks of a file are not quantised a second time.
TEST(QuantizingSource, BlocksOfTheSourceStay) {
  GgufWriter writer = tiny_gguf(tiny_model(true, false));
  GgufWriter::Tensor& up = find(writer, "blk.0.ffn_up.weight");
  up.type = ggml_number(WeightFormat::kQ5_1);
  up.data = random_blocks(WeightFormat::kQ5_1, kFfn * kHidden / 32, 3);
  const TempDirectory directory;
  const auto checkpoint = opened(directory.write("m.gguf", writer.bytes()));
  const QuantizingSource source(checkpoint, checkpoint->config(), WeightFormat::kQ4_0);
  const std::string name = "model.layers.0.mlp.up_proj.weight";
  EXPECT_EQ(source.stored_format(name), WeightFormat::kQ5_1);
  std::string blocks(up.data.size(), '\0');
  ASSERT_TRUE(source.read_stored_rows(name, 0, kFfn, 0, kHidden, blocks.data()).ok());
  EXPECT_EQ(blocks, up.data);
  EXPECT_EQ(source.stored_format(kDown), WeightFormat::kQ4_0);
  EXPECT_EQ(source.stored_format(kQuery), WeightFormat::kQ4_0) << "rows in interleaved order are put in place first";
}

class Broken final : public WeightSource {
 public:
  Status read_rows(std::string_view, std::int64_t, std::int64_t, std::int64_t, std::int64_t, float*) const override {
    return bad_input("the file ends here");
  }
};

TEST(QuantizingSource, ErrorsOfTheSourcePassThrough) {
  const ModelDirectory directory(tiny_model(true, true), "BF16");
  const QuantizingSource source(std::make_shared<Broken>(), opened(directory.path())->config(), WeightFormat::kQ8_0);
  std::vector<float> values(32);
  EXPECT_EQ(source.read_rows(kQuery, 0, 1, 0, 32, values.data()).message(), "the file ends here");
  EXPECT_EQ(source.read_stored_rows(kQuery, 0, 1, 0, 32, values.data()).message(), "the file ends here");
}

}  // namespace
}  // namespace herd::model
