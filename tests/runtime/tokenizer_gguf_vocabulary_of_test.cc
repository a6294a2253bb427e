// Tokenizers as GGUF files state them, and what these become when they are read again.

#include "runtime/tokenizer/gguf_vocabulary_of.h"

#include <gtest/gtest.h>

#include "runtime/tokenizer/byte_spelling.h"
#include "runtime/tokenizer/tiktoken_model.h"
#include "runtime/tokenizer/tokenizer_file.h"
#include "tests/runtime/tokenizer_fixture.h"

namespace herd::tokenizer {
namespace {

std::string refusal_of(const TokenizerDefinition& definition, std::size_t rows = 0) {
  const auto stated = gguf_vocabulary_of(definition, rows > 0 ? rows : definition.tokens.size());
  return stated ? "accepted" : stated.error().message();
}

// The vocabulary that is read from a file and stated again.
GgufVocabulary stated_again(const GgufVocabulary& vocabulary) {
  const auto definition = vocabulary_definition(vocabulary);
  EXPECT_TRUE(definition) << definition.error().message();
  const auto stated = gguf_vocabulary_of(*definition, vocabulary.tokens.size());
  EXPECT_TRUE(stated) << stated.error().message();
  EXPECT_TRUE(stated->unsaid.empty());
  return stated->vocabulary;
}

GgufVocabulary byte_level() {
  GgufVocabulary vocabulary = small_vocabulary("llama-bpe", {{"a", "b"}, {" ", "ab"}, {"\xC3", "\xBC"}}, {"<|begin|>", "<|end|>"});
  vocabulary.tokens.push_back("user's");
  vocabulary.token_types.push_back(kUserToken);
  vocabulary.tokens.push_back("[PAD262]");
  vocabulary.token_types.push_back(kUnusedToken);
  vocabulary.bos_id = 259;
  vocabulary.eos_id = 260;
  vocabulary.add_bos = true;
  vocabulary.add_eos = false;
  return vocabulary;
}

TEST(GgufVocabularyOf, AByteLevelFileIsStatedAsItWas) {
  GgufVocabulary vocabulary = byte_level();
  EXPECT_EQ(stated_again(vocabulary), vocabulary);
  for (const char* pre : {"gpt-2", "smollm", "qwen2", "tekken", "deepseek-v3", "default"}) {
    vocabulary.pre = pre;
    EXPECT_EQ(stated_again(vocabulary), vocabulary) << pre;
  }
  vocabulary.add_bos = false;
  vocabulary.add_eos = true;
  EXPECT_EQ(stated_again(vocabulary), vocabulary);
}

TEST(GgufVocabularyOf, RowsBehindTheVocabularyGetTokensThatNoTextHas) {
  const auto definition = vocabulary_definition(byte_level());
  ASSERT_TRUE(definition);
  const auto stated = gguf_vocabulary_of(*definition, definition->tokens.size() + 2);
  ASSERT_TRUE(stated);
  EXPECT_EQ(stated->vocabulary.tokens.back(), "[PAD264]");
  EXPECT_EQ(stated->vocabulary.token_types.back(), kUnusedToken);
  EXPECT_NE(refusal_of(*definition, definition->tokens.size() - 1).find("263 tokens, the model only 262 rows"), std::string::npos);
}

TEST(GgufVocabularyOf, RefusesWhatGgufCannotHold) {
  const auto sound = vocabulary_definition(byte_level());
  ASSERT_TRUE(sound);
  EXPECT_EQ(refusal_of(*sound), "accepted");
  const auto refused = [&](const auto& change) {
    TokenizerDefinition definition = *sound;
    change(definition);
    return refusal_of(definition);
  };
  const auto contains = [](const std::string& text, const char* part) { return text.find(part) != std::string::npos; };
  EXPECT_TRUE(contains(refused([](auto& d) { d.model = ModelKind::kUnigram; }), "Unigram"));
  EXPECT_TRUE(contains(refused([](auto& d) { d.model = ModelKind::kCharacterBpe; }), "tokenizer.model"));
  EXPECT_TRUE(contains(refused([](auto& d) { d.normalizer.push_back({}); }), "normalizer"));
  EXPECT_TRUE(contains(refused([](auto& d) { d.pre_tokenizer = {PreTokenizerStage::split("x")}; }), "tokenizer.ggml.pre"));
  EXPECT_TRUE(contains(refused([](auto& d) { d.prefix = {259, 260}; }), "post_processor"));
  EXPECT_TRUE(contains(refused([](auto& d) { d.tokens[97].spelling = "x"; }), "token 97"));
  EXPECT_TRUE(contains(refused([](auto& d) { d.added[0].content = d.added[1].content; }), "two tokens"));
}

TEST(GgufVocabularyOf, TellsWhatTheFileWillNotSay) {
  auto definition = vocabulary_definition(byte_level());
  ASSERT_TRUE(definition);
  definition->added[0].strip_left = true;
  definition->added[1].single_word = true;
  const auto stated = gguf_vocabulary_of(*definition, definition->tokens.size());
  ASSERT_TRUE(stated);
  ASSERT_EQ(stated->unsaid.size(), 2u);
  EXPECT_NE(stated->unsaid[0].find("lstrip"), std::string::npos);
  EXPECT_NE(stated->unsaid[1].find("single_word"), std::string::npos);
}

GgufVocabulary scored() {
  GgufVocabulary vocabulary;
  vocabulary.model = "llama";
  vocabulary.pre = "default";
  const auto add = [&](const std::string& text, GgufTokenType type, float score) {
    vocabulary.tokens.push_back(text);
    vocabulary.token_types.push_back(type);
    vocabulary.scores.push_back(score);
  };
  add("<unk>", kUnknownToken, 0);
  add("<s>", kControlToken, 0);
  add("</s>", kControlToken, 0);
  for (int byte = 0; byte < 256; ++byte) add(spelling_of_byte(static_cast<std::uint8_t>(byte)), kByteToken, 0);
  add(kS + "a", kNormalToken, -1.5F);
  add("a", kNormalToken, -2);
  add(kS, kNormalToken, -3);
  add("named", kUserToken, 0);
  vocabulary.unknown_id = 0;
  vocabulary.bos_id = 1;
  vocabulary.eos_id = 2;
  vocabulary.add_bos = true;
  vocabulary.add_eos = false;
  vocabulary.add_space_prefix = true;
  vocabulary.remove_extra_whitespaces = false;
  return vocabulary;
}

TEST(GgufVocabularyOf, AScoredFileIsStatedAsItWas) {
  const GgufVocabulary vocabulary = scored();
  const GgufVocabulary again = stated_again(vocabulary);
  EXPECT_EQ(again.tokens, vocabulary.tokens);
  EXPECT_EQ(again.token_types, vocabulary.token_types);
  EXPECT_EQ(again.scores, vocabulary.scores);
  EXPECT_EQ(again, [&] {
    GgufVocabulary expected = vocabulary;
    expected.scores.back() = again.scores.back();  // of a token that is found in the text nothing asks for it
    return expected;
  }());
}

TEST(GgufVocabularyOf, RefusesSentencePieceRulesThatGgufHasNoKeyFor) {
  auto definition = vocabulary_definition(scored());
  ASSERT_TRUE(definition);
  definition->sentencepiece->charsmap = "map";
  EXPECT_NE(refusal_of(*definition).find("replaces characters"), std::string::npos);
  definition->sentencepiece->charsmap.clear();
  definition->sentencepiece->space_as_suffix = true;
  EXPECT_NE(refusal_of(*definition).find("spaces"), std::string::npos);
  definition->sentencepiece->space_as_suffix = false;
  definition->sentencepiece->prefix_every_stretch = false;
  const auto stated = gguf_vocabulary_of(*definition, definition->tokens.size());
  ASSERT_TRUE(stated);
  ASSERT_EQ(stated->unsaid.size(), 1u);
  EXPECT_NE(stated->unsaid[0].find("legacy"), std::string::npos);
}

// Meta's own vocabulary, of ranks: as a GGUF file it cuts and merges texts alike.
TEST(GgufVocabularyOf, Llama3sRanksBecomeMergesOfTheSameTokens) {
  const auto content = read_tokenizer_file(HERD_LLAMA3_TOKENIZER, std::size_t{64} << 20);
  if (!content) GTEST_SKIP() << content.error().message();
  auto definition = tiktoken_definition(*content, "tokenizer.model");
  ASSERT_TRUE(definition);
  const auto stated = gguf_vocabulary_of(*definition, definition->tokens.size());
  ASSERT_TRUE(stated) << stated.error().message();
  EXPECT_EQ(stated->vocabulary.pre, "llama-bpe");
  const auto of_file = tokenizer_from_vocabulary(stated->vocabulary);
  const auto of_meta = Tokenizer::build(std::move(*definition));
  ASSERT_TRUE(of_file && of_meta);
  const EncodeOptions options{.add_bos = true, .parse_special = true};
  for (const char* text : {"Hello, world!  It's 12345 o'clock\n\n", "<|start_header_id|>user<|end_header_id|>", "Überraschung 東京 🦙🦙",
                           "    indented\tcode(); // 3.14159", "ЖИТЬ привет ąęć"}) {
    EXPECT_EQ(of_file->encode(text, options), of_meta->encode(text, options)) << text;
  }
}

}  // namespace
}  // namespace herd::tokenizer
