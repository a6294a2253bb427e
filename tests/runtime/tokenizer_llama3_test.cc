// Golden vectors on Meta's own vocabulary, which is not ours to distribute: put the published tokenizer.model at
// .cache/herd/llama3/tokenizer.model, else these tests skip.
#include "runtime/tokenizer/tokenizer_model.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <iostream>

namespace herd::tokenizer {
namespace {

using Ids = std::vector<TokenId>;

class Llama3 : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!std::filesystem::exists(HERD_LLAMA3_TOKENIZER)) {
      std::cout << "SKIPPED: no " HERD_LLAMA3_TOKENIZER "\n";
      GTEST_SKIP();
    }
  }
  static const Tokenizer& vocabulary(TiktokenSpecials specials = TiktokenSpecials::kLlama31) {
    static const Tokenizer kLlama30 = *load_tokenizer_model(HERD_LLAMA3_TOKENIZER, {.specials = TiktokenSpecials::kLlama30});
    static const Tokenizer kLlama31 = *load_tokenizer_model(HERD_LLAMA3_TOKENIZER, {.specials = TiktokenSpecials::kLlama31});
    return specials == TiktokenSpecials::kLlama30 ? kLlama30 : kLlama31;
  }
};

TEST_F(Llama3, TextsHaveThePublishedIds) {
  Ids forty_four_a(5, 70540);
  forty_four_a.push_back(29558);
  const std::pair<std::string, Ids> cases[] = {
      {"I believe the meaning of life is", {40, 4510, 279, 7438, 315, 2324, 374}},
      {"Hello, world!", {9906, 11, 1917, 0}},
      {"The capital of France is", {791, 6864, 315, 9822, 374}},
      {"This is a test sentence.", {2028, 374, 264, 1296, 11914, 13}},
      {"This is a response.", {2028, 374, 264, 2077, 13}},
      {"Once upon a time,", {12805, 5304, 264, 892, 11}},
      {"1234567890 12.5%", {4513, 10961, 16474, 15, 220, 717, 13, 20, 4}},
      {"don't WE'LL I'M", {15357, 956, 20255, 6, 4178, 358, 28703}},
      {"naïve café – 日本語テスト", {3458, 38672, 588, 53050, 1389, 105180, 102158, 57933, 71634}},
      {"안녕하세요 🙂👍🏽", {101193, 124409, 28584, 9468, 239, 235, 9468, 237, 121}},
      {"  leading and   multiple spaces  \n\n next", {220, 6522, 323, 256, 5361, 12908, 19124, 1828}},
      {"\n\n\n\ta\r\n\r\n b", {1432, 11575, 881, 293}},
      {"def f(x):\n    return x**2\n", {755, 282, 2120, 997, 262, 471, 865, 334, 17, 198}},
      {std::string(44, 'a'), forty_four_a},
      {"\n\n", {271}},
      {"system", {9125}},
      {"user", {882}},
      {"assistant", {78191}},
      {"ipython", {23799, 4690}},
      {"Environment: ipython\n", {13013, 25, 6125, 27993, 198}},
      {"You are a helpful assistant.", {2675, 527, 264, 11190, 18328, 13}},
      {"<|eot_id|>", {27, 91, 68, 354, 851, 91, 29}},
  };
  for (const auto& [text, ids] : cases) {
    EXPECT_EQ(vocabulary().encode(text), ids) << text;
    EXPECT_EQ(vocabulary().decode(ids, false), text);
  }
}

TEST_F(Llama3, ControlTokensHaveThePublishedIds) {
  const Tokenizer& tokenizer = vocabulary();
  EXPECT_EQ(tokenizer.vocab_size(), 128256U);
  EXPECT_EQ(tokenizer.bos_id(), TokenId{128000});
  EXPECT_EQ(Ids(tokenizer.eos_ids().begin(), tokenizer.eos_ids().end()), (Ids{128001, 128008, 128009}));
  EXPECT_EQ(tokenizer.encode("<|eot_id|>", {.add_bos = true, .parse_special = true}), (Ids{128000, 128009}));
  EXPECT_EQ(tokenizer.find_special("<|reserved_special_token_247|>"), TokenId{128255});
  const auto eos30 = vocabulary(TiktokenSpecials::kLlama30).eos_ids();
  EXPECT_EQ(Ids(eos30.begin(), eos30.end()), (Ids{128001, 128009}));
}

}  // namespace
}  // namespace herd::tokenizer
