#include "runtime/tokenizer/tiktoken_model.h"

#include "tests/runtime/tokenizer_fixture.h"

#include <gtest/gtest.h>

#include <string>

namespace herd::tokenizer {
namespace {

using Texts = std::vector<std::string>;

std::string base64(std::string_view bytes) {
  constexpr char kDigits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    unsigned bits = 0;
    for (std::size_t k = 0; k < 3; ++k) bits = bits << 8 | (i + k < bytes.size() ? static_cast<unsigned char>(bytes[i + k]) : 0);
    for (std::size_t k = 0; k < 4; ++k) out += i + k <= bytes.size() ? kDigits[bits >> (18 - 6 * k) & 63] : '=';
  }
  return out;
}

// All bytes, then `more`.
std::string model(const Texts& more) {
  std::string out;
  int rank = 0;
  for (; rank < 256; ++rank) out += base64(std::string(1, static_cast<char>(rank))) + " " + std::to_string(rank) + "\n";
  for (const std::string& token : more) out += base64(token) + " " + std::to_string(rank++) + "\n";
  return out;
}

std::string tiktoken_refusal(const std::string& content) {
  const auto tokenizer = parse_tiktoken_model(content, "tokenizer.model");
  return tokenizer ? "accepted" : tokenizer.error().message();
}

TEST(TiktokenModel, LowestRankOfTheJoinedBytesMergesFirstLeftmostOnTies) {
  const Tokenizer tokenizer = *parse_tiktoken_model(model({"ba", "ab", "aba", "cc", "xy", "xyzw"}), "m");
  EXPECT_EQ(texts(tokenizer, "ababab"), (Texts{"aba", "ba", "b"}));
  EXPECT_EQ(texts(tokenizer, "ccccc"), (Texts{"cc", "cc", "c"}));
  EXPECT_EQ(texts(tokenizer, "xyzw"), (Texts{"xyzw"}));       // a whole piece
  EXPECT_EQ(texts(tokenizer, "xyzwx"), (Texts{"xy", "z", "w", "x"}));  // no merge leads to xyzw
}

TEST(TiktokenModel, SpecialsFollowTheRanksInTheNamesOfTheirGeneration) {
  const Tokenizer v30 = *parse_tiktoken_model(model({}), "m", TiktokenSpecials::kLlama30);
  const Tokenizer v31 = *parse_tiktoken_model(model({}), "m", TiktokenSpecials::kLlama31);
  for (const Tokenizer& each : {v30, v31}) {
    EXPECT_EQ(each.vocab_size(), 512U);
    EXPECT_EQ(each.bos_id(), TokenId{256});
    EXPECT_EQ(each.token_bytes(256), "<|begin_of_text|>");
    EXPECT_EQ(each.token_bytes(265), "<|eot_id|>");
    EXPECT_EQ(each.encode("a", {.add_bos = true, .parse_special = false}), (std::vector<TokenId>{256, 'a'}));
  }
  EXPECT_EQ(v30.token_bytes(260), "<|reserved_special_token_2|>");
  EXPECT_EQ(v30.token_bytes(511), "<|reserved_special_token_250|>");
  EXPECT_EQ(v31.token_bytes(260), "<|finetune_right_pad_id|>");
  EXPECT_EQ(v31.token_bytes(261), "<|reserved_special_token_2|>");
  EXPECT_EQ(v31.token_bytes(264), "<|eom_id|>");
  EXPECT_EQ(v31.token_bytes(266), "<|python_tag|>");
  EXPECT_EQ(v31.token_bytes(511), "<|reserved_special_token_247|>");
  EXPECT_EQ(v30.eos_ids().size(), 2U);
  EXPECT_EQ(v31.eos_ids().size(), 3U);
}

// Meta's wrapper cuts runs of more than 25,000 characters: no token crosses the cut.
TEST(TiktokenModel, LongRunsAreCutAsMetasWrapperDoes) {
  const Tokenizer tokenizer = *parse_tiktoken_model(model({"aa"}), "m");
  EXPECT_EQ(tokenizer.encode(std::string(24'999, 'a')).size(), 12'500U);
  EXPECT_EQ(tokenizer.encode("b" + std::string(24'999, 'a') + "a").size(), 1U + 12'500U + 1U);
  EXPECT_EQ(tokenizer.encode("b b" + std::string(24'999, 'a')).size(), 3U + 12'500U);
}

TEST(TiktokenModel, RefusalsNameTheLine) {
  const std::string good = model({"ab"});
  EXPECT_EQ(tiktoken_refusal(good), "accepted");
  EXPECT_EQ(tiktoken_refusal(good.substr(0, good.size() - 1)), "accepted");
  EXPECT_EQ(tiktoken_refusal("").find("tokenizer.model: no token for byte 0 among 0 lines"), 0U);
  EXPECT_EQ(tiktoken_refusal("\x0A\x0E\x0A").find("tokenizer.model:1: not '<base64> <rank>' (is this a SentencePiece"), 0U);
  EXPECT_EQ(tiktoken_refusal(good + "YWI= 999\n").find("tokenizer.model:258: rank 999 where 257 must follow"), 0U);
  EXPECT_EQ(tiktoken_refusal(good + "YWI= x\n").find("tokenizer.model:258: rank is not a number"), 0U);
  EXPECT_EQ(tiktoken_refusal(good + "YWI 257\n").find("tokenizer.model:258: token is not base64"), 0U);
  EXPECT_EQ(tiktoken_refusal(good + "YWJ= 257\n").find("tokenizer.model:258: token is not base64"), 0U);
  EXPECT_EQ(tiktoken_refusal(good + " 257\n").find("tokenizer.model:258: token is not base64"), 0U);
  EXPECT_NE(tiktoken_refusal(good + "YWI= 257\n").find("occurs twice"), std::string::npos);
  EXPECT_EQ(tiktoken_refusal(good + base64(std::string(300, 'a')) + " 257\n").find("tokenizer.model:258: token longer"), 0U);
  EXPECT_NE(tiktoken_refusal(good.substr(good.find('\n') + 1)).find("rank 1 where 0 must follow"), std::string::npos);
}

}  // namespace
}  // namespace herd::tokenizer
