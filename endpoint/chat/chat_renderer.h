#pragma once
// How one checkpoint's conversations become prompts: its chat template is run, and what it prints is encoded as one text.
// Control tokens are those that the template wrote; a message that spells one says so in ordinary tokens.

#include <optional>
#include <string>
#include <vector>

#include "endpoint/chat/chat_clock.h"
#include "endpoint/chat/conversation.h"
#include "endpoint/chat/prompt_template.h"
#include "endpoint/chat/template_traits.h"
#include "kernels/status.h"
#include "runtime/ids.h"
#include "runtime/text/marked_text.h"
#include "runtime/tokenizer/tokenizer.h"

namespace herd::chat {

struct RenderOptions {
  std::optional<UnixSeconds> clock{};  // what every template is told; absent: the time that render() is given
  bool special_in_content = false;     // messages may spell control tokens, as they may in Hugging Face's
};

// A checkpoint's templates.
struct TemplateSources {
  std::string plain;
  std::string with_tools{};  // for conversations with tools; empty: the plain one
};

// Value: immutable, cheap to copy, any thread.
class ChatRenderer {
 public:
  // kBadInput: what of a template is not understood, with its line.
  [[nodiscard]] static Expected<ChatRenderer> of_template(const TemplateSources& sources, const SpecialTokens& special_tokens,
                                                          const tokenizer::Tokenizer& tokenizer, const RenderOptions& options = {});
  // A built-in format, see built_in_templates.h. kUsage: no such format; kBadInput: the vocabulary lacks its control tokens.
  [[nodiscard]] static Expected<ChatRenderer> of_format(const std::string& name, const tokenizer::Tokenizer& tokenizer,
                                                        const RenderOptions& options = {});

  // Name of the built-in format; empty: a template of the checkpoint's or a person's.
  [[nodiscard]] const std::string& format() const { return format_; }
  // Whether a template asks for tools.
  [[nodiscard]] bool takes_tools() const;
  // All that decides about a prompt's text but the conversation and the time: two with the same definition print the same.
  [[nodiscard]] std::string definition() const;

  // `now`: when the conversation was accepted. kBadInput: no message, one that the template refuses (its words are in the
  // message), or no last message to go on with.
  [[nodiscard]] Expected<text::MarkedText> text(const Conversation& conversation, UnixSeconds now) const;
  [[nodiscard]] Expected<std::vector<TokenId>> render(const Conversation& conversation, UnixSeconds now) const;

 private:
  struct Form {
    PromptTemplate prompt;
    TemplateTraits traits;
  };

  ChatRenderer(Form plain, std::optional<Form> with_tools, tokenizer::Tokenizer tokenizer, const RenderOptions& options)
      : plain_(std::move(plain)), with_tools_(std::move(with_tools)), tokenizer_(std::move(tokenizer)), options_(options) {}
  [[nodiscard]] static Expected<Form> compile(const std::string& source, const SpecialTokens& special_tokens);

  std::string format_;
  Form plain_;
  std::optional<Form> with_tools_;
  tokenizer::Tokenizer tokenizer_;
  RenderOptions options_;
};

}  // namespace herd::chat
