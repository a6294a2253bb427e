#pragma once
// TemplateTraits: what one chat template takes messages to look like, found by trying it. Hugging Face hands a template
// whatever a caller wrote; an API has one way to write each thing, and templates have several to read it.

#include <string>
#include <string_view>
#include <vector>

#include "endpoint/chat/prompt_template.h"

namespace herd::chat {

// How the content of a role's messages may be handed over. A template that shows it in neither way gets text.
struct ContentForms {
  bool text = true;    // as one text
  bool parts = false;  // as a list of {"type": "text", "text": …}
};

struct TemplateTraits {
  ContentForms system;
  ContentForms user;
  ContentForms assistant;
  ContentForms tool;
  bool one_call = false;      // an assistant's message with two tool calls is refused, one with one is not
  bool one_system = false;    // two system messages at the beginning are refused, one is not
  bool has_developer = false;  // the role developer is known; else those messages are the system's
  std::vector<std::string> reasoning_names;  // which of reasoning_names() a message's reasoning is looked for under

  // A role without forms of its own here gets one text.
  [[nodiscard]] ContentForms content_of(std::string_view role) const;
};

// Renders a dozen small conversations.
[[nodiscard]] TemplateTraits find_traits(const PromptTemplate& prompt);

}  // namespace herd::chat
