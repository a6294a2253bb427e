// Which tokenizer a folder has, and what the files beside it say of it.

#include "endpoint/served/model_text.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/endpoint/served/served_folder.h"
#include "tests/runtime/sentencepiece_fixture.h"

namespace herd::served {
namespace {

using testing::ServedFolder;
using tokenizer::Tokenizer;
using Ids = std::vector<TokenId>;

// <unk> 0, <s> 1, </s> 2, then "▁a" 3, "▁" 4, "a" 5.
std::string sentencepiece_model() {
  const std::string space(tokenizer::kSpaceSymbol);
  return tokenizer::model_bytes(tokenizer::small_model({space + "a", space, "a"}));
}

// tiktoken's lines of the 256 bytes; the control tokens lie behind them.
std::string byte_ranks() {
  constexpr char kDigits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string lines;
  for (unsigned byte = 0; byte < 256; ++byte) {
    lines += {kDigits[byte >> 2], kDigits[(byte & 3) << 4], '=', '=', ' '};
    lines += std::to_string(byte) + "\n";
  }
  return lines;
}

Tokenizer opened(const ServedFolder& folder, const TokenizerSettings& settings = {}) {
  const auto opened = open_tokenizer(folder.open(), settings);
  EXPECT_TRUE(opened.has_value() && opened->tokenizer) << (opened ? opened->refused : opened.error()).message();
  return opened->tokenizer.value();
}

std::string name_of_fourth_control_token(const ServedFolder& folder, const TokenizerSettings& settings = {}) {
  return std::string(opened(folder, settings).token_bytes(256 + 4));
}

TEST(ModelTokenizer, ATokenizerModelIsSentencePiecesOrTiktokensByWhatItHolds) {
  ServedFolder folder;
  folder.write("tokenizer.model", sentencepiece_model());
  EXPECT_EQ(opened(folder).encode("a a", {.add_bos = true}), (Ids{1, 3, 3}));
  folder.write("tokenizer.model", byte_ranks());
  folder.write("config.json", testing::config_json(512));
  EXPECT_EQ(opened(folder).encode("a", {.add_bos = true}), (Ids{256, 'a'}));
}

TEST(ModelTokenizer, TokenizerConfigSaysWhatStandsAroundATextAndBehindControlTokens) {
  ServedFolder folder;
  folder.write("tokenizer.model", sentencepiece_model());
  const tokenizer::EncodeOptions options{.add_bos = true, .parse_special = true};
  EXPECT_EQ(opened(folder).encode("a</s>a", options), (Ids{1, 3, 2, 3}));
  folder.write("tokenizer_config.json", R"({"legacy":false,"add_bos_token":false,"add_eos_token":true})");
  EXPECT_EQ(opened(folder).encode("a</s>a", options), (Ids{3, 2, 5, 2}));
  folder.write("tokenizer_config.json", R"({"add_prefix_space":false,"legacy":null})");
  EXPECT_EQ(opened(folder).encode("a", options), (Ids{1, 5}));
}

// The keys count beside a tokenizer that lies elsewhere, and the model's own do not.
TEST(ModelTokenizer, TokenizerConfigIsReadBesideTheTokenizer) {
  ServedFolder folder;
  folder.write("tokenizer_config.json", R"({"add_bos_token":false})");
  const ServedFolder elsewhere;
  const std::string path = elsewhere.write("tokenizer.model", sentencepiece_model());
  EXPECT_EQ(opened(folder, {.path = path}).encode("a", {.add_bos = true}), (Ids{1, 3}));
  elsewhere.write("tokenizer_config.json", R"({"add_eos_token":true})");
  EXPECT_EQ(opened(folder, {.path = path}).encode("a", {.add_bos = true}), (Ids{1, 3, 2}));
}

TEST(ModelTokenizer, TheGenerationOfABareLlama3VocabularyIsDerivedOrNamed) {
  ServedFolder folder;
  folder.write("tokenizer.model", byte_ranks());
  const std::string config = testing::config_json(512);
  const std::string without_end = config.substr(0, config.size() - 1);
  folder.write("config.json", config);
  EXPECT_EQ(name_of_fourth_control_token(folder), "<|finetune_right_pad_id|>") << "nothing tells: the later names";
  folder.write("config.json", without_end + R"(,"max_position_embeddings":8192,"rope_theta":500000.0})");
  EXPECT_EQ(name_of_fourth_control_token(folder), "<|reserved_special_token_2|>");
  EXPECT_EQ(name_of_fourth_control_token(folder, {.version = "3.1"}), "<|finetune_right_pad_id|>");
  folder.write("config.json", config);
  EXPECT_EQ(name_of_fourth_control_token(folder, {.version = "3"}), "<|reserved_special_token_2|>");
  const ServedFolder meta;
  const std::string path = meta.write("tokenizer.model", byte_ranks());
  meta.write("params.json", R"({"dim":4096,"rope_theta":500000.0})");
  EXPECT_EQ(name_of_fourth_control_token(folder, {.path = path}), "<|reserved_special_token_2|>");
  meta.write("params.json", R"({"dim":4096,"rope_theta":500000.0,"use_scaled_rope":true})");
  EXPECT_EQ(name_of_fourth_control_token(folder, {.path = path}), "<|finetune_right_pad_id|>");
  EXPECT_EQ(open_tokenizer(folder.open(), {.version = "4"}).error().message(), "--version must be 3 or 3.1, not 4");
}

}  // namespace
}  // namespace herd::served
