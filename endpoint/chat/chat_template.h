#pragma once
// Messages -> the token ids of a prompt, in the chat formats of the Llama family. A format is one description of a
// prompt, in pieces: control tokens by name, and text. Joined they are what a chat template would print; as ids, control
// tokens go by id and text is encoded with control tokens disallowed, so no content can open or close a turn. Which
// format a checkpoint has: chat_renderer.h. Tools are not rendered yet.

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/status.h"
#include "runtime/ids.h"
#include "runtime/tokenizer/tokenizer.h"

namespace herd::chat {

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
  // Llama formats only: <|begin_of_text|> first. Their templates write the checkpoint's BOS there, and some checkpoints
  // declare none.
  bool begin_of_text = true;
};

// "llama3", "llama3.1", "chatml", "smollm2".
[[nodiscard]] std::string_view chat_format_name(ChatFormat format);
[[nodiscard]] std::optional<ChatFormat> find_chat_format(std::string_view name);
inline constexpr std::string_view kChatFormatNames = "llama3, llama3.1, chatml or smollm2";
inline constexpr ChatFormat kChatFormats[] = {ChatFormat::kLlama30, ChatFormat::kLlama31, ChatFormat::kChatMl,
                                              ChatFormat::kSmolLm2};

// Text between two control tokens is one piece and is encoded as one stretch, as a tokenizer sees it in rendered text:
// "\n\n" and the content after it may share tokens.
struct PromptPiece {
  bool control = false;
  std::string text;  // of a control token: its name
};

// kBadInput: no message, a role that is not a word of lower-case letters, digits, '_' or '-'.
[[nodiscard]] Status check_chat(std::span<const ChatMessage> messages);
// Of messages that check_chat() passes.
[[nodiscard]] std::vector<PromptPiece> chat_pieces(std::span<const ChatMessage> messages, ChatFormat format,
                                                   const ChatOptions& options);
[[nodiscard]] std::string prompt_text(std::span<const PromptPiece> pieces);
// kBadInput: a vocabulary without one of the control tokens.
[[nodiscard]] Expected<std::vector<TokenId>> prompt_ids(std::span<const PromptPiece> pieces,
                                                        const tokenizer::Tokenizer& tokenizer);

// All three, one after the other.
[[nodiscard]] Expected<std::vector<TokenId>> render_chat(std::span<const ChatMessage> messages, ChatFormat format,
                                                         const ChatOptions& options, const tokenizer::Tokenizer& tokenizer);

}  // namespace herd::chat
