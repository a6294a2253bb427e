#pragma once
// PromptTemplate: one chat template, compiled, with the special tokens that it finds. Prints what Hugging Face's
// apply_chat_template() prints, and which of it came with a request.

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "endpoint/chat/chat_clock.h"
#include "endpoint/chat/conversation.h"
#include "endpoint/jinja/limits.h"
#include "kernels/status.h"
#include "runtime/text/marked_text.h"

namespace herd::jinja {
class Template;
}

namespace herd::chat {

using SpecialTokens = std::vector<std::pair<std::string, std::string>>;  // "bos_token" -> its text, …

// What changes from one rendering to the next.
struct PromptVariables {
  jinja::Value messages;                          // a list, see template_messages.h
  jinja::Value tools = jinja::Value::none();
  jinja::Value documents = jinja::Value::none();
  bool add_generation_prompt = true;
  Members more{};                                 // win over special tokens of the same name
  UnixSeconds now = 0;                            // what strftime_now tells
};

// Value: immutable, cheap to copy, any thread.
class PromptTemplate {
 public:
  // kBadInput: what is not understood, with its line.
  [[nodiscard]] static Expected<PromptTemplate> compile(std::string source, const SpecialTokens& special_tokens);

  // kBadInput: what the template refuses, cannot do, or does beyond `limits`; for people, cleaned.
  [[nodiscard]] Expected<text::MarkedText> print(const PromptVariables& variables, const jinja::Limits& limits) const;

  // Its source and its special tokens: two with the same ones print the same.
  [[nodiscard]] std::string definition() const;
  // Whether it asks for the variable of this name.
  [[nodiscard]] bool looks_up(std::string_view name) const;
  // Whether its source holds the word, such as the name of a role or of a message's member.
  [[nodiscard]] bool mentions(std::string_view word) const { return source_->find(word) != std::string::npos; }

 private:
  PromptTemplate(std::string source, jinja::Template compiled, SpecialTokens special_tokens);

  std::shared_ptr<const std::string> source_;
  std::shared_ptr<const jinja::Template> compiled_;
  SpecialTokens special_tokens_;
};

}  // namespace herd::chat
