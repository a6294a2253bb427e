// Tensors in blocks: files whose headers lie about them, models that mix encodings, and a file's own bytes as they are read.

#include <cstring>
#include <functional>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "runtime/checkpoint/encoding_count.h"
#include "runtime/checkpoint/gguf_dequantize.h"
#include "runtime/checkpoint/gguf_file.h"
#include "runtime/checkpoint/stored_tensor.h"
#include "tests/runtime/tiny_checkpoint.h"

namespace herd::model {
namespace {

using namespace testing;

std::size_t size_of(WeightFormat format, std::int64_t blocks) {
  return static_cast<std::size_t>(blocks * block_bytes(format));
}

struct Lie {
  const char* what;
  std::string expected;
  std::function<GgufWriter::Tensor(GgufWriter::Tensor)> tell;  // of a tensor of four blocks a row, two rows
};

std::vector<Lie> lies_about(WeightFormat format) {
  const auto elements = static_cast<std::uint64_t>(block_elements(format));
  std::string name = format_name(format);
  name[0] = 'Q';
  if (has_super_blocks(format)) name[3] = 'K';
  const auto partial = [&](std::uint64_t cols) {
    return "t: rows of " + std::to_string(cols) + " elements are not whole " + name + " blocks of " + std::to_string(elements);
  };
  using Tensor = GgufWriter::Tensor;
  const auto with_dims = [](std::vector<std::uint64_t> dims) {
    return [dims](Tensor tensor) {
      tensor.dims = dims;
      return tensor;
    };
  };
  const auto with_offset = [](std::int64_t offset) {
    return [offset](Tensor tensor) {
      tensor.offset = offset;
      return tensor;
    };
  };
  const std::size_t bytes = size_of(format, 8);
  return {
      {"an element too many", partial(4 * elements + 1), with_dims({4 * elements + 1, 2})},
      {"whole blocks in all, not in a row", partial(elements / 2), with_dims({elements / 2, 16})},
      {"a plain tensor's rows", partial(1), with_dims({1, 8 * elements})},
      {"cut inside a block",
       "t: its data end at byte " + std::to_string(96 + bytes) + " of the data section, which has " +
           std::to_string(96 + bytes - 7),
       [bytes](Tensor tensor) {
         tensor.data.resize(bytes - 7);
         return tensor;
       }},
      {"cut between two blocks", "t: its data end at byte ",
       [format](Tensor tensor) {
         tensor.data.resize(size_of(format, 7));
         return tensor;
       }},
      {"a row more than there is", "t: its data end at byte ", with_dims({4 * elements, 3})},
      {"an odd offset", "t: offset 112 is not a multiple of the alignment 32", with_offset(112)},
      {"an offset behind the file", "t: its data end at byte ", with_offset(std::int64_t{1} << 40)},
      {"an offset whose end wraps", "t: offset 18446744073709551584 is too large", with_offset(-32)},
      {"inside another", "t: overlaps another tensor, before, at byte 32 of the data section", with_offset(32)},
      {"dimensions that wrap", "t: dimension 1 of 281474976710656 is zero or too large",
       with_dims({4 * elements, std::uint64_t{1} << 48})},
      {"no columns", "t: dimension 0 of 0 is zero or too large", with_dims({0, 2})},
      {"no rows", "t: dimension 1 of 0 is zero or too large", with_dims({4 * elements, 0})},
  };
}

TEST(BlockTensors, LiesAboutThemAreRefusedByFileTensorAndPlace) {
  int lies = 0;
  for (const WeightFormat format : kBlockFormats) {
    for (const Lie& lie : lies_about(format)) {
      GgufWriter writer;
      writer.tensors.push_back({"before", {17}, 0, std::string(68, 'f')});
      writer.tensors.push_back(lie.tell({"t", {4 * static_cast<std::uint64_t>(block_elements(format)), 2}, ggml_number(format),
                                         random_blocks(format, 8, 1)}));
      const std::string bytes = writer.bytes();
      const auto file = GgufFile::parse(as_bytes(bytes), "m.gguf");
      ASSERT_FALSE(file) << format_name(format) << ": " << lie.what;
      EXPECT_EQ(file.error().code(), StatusCode::kBadInput);
      EXPECT_EQ(file.error().message().find("m.gguf: " + lie.expected), 0U)
          << format_name(format) << ": " << lie.what << "\n  gave: " << file.error().message();
      ++lies;
    }
  }
  EXPECT_EQ(lies, 104);
}

constexpr std::uint64_t kWide = 256, kWideKv = 128, kWideVocab = 8, kWideHead = 64;

// One layer of 256 columns, so that every format fits; all matrices in blocks of `format`.
GgufWriter wide_gguf(WeightFormat format) {
  GgufWriter writer;
  writer.text("general.architecture", "llama");
  for (const auto& [key, value] : {std::pair{"llama.embedding_length", kWide}, {"llama.block_count", 1},
                                   {"llama.attention.head_count", kWide / kWideHead},
                                   {"llama.attention.head_count_kv", kWideKv / kWideHead},
                                   {"llama.rope.dimension_count", kWideHead}, {"llama.feed_forward_length", kWide},
                                   {"llama.context_length", 64}, {"llama.vocab_size", kWideVocab}})
    writer.u32(key, static_cast<std::uint32_t>(value));
  writer.f32("llama.attention.layer_norm_rms_epsilon", 1e-5F);
  std::uint64_t seed = 1;
  const auto matrix = [&](const char* name, std::uint64_t rows) {
    const auto blocks = static_cast<std::int64_t>(rows * kWide) / block_elements(format);
    writer.tensors.push_back({name, {kWide, rows}, ggml_number(format), random_blocks(format, blocks, seed++)});
  };
  const auto vector = [&](const char* name) {
    writer.tensors.push_back({name, {kWide}, 0, pack(std::vector<float>(kWide, 1.0F), "F32")});
  };
  matrix("token_embd.weight", kWideVocab);
  matrix("output.weight", kWideVocab);
  matrix("blk.0.attn_q.weight", kWide);
  matrix("blk.0.attn_k.weight", kWideKv);
  matrix("blk.0.attn_v.weight", kWideKv);
  matrix("blk.0.attn_output.weight", kWide);
  matrix("blk.0.ffn_gate.weight", kWide);
  matrix("blk.0.ffn_up.weight", kWide);
  matrix("blk.0.ffn_down.weight", kWide);
  vector("output_norm.weight");
  vector("blk.0.attn_norm.weight");
  vector("blk.0.ffn_norm.weight");
  return writer;
}

void store_as(GgufWriter::Tensor& tensor, WeightFormat format, std::uint64_t seed) {
  std::uint64_t elements = 1;
  for (const std::uint64_t dim : tensor.dims) elements *= dim;
  tensor.type = ggml_number(format);
  tensor.data = random_blocks(format, static_cast<std::int64_t>(elements) / block_elements(format), seed);
}

constexpr const char* kQuery = "model.layers.0.self_attn.q_proj.weight";
constexpr const char* kKey = "model.layers.0.self_attn.k_proj.weight";
constexpr const char* kValue = "model.layers.0.self_attn.v_proj.weight";
constexpr const char* kDown = "model.layers.0.mlp.down_proj.weight";

// As quantisers leave models: the head and some matrices finer than the rest.
TEST(BlockTensors, AModelMayMixThem) {
  GgufWriter writer = wide_gguf(WeightFormat::kQ4_0);
  store_as(find(writer, "output.weight"), WeightFormat::kQ6_K, 20);
  store_as(find(writer, "blk.0.attn_v.weight"), WeightFormat::kQ6_K, 21);
  store_as(find(writer, "blk.0.attn_k.weight"), WeightFormat::kQ5_1, 22);
  find(writer, "blk.0.ffn_down.weight").type = 0;
  find(writer, "blk.0.ffn_down.weight").data = pack(std::vector<float>(kWide * kWide, 0.5F), "F32");
  const TempDirectory directory;
  const auto checkpoint = open_checkpoint(directory.write("m.gguf", writer.bytes()));
  ASSERT_TRUE(checkpoint) << checkpoint.error().message();
  EXPECT_EQ((*checkpoint)->default_encoding(), "q4_0");
  EXPECT_EQ((*checkpoint)->config().torch_dtype, DType::kBF16);
  EXPECT_EQ((*checkpoint)->stored_format("lm_head.weight"), WeightFormat::kQ6_K);
  EXPECT_EQ((*checkpoint)->stored_format(kQuery), WeightFormat::kQ4_0);
  EXPECT_EQ((*checkpoint)->stored_format(kKey), WeightFormat::kQ5_1);
  EXPECT_EQ((*checkpoint)->stored_format(kValue), WeightFormat::kQ6_K);
  EXPECT_EQ((*checkpoint)->stored_format(kDown), WeightFormat::kF32);
  EXPECT_EQ((*checkpoint)->info(kValue)->encoding, "q6_k");
  EXPECT_EQ((*checkpoint)->info(kKey)->encoding, "q5_1");
  std::vector<float> rows(kWideKv * kWide);
  EXPECT_TRUE((*checkpoint)->read_rows(kValue, 0, kWideKv, 0, kWide, rows.data()).ok());
}

// As llama.cpp makes Q4_K_M: rows that are no whole blocks of 256 would be in q5_0 or q8_0.
TEST(BlockTensors, AModelOfKQuantsIsCalledWhatMostOfItIs) {
  GgufWriter writer = wide_gguf(WeightFormat::kQ4_K);
  store_as(find(writer, "output.weight"), WeightFormat::kQ6_K, 20);
  store_as(find(writer, "blk.0.attn_v.weight"), WeightFormat::kQ6_K, 21);
  store_as(find(writer, "blk.0.attn_k.weight"), WeightFormat::kQ5_K, 22);
  store_as(find(writer, "blk.0.ffn_down.weight"), WeightFormat::kQ5_0, 23);
  const TempDirectory directory;
  const auto checkpoint = open_checkpoint(directory.write("m.gguf", writer.bytes()));
  ASSERT_TRUE(checkpoint) << checkpoint.error().message();
  EXPECT_EQ((*checkpoint)->default_encoding(), "q4_k");
  EXPECT_EQ((*checkpoint)->stored_format("lm_head.weight"), WeightFormat::kQ6_K);
  EXPECT_EQ((*checkpoint)->stored_format(kQuery), WeightFormat::kQ4_K);
  EXPECT_EQ((*checkpoint)->stored_format(kKey), WeightFormat::kQ5_K);
  EXPECT_EQ((*checkpoint)->stored_format(kValue), WeightFormat::kQ6_K);
  EXPECT_EQ((*checkpoint)->stored_format(kDown), WeightFormat::kQ5_0);
  EXPECT_EQ((*checkpoint)->info(kQuery)->encoding, "q4_k");
  EXPECT_EQ((*checkpoint)->info(kKey)->encoding, "q5_k");
}

TEST(BlockTensors, WhatMostMatricesHaveIsTheModelsEncoding) {
  EncodingCount small_model;  // whose head is larger than its layers
  small_model.add("q6_k", 1000);
  for (int i = 0; i < 7; ++i) small_model.add("q4_0", 100);
  EXPECT_EQ(small_model.most(), "q4_0");
  EncodingCount even;
  even.add("q4_1", 10);
  even.add("q8_0", 11);
  EXPECT_EQ(even.most(), "q8_0");
  EXPECT_EQ(EncodingCount().most(), "");
}

TEST(BlockTensors, ContradictionsNameFileAndTensor) {
  const struct {
    const char* expected;
    std::function<void(GgufWriter&, WeightFormat)> spoil;
  } cases[] = {
      {"m.gguf: model.embed_tokens.weight (token_embd.weight): shape [9, 256], but ",
       [](GgufWriter& w, WeightFormat format) {
         find(w, "token_embd.weight").dims = {kWide, kWideVocab + 1};
         store_as(find(w, "token_embd.weight"), format, 3);
       }},
      {"m.gguf: model.layers.0.self_attn.k_proj.weight (blk.0.attn_k.weight): shape [256, 256], but ",
       [](GgufWriter& w, WeightFormat format) {
         find(w, "blk.0.attn_k.weight").dims = {kWide, kWide};
         store_as(find(w, "blk.0.attn_k.weight"), format, 3);
       }},
      {"m.gguf: model.layers.0.mlp.up_proj.weight (blk.0.ffn_up.weight): shape [128, 512], but ",
       [](GgufWriter& w, WeightFormat) { find(w, "blk.0.ffn_up.weight").dims = {2 * kWide, kWide / 2}; }},
      {"m.gguf: model.norm.weight (output_norm.weight): shape [512], but ",
       [](GgufWriter& w, WeightFormat format) {
         find(w, "output_norm.weight").dims = {2 * kWide};
         store_as(find(w, "output_norm.weight"), format, 3);
       }},
      {"m.gguf: model.layers.0.mlp.gate_proj.weight: tensor is missing, [256, 256] is needed",
       [](GgufWriter& w, WeightFormat) { find(w, "blk.0.ffn_gate.weight").name = "blk.0.ffn_gates.weight"; }},
      {"m.gguf: model.layers.0.self_attn.v_proj.weight: occurs twice with different values",
       [](GgufWriter& w, WeightFormat format) {
         w.tensors.push_back({kValue, {kWide, kWideKv}, 0, ""});
         store_as(w.tensors.back(), format, 77);
       }},
  };
  const TempDirectory directory;
  for (const WeightFormat format : kBlockFormats) {
    for (const auto& broken : cases) {
      GgufWriter writer = wide_gguf(format);
      broken.spoil(writer, format);
      expect_contains(error_of(directory.write("m.gguf", writer.bytes())), broken.expected);
    }
  }
}

TEST(BlockTensors, OtherTypesAreRefusedByName) {
  const struct {
    std::uint32_t type;
    const char* name;
    std::size_t block_bytes;  // of 256 elements
  } types[] = {{4, "type 4", 0},         {5, "type 5", 0},          {9, "type q8_1", 288},   {10, "type q2_k", 84},
               {11, "type q3_k", 110},   {15, "type q8_k", 292},
               {20, "type iq4_nl", 144}, {28, "type f64", 2048},    {31, "type 31", 0},      {99, "type 99", 0},
               {0xffffffffU, "type 4294967295", 0}};
  const TempDirectory directory;
  for (const auto& type : types) {
    GgufWriter writer = wide_gguf(WeightFormat::kQ8_0);
    find(writer, "blk.0.ffn_down.weight").type = type.type;
    find(writer, "blk.0.ffn_down.weight").data.assign(type.block_bytes * kWide, 'x');
    expect_contains(error_of(directory.write("m.gguf", writer.bytes())),
                    std::string("m.gguf: model.layers.0.mlp.down_proj.weight (blk.0.ffn_down.weight): ") + type.name +
                        " is not supported yet");
  }
}

// No quantiser writes them so, but what they stand for is clear, also where the elements of a bias are interleaved.
TEST(BlockTensors, VectorsAreExpanded) {
  for (const WeightFormat format : kBlockFormats) {
    GgufWriter writer = wide_gguf(format);
    for (const char* name : {"output_norm.weight", "blk.0.attn_norm.weight"}) store_as(find(writer, name), format, 5);
    for (const char* name : {"blk.0.attn_q.bias", "blk.0.attn_k.bias", "blk.0.attn_v.bias"}) {
      writer.tensors.push_back({name, {kWide}, 0, ""});
      store_as(writer.tensors.back(), format, 6);
    }
    for (const char* name : {"blk.0.attn_k.weight", "blk.0.attn_v.weight"}) {  // as many heads as the query's
      find(writer, name).dims = {kWide, kWide};
      store_as(find(writer, name), format, 7);
    }
    std::string bytes = writer.bytes();
    const std::string key = "llama.attention.head_count_kv";
    bytes[bytes.find(key) + key.size() + 4] = kWide / kWideHead;
    const TempDirectory directory;
    const auto checkpoint = open_checkpoint(directory.write("m.gguf", bytes));
    ASSERT_TRUE(checkpoint) << checkpoint.error().message();
    const std::string stored = find(writer, "output_norm.weight").data;
    std::vector<float> expected(kWide), values(kWide);
    expand_row(format, as_bytes(stored).data(), 0, kWide, expected.data());
    ASSERT_TRUE((*checkpoint)->read_rows("model.norm.weight", 0, 1, 0, kWide, values.data()).ok());
    EXPECT_EQ(values, expected);
    EXPECT_EQ((*checkpoint)->stored_format("model.norm.weight"), format);

    const std::string bias = find(writer, "blk.0.attn_q.bias").data;
    expand_row(format, as_bytes(bias).data(), 0, kWide, expected.data());
    ASSERT_TRUE((*checkpoint)->read_rows("model.layers.0.self_attn.q_proj.bias", 0, 1, 0, kWide, values.data()).ok());
    for (std::size_t i = 0; i < kWide; ++i) {
      const std::size_t in_head = i % kWideHead;
      const std::size_t at = i - in_head + in_head % (kWideHead / 2) * 2 + in_head / (kWideHead / 2);
      ASSERT_EQ(values[i], expected[at]) << i;
    }
    EXPECT_FALSE((*checkpoint)->stored_format("model.layers.0.self_attn.q_proj.bias")) << "its elements lie scattered";
  }
}

// A scale or minimum that is not finite is found in the blocks as in what they expand to.
TEST(BlockTensors, ScalesThatAreNotFiniteAreFound) {
  constexpr std::int64_t kBlocks = 5;
  for (const WeightFormat format : kBlockFormats) {
    const std::int64_t cols = kBlocks * block_elements(format);
    std::vector<float> floats(static_cast<std::size_t>(cols));
    const std::string good = random_blocks(format, kBlocks, 9);
    EXPECT_FALSE(has_non_finite(format, good.data(), kBlocks));
    for (const std::uint16_t bad : {0x7c00, 0xfc00, 0x7e00, 0xfc01}) {
      for (std::size_t field = 0; field < (has_minimum(format) ? 2U : 1U); ++field) {
        for (std::int64_t block = 0; block < kBlocks; ++block) {
          std::string bytes = good;
          std::memcpy(bytes.data() + size_of(format, block) + scale_offset(format) + 2 * field, &bad, 2);
          EXPECT_TRUE(has_non_finite(format, bytes.data(), kBlocks)) << format_name(format) << " " << field << " " << block;
          EXPECT_FALSE(has_non_finite(format, bytes.data(), static_cast<std::size_t>(block)));
          expand_row(format, as_bytes(bytes).data(), 0, cols, floats.data());
          EXPECT_TRUE(has_non_finite(floats.data(), floats.size()));
        }
      }
    }
    // Largest finite scales are no infinities, and quants never are.
    std::string large(size_of(format, 1), '\xff');
    const std::uint16_t largest[] = {0x7bff, 0xfbff};
    std::memcpy(large.data() + scale_offset(format), largest, has_minimum(format) ? 4 : 2);
    EXPECT_FALSE(has_non_finite(format, large.data(), 1)) << format_name(format);
  }
  const std::uint16_t halves[] = {0x7bff, 0x7f7f, 0x0000};
  EXPECT_FALSE(has_non_finite(WeightFormat::kBF16, halves, 3));
  EXPECT_TRUE(has_non_finite(WeightFormat::kF16, halves, 3)) << "0x7f7f is a NaN as f16";
  const std::uint16_t infinity = 0x7f80;
  EXPECT_TRUE(has_non_finite(WeightFormat::kBF16, &infinity, 1));
  EXPECT_FALSE(has_non_finite(WeightFormat::kF16, halves, 1));
  const float nan = std::numeric_limits<float>::quiet_NaN();
  EXPECT_TRUE(has_non_finite(WeightFormat::kF32, &nan, 1));
}

// The model's own error: the report of a load goes by what is expanded, which a NaN scale reaches.
TEST(BlockTensors, ANanScaleReachesTheRowsThroughTheDoor) {
  for (const WeightFormat format : kBlockFormats) {
    GgufWriter writer = wide_gguf(format);
    const std::uint16_t nan = 0x7e00;
    std::string& data = find(writer, "blk.0.attn_q.weight").data;  // its stored row 3
    std::memcpy(data.data() + static_cast<std::size_t>(row_bytes(format, 3 * kWide)) + scale_offset(format), &nan, 2);
    const TempDirectory directory;
    const auto checkpoint = open_checkpoint(directory.write("m.gguf", writer.bytes()));
    ASSERT_TRUE(checkpoint) << checkpoint.error().message();
    const std::int64_t row = kWideHead / 2 + 1;  // the second half's second
    std::vector<float> values(kWide);
    std::vector<std::byte> stored(static_cast<std::size_t>(row_bytes(format, kWide)));
    for (std::int64_t each = 0; each < static_cast<std::int64_t>(kWide); ++each) {
      ASSERT_TRUE((*checkpoint)->read_rows(kQuery, each, each + 1, 0, kWide, values.data()).ok());
      ASSERT_TRUE((*checkpoint)->read_stored_rows(kQuery, each, each + 1, 0, kWide, stored.data()).ok());
      EXPECT_EQ(has_non_finite(values.data(), values.size()), each == row) << each;
      const auto blocks = static_cast<std::size_t>(static_cast<std::int64_t>(kWide) / block_elements(format));
      EXPECT_EQ(has_non_finite(format, stored.data(), blocks), each == row);
    }
  }
}

struct Stored {
  std::string bytes;
  StoredTensor tensor;
};

// Four heads of eight rows.
std::unique_ptr<Stored> stored_tensor(WeightFormat format, std::int64_t cols, bool interleaved) {
  auto stored = std::make_unique<Stored>();
  stored->bytes = "head";
  if (is_quantized(format)) {
    stored->bytes += random_blocks(format, 32 * cols / block_elements(format), 4);
  } else {
    for (std::int64_t i = 0; i < 32 * row_bytes(format, cols); ++i) stored->bytes += static_cast<char>(i * 7 % 113);
  }
  StoredTensor& tensor = stored->tensor;
  tensor.info.rows = 32;
  tensor.info.cols = cols;
  tensor.shape = {32, cols};
  tensor.encoding = format;
  tensor.bytes = files::FileBytes::over(as_bytes(stored->bytes), "m.gguf");
  tensor.begin = 4;
  tensor.interleaved = interleaved;
  return stored;
}

// Of every format, in both orders of rows, for any rows and columns.
TEST(StoredRows, AreTheFilesOwnBlocks) {
  constexpr WeightFormat kPlain[] = {WeightFormat::kF32, WeightFormat::kBF16, WeightFormat::kF16};
  std::vector<WeightFormat> formats(std::begin(kBlockFormats), std::end(kBlockFormats));
  formats.insert(formats.end(), std::begin(kPlain), std::end(kPlain));
  for (const WeightFormat format : formats) {
    const std::int64_t cols = 1024;
    for (const bool interleaved : {false, true}) {
      const auto stored = stored_tensor(format, cols, interleaved);
      EXPECT_EQ(stored->tensor.stored_format(), format);
      for (const auto& [row_begin, row_end] : {std::pair{0, 32}, {8, 16}, {3, 6}, {5, 27}, {31, 32}, {7, 7}}) {
        for (const auto& [col_begin, col_end] :
             {std::pair{0, 1024}, {0, 256}, {256, 1024}, {32, 64}, {96, 288}, {224, 1024}, {64, 64}}) {
          const std::int64_t width = stored_row_bytes(format, col_begin, col_end);
          std::vector<std::byte> out(static_cast<std::size_t>((row_end - row_begin) * width));
          ASSERT_TRUE(stored->tensor.read_stored_rows(8, row_begin, row_end, col_begin, col_end, out.data()).ok());
          const std::int64_t first = col_begin / block_elements(format);  // block
          for (int row = row_begin; row < row_end && width > 0; ++row) {
            const int in_head = row % 8;
            const int at = interleaved ? row - in_head + in_head % 4 * 2 + in_head / 4 : row;
            const char* expected = stored->bytes.data() + 4 + at * row_bytes(format, cols) + first * block_bytes(format);
            const std::byte* actual = out.data() + (row - row_begin) * width;
            ASSERT_EQ(std::memcmp(actual, expected, static_cast<std::size_t>(width)), 0)
                << format_name(format) << " row " << row << " columns " << col_begin << ".." << col_end;
            std::vector<float> floats(static_cast<std::size_t>(col_end - col_begin)), expanded(floats.size());
            ASSERT_TRUE(stored->tensor.read_rows(8, row, row + 1, col_begin, col_end, floats.data()).ok());
            const std::int64_t skipped = col_begin - first * block_elements(format);
            expand_row(format, actual, skipped, skipped + col_end - col_begin, expanded.data());
            ASSERT_EQ(std::memcmp(floats.data(), expanded.data(), floats.size() * sizeof(float)), 0);
          }
        }
      }
    }
  }
}

TEST(StoredRows, BytesOfARowAreThoseOfTheBlocksThatCoverTheColumns) {
  EXPECT_EQ(stored_row_bytes(WeightFormat::kF32, 3, 8), 20);
  EXPECT_EQ(stored_row_bytes(WeightFormat::kBF16, 3, 8), 10);
  EXPECT_EQ(stored_row_bytes(WeightFormat::kQ4_0, 32, 96), 36);
  EXPECT_EQ(stored_row_bytes(WeightFormat::kQ6_K, 0, 256), 210);
  EXPECT_EQ(stored_row_bytes(WeightFormat::kQ6_K, 32, 64), 210);
  EXPECT_EQ(stored_row_bytes(WeightFormat::kQ6_K, 224, 288), 420);
  EXPECT_EQ(stored_row_bytes(WeightFormat::kQ6_K, 96, 96), 0);
  EXPECT_EQ(stored_row_bytes(WeightFormat::kQ4_K, 224, 288), 288);
  EXPECT_EQ(stored_row_bytes(WeightFormat::kQ5_K, 32, 64), 176);
}

TEST(StoredRows, HeadsThatAreNotWholeAreRefused) {
  const auto stored = stored_tensor(WeightFormat::kQ8_0, 64, true);
  stored->tensor.info.name = stored->tensor.info.source_name = "q";
  stored->tensor.info.file = "m.gguf";
  std::vector<std::byte> out(68 * 32);
  EXPECT_EQ(stored->tensor.read_stored_rows(12, 0, 32, 0, 64, out.data()).message(), "m.gguf: q: is not made of whole heads");
}

}  // namespace
}  // namespace herd::model
