// The keys of a GGUF file that say its vocabulary.

#include <cstdint>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "runtime/checkpoint/checkpoint.h"
#include "runtime/checkpoint/gguf_file.h"
#include "runtime/tokenizer/gguf_vocabulary.h"
#include "tests/runtime/checkpoint_bytes.h"

namespace herd::model {
namespace {

using namespace testing;

constexpr std::uint32_t kBool = 7;

TEST(GgufVocabularyKeys, ALlamaVocabularyHasScoresAndRulesOfSpaces) {
  GgufWriter writer;
  writer.text("tokenizer.ggml.model", "llama");
  writer.texts("tokenizer.ggml.tokens", {"<unk>", "<s>", "a"});
  writer.i32s("tokenizer.ggml.token_type", {2, 3, 1});
  writer.begin_entry("tokenizer.ggml.scores", 9);
  append(writer.entries, std::uint32_t{6});
  append(writer.entries, std::uint64_t{3});
  for (const float score : {0.0F, 0.0F, -1.5F}) append(writer.entries, score);
  writer.u32("tokenizer.ggml.unknown_token_id", 0);
  writer.u32("tokenizer.ggml.bos_token_id", 1);
  writer.scalar("tokenizer.ggml.add_bos_token", kBool, std::uint8_t{1});
  writer.scalar("tokenizer.ggml.add_eos_token", kBool, std::uint8_t{0});
  writer.scalar("tokenizer.ggml.add_space_prefix", kBool, std::uint8_t{0});
  writer.scalar("tokenizer.ggml.remove_extra_whitespaces", kBool, std::uint8_t{1});
  const std::string bytes = writer.bytes();
  const auto file = GgufFile::parse(as_bytes(bytes), "m.gguf");
  ASSERT_TRUE(file.has_value()) << file.error().message();
  const auto vocabulary = gguf_vocabulary(*file);
  ASSERT_TRUE(vocabulary.has_value()) << vocabulary.error().message();
  tokenizer::GgufVocabulary expected;
  expected.model = "llama";
  expected.tokens = {"<unk>", "<s>", "a"};
  expected.token_types = {2, 3, 1};
  expected.scores = {0.0F, 0.0F, -1.5F};
  expected.unknown_id = 0;
  expected.bos_id = 1;
  expected.add_bos = true;
  expected.add_eos = false;
  expected.add_space_prefix = false;
  expected.remove_extra_whitespaces = true;
  EXPECT_EQ(*vocabulary, expected);
}

}  // namespace
}  // namespace herd::model
