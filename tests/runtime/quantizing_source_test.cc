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
#include "runtime/checkpoint/quantization_mixture.h"
#include "runtime/checkpoint/quantize_rows.h"
#include "tests/runtime/tiny_checkpoint.h"

namespace herd::model {
namespace {

#include "tests/golden/quantized_rows.inc"

using namespace testing;

constexpr WeightFormat kMade[] = {WeightFormat::kQ8_0, WeightFormat::kQ4_0, WeightFormat::kQ5_0,
                                  WeightFormat::kQ4_K, WeightFormat::kQ5_K, WeightFormat::kQ6_K};

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
  const auto expect = [&](WeightFormat format, std::span<const unsigned char> bytes) {
    const std::vector<unsigned char> expected(bytes.begin(), bytes.end());
    EXPECT_EQ(quantize(format, row), expected) << format_name(format);
    EXPECT_EQ(quantize_in_kernel_mode(format, row), expected) << format_name(format);
  };
  expect(WeightFormat::kQ8_0, kQuantizedQ8_0);
  expect(WeightFormat::kQ4_0, kQuantizedQ4_0);
  expect(WeightFormat::kQ5_0, kQuantizedQ5_0);
}

// As tests/golden/make_quantizer_errors.py makes them.
std::vector<float> row_of_kind(int kind) {
  constexpr int kElements = 256 * 64;
  std::vector<float> row;
  for (std::uint64_t i = 0; i < kElements; ++i) {
    std::int64_t parts[4];
    for (std::uint64_t j = 0; j < 4; ++j) {
      const std::uint64_t word = splitmix64_finish(static_cast<std::uint64_t>(kind + 1) + (4 * i + j + 1) * kSplitMix64Step);
      parts[j] = static_cast<std::int64_t>(word >> 44) - (1 << 19);
    }
    std::int64_t value = parts[0];
    if (kind == 1) value = parts[0] + parts[1] + parts[2] + parts[3];
    if (kind == 2 && static_cast<std::int64_t>(i % 32) == (parts[1] % 32 + 32) % 32) value = 8 * parts[0];
    if (kind == 3) value += 1 << 19;
    row.push_back(static_cast<float>(static_cast<double>(value) * 0x1p-20));
  }
  return row;
}

// What is lost is no more than ggml's quantisers lose, but for a fiftieth; and it does not depend on the float mode.
TEST(QuantizeRow, SuperBlocksLoseNoMoreThanThoseOfGgml) {
  const struct {
    WeightFormat format;
    int kind;
    double error;
  } golden[] = {
#include "tests/golden/quantizer_errors.inc"
  };
  for (const auto& [format, kind, error] : golden) {
    const std::vector<float> row = row_of_kind(kind);
    const auto blocks = quantize(format, row);
    EXPECT_EQ(blocks, quantize_in_kernel_mode(format, row));
    std::vector<float> values(row.size());
    expand_row(format, std::as_bytes(std::span(blocks)).data(), 0, static_cast<std::int64_t>(row.size()), values.data());
    double squares = 0;
    for (std::size_t i = 0; i < row.size(); ++i) squares += (double{values[i]} - row[i]) * (double{values[i]} - row[i]);
    EXPECT_LE(std::sqrt(squares / static_cast<double>(row.size())), 1.02 * error) << format_name(format) << " row " << kind;
  }
}

// Floats of every exponent up to that of 1, then 512 of each of the rows above.
std::vector<float> row_of_all_kinds() {
  std::vector<float> row;
  for (std::uint64_t i = 0; i < 256 * 64; ++i)
    row.push_back(std::bit_cast<float>(static_cast<std::uint32_t>(splitmix64_finish((i + 1) * kSplitMix64Step) >> 32) & 0xbfffffffu));
  for (int kind = 0; kind < 4; ++kind) {
    const std::vector<float> other = row_of_kind(kind);
    row.insert(row.end(), other.begin(), other.begin() + 512);
  }
  return row;
}

// Sums in another order would make other bytes of some of these.
TEST(QuantizeRow, SuperBlocksAreTheSameBytesWhereverTheyAreMade) {
  const struct {
    WeightFormat format;
    std::uint64_t digest;  // FNV-1a
  } golden[] = {{WeightFormat::kQ4_K, 0xbcd20bf813c806a7ULL},
                {WeightFormat::kQ5_K, 0x317a2600e2c9af64ULL},
                {WeightFormat::kQ6_K, 0x2a4c33625784e1d8ULL}};
  const std::vector<float> row = row_of_all_kinds();
  for (const auto& [format, digest] : golden) {
    std::uint64_t found = 0xcbf29ce484222325ULL;
    for (const unsigned char byte : quantize_in_kernel_mode(format, row)) found = (found ^ byte) * 0x100000001b3ULL;
    EXPECT_EQ(found, digest) << format_name(format);
  }
}

// No block's bytes depend on what the processor does with subnormal numbers.
TEST(QuantizeRow, TinyBlocksStandForZerosInEveryFloatMode) {
  for (const WeightFormat format : kMade) {
    for (int exponent = -149; exponent < -90; ++exponent) {
      const auto elements = static_cast<std::size_t>(block_elements(format));
      std::vector<float> row(elements);
      for (int j = 0; j < static_cast<int>(elements); ++j)
        row[static_cast<std::size_t>(j)] = std::ldexp(static_cast<float>((j * 11 + 5) % 32 - 16), exponent);
      const auto blocks = quantize(format, row);
      EXPECT_EQ(blocks, quantize_in_kernel_mode(format, row)) << format_name(format) << " 2^" << exponent;
      std::vector<float> values(elements, 1.0F);
      expand_row(format, std::as_bytes(std::span(blocks)).data(), 0, static_cast<std::int64_t>(elements), values.data());
      EXPECT_EQ(values, std::vector<float>(elements, 0.0F));
    }
  }
}

TEST(QuantizeRow, WhatIsNotFiniteIsFoundAfterwards) {
  for (const WeightFormat format : kMade) {
    for (const float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(),
                            -std::numeric_limits<float>::infinity(), 1e30F}) {
      const auto elements = static_cast<std::size_t>(block_elements(format));
      for (const std::size_t place : {std::size_t{0}, elements - 1, elements + 8}) {
        std::vector<float> row(3 * elements, 0.5F);
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
  for (const WeightFormat format : {WeightFormat::kQ8_0, WeightFormat::kQ4_0}) {
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
  for (const WeightFormat wanted : kQuantizedTo) {
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

LlamaConfig config_of(int layers, std::int32_t hidden, std::int32_t ffn) {
  LlamaConfig config;
  config.layers = layers;
  config.hidden_size = hidden;
  config.intermediate_size = ffn;
  config.heads = config.kv_heads = 4;
  config.head_dim = hidden / 4;
  config.vocab_size = 64;
  return config;
}

// Element (row, column) of every tensor has a value of its own, whatever slice is read.
class Numbers final : public WeightSource {
 public:
  Status read_rows(std::string_view, std::int64_t row_begin, std::int64_t row_end, std::int64_t col_begin, std::int64_t col_end,
                   float* out) const override {
    for (std::int64_t row = row_begin; row < row_end; ++row) {
      for (std::int64_t col = col_begin; col < col_end; ++col) {
        const std::uint64_t word = splitmix64_finish(static_cast<std::uint64_t>(row * 100'000 + col));
        *out++ = static_cast<float>(static_cast<double>(word >> 11) * 0x1p-53 - 0.5);
      }
    }
    return {};
  }
};

// Ranks whose columns begin and end inside a super-block see the whole one.
TEST(QuantizingSource, SlicesInsideSuperBlocksAreOfTheWholeOnes) {
  const LlamaConfig config = config_of(2, 512, 768);
  for (const WeightFormat wanted : {WeightFormat::kQ4_K, WeightFormat::kQ6_K}) {
    const QuantizingSource source(std::make_shared<Numbers>(), config, wanted);
    const WeightFormat format = *source.stored_format(kDown);
    ASSERT_TRUE(has_super_blocks(format));
    const auto bytes = static_cast<std::size_t>(block_bytes(format));
    std::vector<unsigned char> whole(3 * bytes);
    std::vector<float> numbers(768);
    ASSERT_TRUE(source.read_stored_rows(kDown, 7, 8, 0, 768, whole.data()).ok());
    ASSERT_TRUE(source.read_rows(kDown, 7, 8, 0, 768, numbers.data()).ok());
    for (std::int64_t begin = 0; begin < 768; begin += 96) {
      const auto first = static_cast<std::size_t>(begin / 256);
      const auto last = static_cast<std::size_t>((begin + 96 + 255) / 256);
      std::vector<unsigned char> slice((last - first) * bytes);
      ASSERT_EQ(slice.size(), static_cast<std::size_t>(stored_row_bytes(format, begin, begin + 96)));
      ASSERT_TRUE(source.read_stored_rows(kDown, 7, 8, begin, begin + 96, slice.data()).ok());
      EXPECT_TRUE(std::equal(slice.begin(), slice.end(), whole.begin() + static_cast<std::ptrdiff_t>(first * bytes))) << begin;
      std::vector<float> part(96);
      ASSERT_TRUE(source.read_rows(kDown, 7, 8, begin, begin + 96, part.data()).ok());
      EXPECT_TRUE(std::equal(part.begin(), part.end(), numbers.begin() + begin)) << begin;
    }
  }
}

TEST(QuantizationMixture, IsThatOfLlamaQuantize) {
  LlamaConfig config = config_of(16, 2048, 8192);
  const auto format = [&](const std::string& name) { return mixture_format(config, name + ".weight", WeightFormat::kQ4_K); };
  const auto part = [&](int layer, const char* name) { return format("model.layers." + std::to_string(layer) + "." + name); };
  EXPECT_EQ(format("model.embed_tokens"), WeightFormat::kQ4_K);
  EXPECT_EQ(format("lm_head"), WeightFormat::kQ6_K);
  EXPECT_EQ(format("model.norm"), WeightFormat::kBF16);
  const std::vector<int> more = {0, 1, 4, 7, 10, 13, 14, 15};
  for (int layer = 0; layer < 16; ++layer) {
    const bool six = std::find(more.begin(), more.end(), layer) != more.end();
    for (const char* name : {"self_attn.v_proj", "mlp.down_proj"})
      EXPECT_EQ(part(layer, name), six ? WeightFormat::kQ6_K : WeightFormat::kQ4_K) << layer << name;
    for (const char* name : {"self_attn.q_proj", "self_attn.k_proj", "self_attn.o_proj", "mlp.gate_proj", "mlp.up_proj"})
      EXPECT_EQ(part(layer, name), WeightFormat::kQ4_K) << layer << name;
  }
  EXPECT_EQ(matrices_stood_in_for(config, WeightFormat::kQ4_K), 0);
  config.tie_word_embeddings = true;
  EXPECT_EQ(format("model.embed_tokens"), WeightFormat::kQ6_K);
  config.layers = 80;
  for (const int layer : {0, 11, 40, 79}) EXPECT_EQ(part(layer, "self_attn.v_proj"), WeightFormat::kQ5_K);
}

TEST(QuantizationMixture, HasOtherFormatsWhereRowsAreNoSuperBlocks) {
  LlamaConfig config = config_of(3, 576, 1536);
  config.tie_word_embeddings = true;
  const auto format = [&](const char* name, WeightFormat wanted) { return mixture_format(config, name, wanted); };
  EXPECT_EQ(format("model.layers.1.self_attn.q_proj.weight", WeightFormat::kQ4_K), WeightFormat::kQ5_0);
  EXPECT_EQ(format("model.embed_tokens.weight", WeightFormat::kQ4_K), WeightFormat::kQ8_0);
  EXPECT_EQ(format("model.layers.1.mlp.up_proj.weight", WeightFormat::kQ6_K), WeightFormat::kQ8_0);
  EXPECT_EQ(format("model.layers.1.mlp.down_proj.weight", WeightFormat::kQ6_K), WeightFormat::kQ6_K);
  EXPECT_EQ(matrices_stood_in_for(config, WeightFormat::kQ6_K), 1 + 3 * 6);
  EXPECT_EQ(matrices_stood_in_for(config, WeightFormat::kQ8_0), 0);
  config.hidden_size = 80;
  EXPECT_EQ(format("model.layers.1.mlp.up_proj.weight", WeightFormat::kQ8_0), WeightFormat::kBF16);
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
