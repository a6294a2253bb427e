#pragma once
// What tests of chats share: a byte vocabulary with the control tokens of the Llama formats and ChatML, two templates, values
// as JSON.

#include <string>
#include <string_view>
#include <vector>

#include <gtest/gtest.h>

#include "endpoint/chat/chat_renderer.h"
#include "endpoint/jinja/template.h"
#include "tests/runtime/tokenizer_fixture.h"

namespace herd::chat {

inline const tokenizer::Tokenizer& vocabulary() {
  static const tokenizer::Tokenizer kTokenizer =
      tokenizer::small_tokenizer("llama-bpe", {{"\n", "\n"}, {"\n\n", "\n"}},
                                 {"<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>", "<|eom_id|>",
                                  "<|im_start|>", "<|im_end|>"});
  return kTokenizer;
}

inline const SpecialTokens kTokens = {{"bos_token", "<|begin_of_text|>"}, {"eos_token", "<|eot_id|>"}};

inline constexpr std::string_view kLlama3 =
    "{{ bos_token }}{% for m in messages %}{{ '<|start_header_id|>' + m['role'] + '<|end_header_id|>\\n\\n' + (m['content'] | trim) "
    "+ '<|eot_id|>' }}{% endfor %}{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{% endif %}";
inline constexpr std::string_view kChatMl =
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\\n' + m['content'] + '<|im_end|>\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";

inline ChatRenderer renderer(std::string_view source, const RenderOptions& options = {}) {
  auto chat = ChatRenderer::of_template({std::string(source), {}}, kTokens, vocabulary(), options);
  EXPECT_TRUE(chat) << (chat ? "" : chat.error().message());
  return chat.value();
}

inline Conversation conversation(std::vector<ChatMessage> messages) {
  Conversation made;
  made.messages = std::move(messages);
  return made;
}

// The text, or "ERROR " and why there is none.
inline std::string printed(const Expected<ChatRenderer>& chat, const Conversation& conversation, UnixSeconds now = 0) {
  const auto text = chat->text(conversation, now);
  return text ? text->bytes : "ERROR " + text.error().message();
}

// Plain data, as Hugging Face's tojson writes it.
inline std::string as_json(const jinja::Value& value) {
  const auto text = jinja::Template::compile("{{ value | tojson }}")->render({{"value", value}});
  return text ? text->bytes : "ERROR " + text.error().message();
}

}  // namespace herd::chat
