// The head of a GGUF file that is written, as the reader finds it.

#include "runtime/checkpoint/gguf_head.h"

#include <array>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "runtime/checkpoint/gguf_tensor_names.h"

namespace herd::model {
namespace {

TEST(GgufHead, IsReadAsItWasWritten) {
  const std::vector<std::string> texts = {"a", "", "ü"};
  const std::array<float, 2> floats = {0.5F, -1.0F};
  const std::array<std::int32_t, 3> numbers = {1, -2, 3};
  GgufHead head;
  head.add("text", "long text");
  head.add("number", std::uint32_t{4'000'000'000});
  head.add("float", 0.1F);
  head.add("double", 1e-300);
  head.add_flag("flag", true);
  head.add("texts", std::span<const std::string>(texts));
  head.add("floats", std::span<const float>(floats));
  head.add("numbers", std::span<const std::int32_t>(numbers));
  head.add_tensor("rows", {3, 64}, WeightFormat::kQ4_0);
  head.add_tensor("vector", {5}, WeightFormat::kF32);
  head.add_tensor("last", {1, 256}, WeightFormat::kQ6_K);
  std::vector<std::byte> bytes = head.bytes();
  EXPECT_EQ(bytes.size(), head.begin(0));
  bytes.resize(head.file_bytes());

  const auto file = GgufFile::parse(bytes, "new.gguf");
  ASSERT_TRUE(file) << file.error().message();
  EXPECT_EQ(file->string("text")->value(), "long text");
  EXPECT_EQ(file->integer("number")->value(), 4'000'000'000);
  EXPECT_EQ(file->number("float")->value(), static_cast<double>(0.1F));
  EXPECT_EQ(file->number("double")->value(), 1e-300);
  EXPECT_TRUE(file->boolean("flag")->value());
  EXPECT_EQ(*file->strings("texts"), (std::vector<std::string_view>{"a", "", "ü"}));
  EXPECT_EQ(*file->floats("floats"), (std::vector<float>{0.5F, -1.0F}));
  EXPECT_EQ(*file->integers("numbers"), (std::vector<std::int64_t>{1, -2, 3}));
  const struct {
    const char* name;
    std::vector<std::int64_t> shape;
    std::uint64_t bytes;
  } tensors[] = {{"rows", {3, 64}, 3 * 36}, {"vector", {5}, 20}, {"last", {1, 256}, 210}};
  for (std::size_t i = 0; i < std::size(tensors); ++i) {
    const GgufTensor* tensor = file->find(tensors[i].name);
    ASSERT_NE(tensor, nullptr) << tensors[i].name;
    EXPECT_EQ(tensor->shape, tensors[i].shape);
    EXPECT_EQ(tensor->begin, head.begin(i));
    EXPECT_EQ(tensor->begin % 32, 0u);
    EXPECT_EQ(tensor->end - tensor->begin, tensors[i].bytes);
  }
}

TEST(GgufHead, EntriesOfAnotherFileAreCopied) {
  GgufHead first;
  const std::vector<std::string> texts = {"x", "yz"};
  first.add("one", "text");
  first.add("many", std::span<const std::string>(texts));
  const std::vector<std::byte> bytes = first.bytes();
  const auto file = GgufFile::parse(bytes, "first.gguf");
  ASSERT_TRUE(file);
  GgufHead second;
  second.add(*file->value("one"));
  second.add(*file->value("many"));
  EXPECT_EQ(second.bytes(), bytes);
}

TEST(GgufHead, EveryFormatHasTheNumberThatTheReaderKnowsItBy) {
  for (const WeightFormat format : kAllFormats) {
    GgufTensor tensor;
    tensor.type = ggml_type_number(format);
    EXPECT_EQ(tensor.encoding(), format) << format_name(format);
  }
}

TEST(GgufTensorNames, GoBothWays) {
  const std::pair<const char*, const char*> rows[] = {
      {"token_embd.weight", "model.embed_tokens.weight"},
      {"output.weight", "lm_head.weight"},
      {"blk.3.attn_q.weight", "model.layers.3.self_attn.q_proj.weight"},
      {"blk.11.ffn_down.bias", "model.layers.11.mlp.down_proj.bias"},
      {"blk.0.attn_norm.weight", "model.layers.0.input_layernorm.weight"},
      {"rope_freqs.weight", "rope_freqs.weight"},
      {"blk.3.attn_q", "blk.3.attn_q"},
  };
  for (const auto& [gguf, hugging_face] : rows) {
    EXPECT_EQ(hugging_face_name(gguf), hugging_face);
    EXPECT_EQ(gguf_name(hugging_face), gguf);
  }
}

}  // namespace
}  // namespace herd::model
