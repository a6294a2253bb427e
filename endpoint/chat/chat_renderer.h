#pragma once
// How one checkpoint's conversations become prompts. A built-in format stands for the checkpoint's chat template only
// where both give the same text: probe conversations choose the format once, and every conversation is rendered both
// ways before it is used. What differs is refused by name; nothing is guessed.

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "kernels/status.h"
#include "endpoint/chat/chat_template.h"
#include "runtime/tokenizer/tokenizer.h"

namespace herd::jinja {
class Template;
}

namespace herd::chat {

using SpecialTokens = std::vector<std::pair<std::string, std::string>>;  // "bos_token" -> its text, …

struct RefusedRole {
  std::string role;
  std::string reason;
};

// Value: immutable, cheap to copy, any thread.
class ChatRenderer {
 public:
  // The format that renders every probe as `jinja` does. kBadInput says what is not understood, or which probe
  // differs, and how, from the nearest format.
  [[nodiscard]] static Expected<ChatRenderer> of_template(std::string_view jinja, const SpecialTokens& special_tokens,
                                                          const tokenizer::Tokenizer& tokenizer);
  // A format that a person named: no template is asked. kBadInput: the vocabulary lacks its control tokens.
  [[nodiscard]] static Expected<ChatRenderer> of_format(ChatFormat format, const tokenizer::Tokenizer& tokenizer);

  [[nodiscard]] ChatFormat format() const { return format_; }
  // False: the template begins without the BOS that the format has.
  [[nodiscard]] bool begin_of_text() const { return begin_of_text_; }
  // Roles that the template refuses or renders otherwise where they usually stand.
  [[nodiscard]] const std::vector<RefusedRole>& refused_roles() const { return refused_roles_; }

  // kBadInput: as render_chat(), and a conversation that the template refuses or renders otherwise.
  [[nodiscard]] Expected<std::vector<TokenId>> render(std::span<const ChatMessage> messages, const ChatOptions& options) const;
  // The same as text, for people.
  [[nodiscard]] Expected<std::string> text(std::span<const ChatMessage> messages, const ChatOptions& options) const;

 private:
  ChatRenderer(ChatFormat format, tokenizer::Tokenizer tokenizer)
      : format_(format), tokenizer_(std::move(tokenizer)) {}
  [[nodiscard]] Expected<std::vector<PromptPiece>> pieces(std::span<const ChatMessage> messages, ChatOptions options) const;

  ChatFormat format_;
  bool begin_of_text_ = true;
  tokenizer::Tokenizer tokenizer_;
  std::shared_ptr<const jinja::Template> template_;  // null: a format that was named
  SpecialTokens special_tokens_;
  std::vector<RefusedRole> refused_roles_;
};

}  // namespace herd::chat
