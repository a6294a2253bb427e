// Prompts of chats on Meta's own vocabulary, which is not ours to distribute: put the published tokenizer.model at
// .cache/herd/llama3/tokenizer.model, else this test skips.
#include "endpoint/chat/chat_renderer.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <iostream>

#include "runtime/tokenizer/tokenizer_model.h"

namespace herd::chat {
namespace {

using Ids = std::vector<TokenId>;
using tokenizer::TiktokenSpecials;

tokenizer::Tokenizer vocabulary(TiktokenSpecials specials) {
  return *tokenizer::load_tokenizer_model(HERD_LLAMA3_TOKENIZER, {.specials = specials});
}

TEST(Llama3Prompts, HaveThePublishedIds) {
  if (!std::filesystem::exists(HERD_LLAMA3_TOKENIZER)) {
    std::cout << "SKIPPED: no " HERD_LLAMA3_TOKENIZER "\n";
    GTEST_SKIP();
  }
  Conversation hi;
  hi.messages = {{"user", "Hi"}};
  EXPECT_EQ(ChatRenderer::of_format("llama3.1", vocabulary(TiktokenSpecials::kLlama31))->render(hi, 0).value(),
            (Ids{128000, 128006, 9125,  128007, 271,    38766, 1303,   33025, 2696, 25,     6790,   220,  2366,  18,    198,
                 15724,  2696,   25,    220,    1627,   10263, 220,    2366,  19,   271,    128009, 128006, 882, 128007, 271,
                 13347,  128009, 128006, 78191, 128007, 271}));
  EXPECT_EQ(ChatRenderer::of_format("llama3", vocabulary(TiktokenSpecials::kLlama30))->render(hi, 0).value(),
            (Ids{128000, 128006, 882, 128007, 271, 13347, 128009, 128006, 78191, 128007, 271}));
}

}  // namespace
}  // namespace herd::chat
