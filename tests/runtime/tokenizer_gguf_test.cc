#include "runtime/tokenizer/gguf_vocabulary.h"

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

TEST(GgufVocabulary, RefusalsNameTheKey) {
  const GgufVocabulary good = small_vocabulary("gpt-2", {{"a", "b"}}, {"<|end|>"});
  EXPECT_EQ(refusal(good), "accepted");
  GgufVocabulary bad = good;
  bad.pre = "qwen9";
  EXPECT_EQ(refusal(bad).find("tokenizer.ggml.pre: 'qwen9' is not supported"), 0U);
  bad.pre = "";
  EXPECT_EQ(refusal(bad).find("tokenizer.ggml.pre: missing"), 0U);
  bad = good;
  bad.model = "llama";
  EXPECT_EQ(refusal(bad).find("tokenizer.ggml.model: SentencePiece"), 0U);
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
  bad.tokens.clear();
  EXPECT_EQ(refusal(bad).find("tokenizer.ggml.tokens: missing"), 0U);
}

}  // namespace
}  // namespace herd::tokenizer
