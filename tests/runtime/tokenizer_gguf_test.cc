#include "runtime/tokenizer/gguf_vocabulary.h"

#include "runtime/tokenizer/byte_spelling.h"
#include "runtime/tokenizer/gguf_pre_tokenizers.h"
#include "tests/runtime/tokenizer_fixture.h"

#include <gtest/gtest.h>

namespace herd::tokenizer {
namespace {

using Texts = std::vector<std::string>;

std::string refusal(const GgufVocabulary& vocabulary) {
  const auto tokenizer = tokenizer_from_vocabulary(vocabulary);
  return tokenizer ? "accepted" : tokenizer.error().message();
}

TEST(GgufVocabulary, PreTokenizerDecidesHowDigitsAreCut) {
  const Bytes merges = {{"1", "2"}, {"12", "3"}, {"123", "4"}};
  EXPECT_EQ(texts(small_tokenizer("gpt-2", merges), "12345"), (Texts{"1234", "5"}));
  EXPECT_EQ(texts(small_tokenizer("llama-bpe", merges), "12345"), (Texts{"123", "4", "5"}));
  EXPECT_EQ(texts(small_tokenizer("smollm", merges), "12345"), (Texts{"1", "2", "3", "4", "5"}));
}

TEST(GgufVocabulary, LlamaTakesAWholePieceThatIsATokenWithoutMerging) {
  GgufVocabulary vocabulary = small_vocabulary("llama-bpe", {{"b", "c"}}, {});
  vocabulary.tokens.push_back("abc");
  vocabulary.token_types.push_back(1);
  vocabulary.add_bos = false;
  EXPECT_EQ(texts(build_small(vocabulary), "abc"), (Texts{"abc"}));
  vocabulary.pre = "gpt-2";
  EXPECT_EQ(texts(build_small(vocabulary), "abc"), (Texts{"a", "bc"}));
}

TEST(GgufVocabulary, BosFollowsTheFileElseThePreTokenizer) {
  GgufVocabulary vocabulary = small_vocabulary("llama-bpe", {}, {"<|begin_of_text|>", "<|eot_id|>"});
  vocabulary.bos_id = 256;
  vocabulary.eos_id = 10;
  const EncodeOptions bos{.add_bos = true, .parse_special = false};
  EXPECT_EQ(build_small(vocabulary).encode("a", bos), (std::vector<TokenId>{256, 'a'}));
  vocabulary.add_bos = false;
  EXPECT_EQ(build_small(vocabulary).encode("a", bos), (std::vector<TokenId>{'a'}));
  vocabulary.pre = "smollm";
  vocabulary.add_bos.reset();
  const Tokenizer tokenizer = build_small(vocabulary);
  EXPECT_EQ(tokenizer.encode("a", bos), (std::vector<TokenId>{'a'}));
  EXPECT_EQ(tokenizer.bos_id(), TokenId{256});
  const auto eos = tokenizer.eos_ids();
  EXPECT_EQ(std::vector<TokenId>(eos.begin(), eos.end()), (std::vector<TokenId>{10, 257}));
}

TEST(GgufVocabulary, UserDefinedTokensAreFoundInEveryText) {
  GgufVocabulary vocabulary = small_vocabulary("gpt-2", {}, {"<|end|>"});
  vocabulary.tokens.push_back("two words");
  vocabulary.token_types.push_back(4);
  const Tokenizer tokenizer = build_small(vocabulary);
  EXPECT_EQ(texts(tokenizer, "a two words"), (Texts{"a", " ", "two words"}));
  EXPECT_FALSE(tokenizer.is_special(257));
}

// SmolLM2's vocabulary has 235 of the 256 bytes: HF and llama.cpp drop the others.
TEST(GgufVocabulary, BytesWithoutATokenAreDropped) {
  GgufVocabulary vocabulary = small_vocabulary("gpt-2", {{"a", "b"}}, {});
  vocabulary.token_types[0xF5] = 5;
  vocabulary.token_types['x'] = 5;
  EXPECT_EQ(texts(build_small(vocabulary), "axb"), (Texts{"ab"}));
}

// Converters write fine-tunes so that add a word which the vocabulary has already.
TEST(GgufVocabulary, AUsersTokenMayBeAnOrdinaryWordThatMergesBuild) {
  GgufVocabulary vocabulary = small_vocabulary("gpt-2", {{"a", "b"}, {"ab", "c"}}, {});
  vocabulary.token_types[256] = 4;  // "ab"
  EXPECT_EQ(texts(build_small(vocabulary), "xab abc"), (Texts{"x", "ab", " ", "ab", "c"}));
}

TEST(GgufVocabulary, OfATextThatOccursTwiceTheLaterTokenCounts) {
  GgufVocabulary vocabulary = small_vocabulary("gpt-2", {{"a", "b"}}, {});
  vocabulary.tokens.push_back("ab");
  vocabulary.token_types.push_back(1);
  const Tokenizer tokenizer = build_small(vocabulary);
  EXPECT_EQ(tokenizer.encode("ab"), (std::vector<TokenId>{257}));
  EXPECT_EQ(tokenizer.decode(std::vector<TokenId>{256, 257}, false), "abab");
}

TEST(GgufVocabulary, EveryNameOfAPreTokenizerHasPatternsThatCompile) {
  std::string name;
  int names = 0;
  for (const char c : gguf_pre_tokenizer_names() + ",") {
    if (c == ' ') continue;
    if (c != ',') {
      name += c;
      continue;
    }
    ++names;
    EXPECT_EQ(refusal(small_vocabulary(name, {}, {})), find_gguf_pre_tokenizer(name)->add_bos
                                                           ? "tokenizer.ggml.bos_token_id: missing, although a text must begin with it"
                                                           : "accepted")
        << name;
    name.clear();
  }
  EXPECT_GT(names, 30);
  EXPECT_EQ(find_gguf_pre_tokenizer("qwen9"), nullptr);
}

// <unk>, <s>, </s>, the bytes, then pieces whose scores fall.
GgufVocabulary scored_vocabulary(const std::vector<std::string>& pieces) {
  GgufVocabulary vocabulary;
  vocabulary.model = "llama";
  vocabulary.tokens = {"<unk>", "<s>", "</s>"};
  vocabulary.token_types = {2, 3, 3};
  for (int byte = 0; byte < 256; ++byte) {
    vocabulary.tokens.push_back(spelling_of_byte(static_cast<std::uint8_t>(byte)));
    vocabulary.token_types.push_back(6);
  }
  for (const std::string& piece : pieces) {
    vocabulary.tokens.push_back(piece);
    vocabulary.token_types.push_back(1);
  }
  for (std::size_t i = 0; i < vocabulary.tokens.size(); ++i) vocabulary.scores.push_back(-static_cast<float>(i));
  return vocabulary;
}

constexpr TokenId kFirstPiece = 259;
TEST(GgufVocabulary, ALlamaVocabularyMergesByScoreWithASpaceInFrontOfEachStretch) {
  GgufVocabulary vocabulary = scored_vocabulary({kS + "a", kS, "a", "b"});
  const Tokenizer tokenizer = build_small(vocabulary);
  EXPECT_EQ(tokenizer.encode("a b", {.add_bos = true}), (std::vector<TokenId>{1, kFirstPiece, kFirstPiece + 1, kFirstPiece + 3}));
  EXPECT_EQ(tokenizer.encode("a</s>a", {.parse_special = true}), (std::vector<TokenId>{kFirstPiece, 2, kFirstPiece}));
  EXPECT_EQ(tokenizer.decode(tokenizer.encode("a b"), true), "a b");
  EXPECT_EQ(tokenizer.bos_id(), TokenId{1});
  EXPECT_EQ(tokenizer.eos_ids().front(), 2);
  vocabulary.add_space_prefix = false;
  EXPECT_EQ(build_small(vocabulary).encode("a a"), (std::vector<TokenId>{kFirstPiece + 2, kFirstPiece}));
  vocabulary.remove_extra_whitespaces = true;
  EXPECT_EQ(build_small(vocabulary).encode("  a   a "), (std::vector<TokenId>{kFirstPiece + 2, kFirstPiece}));
  vocabulary.add_bos = false;
  vocabulary.add_eos = true;
  EXPECT_EQ(build_small(vocabulary).encode("a", {.add_bos = true}), (std::vector<TokenId>{kFirstPiece + 2, 2}));
}

TEST(GgufVocabulary, ALlamaVocabularyHasBytesAndUsersTokens) {
  GgufVocabulary vocabulary = scored_vocabulary({kS, "a", "two words", "a"});
  vocabulary.token_types[kFirstPiece + 2] = 4;
  const Tokenizer tokenizer = build_small(vocabulary);
  EXPECT_EQ(tokenizer.encode("é"), (std::vector<TokenId>{kFirstPiece, 3 + 0xC3, 3 + 0xA9}));
  EXPECT_EQ(tokenizer.encode("two wordsa"), (std::vector<TokenId>{kFirstPiece + 2, kFirstPiece, kFirstPiece + 3}));
  EXPECT_FALSE(tokenizer.is_special(kFirstPiece + 2));
  EXPECT_EQ(tokenizer.decode(tokenizer.encode("é"), true), "é");
  vocabulary.scores.pop_back();
  EXPECT_EQ(refusal(vocabulary), "tokenizer.ggml.scores: 262 entries for 263 tokens");
  vocabulary.scores.clear();
  EXPECT_EQ(refusal(vocabulary), "tokenizer.ggml.scores: missing: they say what merges first");
  vocabulary = scored_vocabulary({});
  vocabulary.tokens[5] = "<0xZZ>";
  EXPECT_EQ(refusal(vocabulary), "tokenizer.ggml.tokens[5]: '<0xZZ>' is not <0x00> … <0xFF>, the spelling of a byte");
}

TEST(GgufVocabulary, RefusalsNameTheKey) {
  const GgufVocabulary good = small_vocabulary("gpt-2", {{"a", "b"}}, {"<|end|>"});
  EXPECT_EQ(refusal(good), "accepted");
  GgufVocabulary bad = good;
  bad.pre = "qwen9";
  EXPECT_EQ(refusal(bad).find("tokenizer.ggml.pre: 'qwen9' is not supported"), 0U);
  bad.pre = "";
  EXPECT_EQ(refusal(bad).find("tokenizer.ggml.pre: missing"), 0U);
  bad = good;
  bad.model = "bert";
  EXPECT_EQ(refusal(bad).find("tokenizer.ggml.model: 'bert' is not supported"), 0U);
  bad = good;
  bad.token_types.pop_back();
  EXPECT_EQ(refusal(bad).find("tokenizer.ggml.token_type: 257 entries for 258 tokens"), 0U);
  bad = good;
  bad.token_types[3] = 6;
  EXPECT_EQ(refusal(bad).find("tokenizer.ggml.token_type[3]: 6"), 0U);
  bad = good;
  bad.merges.push_back("a q");
  EXPECT_EQ(refusal(bad).find("tokenizer.ggml.merges[1]: 'a q' joins"), 0U);
  bad.merges.back() = "ab";
  EXPECT_EQ(refusal(bad).find("tokenizer.ggml.merges[1]: not two tokens"), 0U);
  bad = good;
  bad.add_bos = true;
  EXPECT_EQ(refusal(bad).find("tokenizer.ggml.bos_token_id: missing"), 0U);
  bad.bos_id = 9999;
  EXPECT_NE(refusal(bad).find("9999: outside the vocabulary"), std::string::npos);
  bad = good;
  bad.add_eos = true;
  EXPECT_EQ(refusal(bad).find("tokenizer.ggml.eos_token_id: missing"), 0U);
  bad = good;
  bad.tokens.clear();
  EXPECT_EQ(refusal(bad).find("tokenizer.ggml.tokens: missing"), 0U);
}

}  // namespace
}  // namespace herd::tokenizer
