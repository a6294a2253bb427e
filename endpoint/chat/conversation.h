#pragma once
// A conversation as a request has it, every field judged: what a chat template is given. Values. Whatever came with the
// request is foreign text (runtime/text/marked_text.h), so no control token can be spelled with it.

#include <string>
#include <utility>
#include <vector>

#include "endpoint/jinja/value.h"

namespace herd::chat {

using Members = std::vector<std::pair<std::string, jinja::Value>>;

struct ChatMessage {
  std::string role;
  std::string content;                // UTF-8; of several parts, all of them joined
  std::vector<std::string> parts{};   // the texts of a content that was sent as a list of parts; else empty
  Members members{};                  // beside role and content, as they were sent: name, tool_calls, …
};

struct Conversation {
  std::vector<ChatMessage> messages;
  jinja::Value tools = jinja::Value::none();      // a list of what a request's `tools` hold
  jinja::Value documents = jinja::Value::none();  // a list
  Members variables{};                            // chat_template_kwargs
  bool add_generation_prompt = true;              // open the assistant's turn at the end
  bool continue_final_message = false;            // the last message is not over: the prompt ends within its text
};

// The member of that name; null: there is none.
[[nodiscard]] const jinja::Value* find_member(const Members& members, std::string_view name);

// Bytes of all texts in there, those that name something included, and one for each value: what a rendering has to work on.
[[nodiscard]] std::size_t text_bytes(const jinja::Value& value);
[[nodiscard]] std::size_t text_bytes(const ChatMessage& message);
[[nodiscard]] std::size_t text_bytes(const Conversation& conversation);

}  // namespace herd::chat
