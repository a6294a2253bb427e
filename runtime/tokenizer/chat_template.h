#pragma once
// Messages -> the token ids of a prompt, in the chat formats of the Llama family. Rendered straight to ids: control
// tokens by id, what users wrote with control tokens disallowed, so no content can open or close a turn. Equal to the
// checkpoint's Jinja template wherever the contents spell out no control token. Tools are not rendered yet.

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/status.h"
#include "runtime/ids.h"
#include "runtime/tokenizer/tokenizer.h"

namespace herd::tokenizer {

enum class ChatFormat : std::uint8_t {
  kLlama30,  // Llama 3: no system turn unless given
  kLlama31,  // Llama 3.1, 3.2, 3.3: always a system turn, with two dates
  kChatMl,   // <|im_start|>role\n…<|im_end|>\n
  kSmolLm2,  // ChatML with SmolLM2's default system message
};

struct ChatMessage {
  std::string role;     // system, user, assistant, ipython, tool
  std::string content;  // UTF-8
  bool operator==(const ChatMessage&) const = default;
};

struct ChatOptions {
  bool add_generation_prompt = true;        // open the assistant's turn at the end
  // Llama 3.1 only. Fixed, so that a prompt does not change over night; Llama 3.2's own template takes today's date.
  std::string date_string = "26 Jul 2024";
};

// From the checkpoint's template (Jinja text); without one (empty) from the control tokens of its vocabulary, which
// base models have too: whether a model may chat is then the caller's to know. kBadInput: no format we know.
[[nodiscard]] Expected<ChatFormat> detect_chat_format(std::string_view jinja_template, const Tokenizer& tokenizer);

// kBadInput: no message, a role that is not a word of lower-case letters, digits, '_' or '-', a vocabulary without
// the format's control tokens.
[[nodiscard]] Expected<std::vector<TokenId>> render_chat(std::span<const ChatMessage> messages, ChatFormat format,
                                                         const ChatOptions& options, const Tokenizer& tokenizer);

}  // namespace herd::tokenizer
