// herd's own formats, for checkpoints without a template. Real vocabularies: llama3_prompts_test.cc.
#include "endpoint/chat/built_in_templates.h"

#include "tests/endpoint/chat/chat_fixture.h"

#include <algorithm>

namespace herd::chat {
namespace {

std::string rendered(std::vector<ChatMessage> messages, const std::string& format, bool prompt = true,
                     const RenderOptions& options = {}) {
  const auto chat = ChatRenderer::of_format(format, vocabulary(), options);
  if (!chat) return "ERROR " + chat.error().message();
  Conversation asked = conversation(std::move(messages));
  asked.add_generation_prompt = prompt;
  const auto ids = chat->render(asked, 0);
  return ids ? vocabulary().decode(*ids, false) : "ERROR " + ids.error().message();
}

TEST(BuiltInTemplates, Llama30HasNoSystemTurnOfItsOwn) {
  EXPECT_EQ(rendered({{"user", "  Hi\n"}, {"assistant", "Yes?"}, {"user", "No"}}, "llama3"),
            "<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|>"
            "<|start_header_id|>assistant<|end_header_id|>\n\nYes?<|eot_id|>"
            "<|start_header_id|>user<|end_header_id|>\n\nNo<|eot_id|>"
            "<|start_header_id|>assistant<|end_header_id|>\n\n");
}

TEST(BuiltInTemplates, Llama31AlwaysHasASystemTurnWithDates) {
  const std::string head =
      "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\n"
      "Cutting Knowledge Date: December 2023\nToday Date: 26 Jul 2024\n\n";
  const std::string user = "<|eot_id|><|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|>";
  const std::string open = "<|start_header_id|>assistant<|end_header_id|>\n\n";
  EXPECT_EQ(rendered({{"user", "Hi"}}, "llama3.1"), head + user + open);
  EXPECT_EQ(rendered({{"system", " Be brief. "}, {"user", "Hi"}}, "llama3.1"), head + "Be brief." + user + open);
  EXPECT_EQ(rendered({{"user", "Hi"}}, "llama3.1", false), head + user);
  const RenderOptions dated{.clock = *parse_chat_date("01 Feb 2025")};
  EXPECT_NE(rendered({{"user", "Hi"}}, "llama3.1", true, dated).find("Today Date: 01 Feb 2025\n\n<|eot_id|>"), std::string::npos);
}

TEST(BuiltInTemplates, Llama31QuotesToolResults) {
  EXPECT_NE(rendered({{"user", "Hi"}, {"tool", "a \"b\"\n\x01é"}}, "llama3.1")
                .find("<|start_header_id|>ipython<|end_header_id|>\n\n\"a \\\"b\\\"\\n\\u0001é\"<|eot_id|>"),
            std::string::npos);
}

TEST(BuiltInTemplates, SmolLm2HasADefaultSystemMessage) {
  const std::string rest = "<|im_start|>user\n Hi <|im_end|>\n<|im_start|>assistant\n";
  EXPECT_EQ(rendered({{"user", " Hi "}}, "smollm2"),
            "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n" + rest);
  EXPECT_EQ(rendered({{"system", "Be brief."}, {"user", " Hi "}}, "smollm2"),
            "<|im_start|>system\nBe brief.<|im_end|>\n" + rest);
  EXPECT_EQ(rendered({{"user", " Hi "}}, "chatml"), rest);
}

TEST(BuiltInTemplates, TheBlankLineAndTheContentAreOneStretch) {
  // ChatML does not strip: "\n" + "\n\nx" meet and share a token.
  const auto ids = ChatRenderer::of_format("chatml", vocabulary())->render(conversation({{"user", "\n\nx"}}), 0).value();
  EXPECT_EQ(vocabulary().token_bytes(ids[5]), "\n\n\n");
}

TEST(BuiltInTemplates, NeedTheirControlTokensAndAName) {
  for (const BuiltInTemplate& format : built_in_templates()) {
    EXPECT_EQ(ChatRenderer::of_format(std::string(format.name), vocabulary())->format(), format.name);
    EXPECT_EQ(ChatRenderer::of_format(std::string(format.name), tokenizer::small_tokenizer()).error().message(),
              "chat: the vocabulary has no control token " + std::string(format.control_tokens.front()));
  }
  EXPECT_EQ(ChatRenderer::of_format("alpaca", vocabulary()).error().code(), StatusCode::kUsage);
}

TEST(BuiltInTemplates, KnowNoTools) {
  Conversation asked = conversation({{"user", "Hi"}});
  asked.tools = jinja::make_list({jinja::make_dict({})});
  const auto chat = ChatRenderer::of_format("llama3.1", vocabulary());
  EXPECT_NE(printed(chat, asked).find("the built-in chat formats know no tools"), std::string::npos);
}

}  // namespace
}  // namespace herd::chat
