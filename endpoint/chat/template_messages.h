#pragma once
// A conversation's messages as a template gets them. Where a template understands what was sent, it gets exactly that;
// where it does not, the same in the form that it understands. Pure.

#include <span>
#include <string_view>

#include "endpoint/chat/conversation.h"
#include "endpoint/chat/template_traits.h"

namespace herd::chat {

// A list of dicts: role, content, then the other members.
//   developer is system, where the template knows no developer
//   system messages in a row are one, where the template refuses two
//   an assistant's several tool calls are as many messages, each with its result behind it, where the template refuses two
//   content is a text or a list of parts, as the template takes it
//   an assistant's reasoning has every name that the template looks for it under
// Texts are foreign but for role words that templates know.
[[nodiscard]] jinja::Value template_messages(std::span<const ChatMessage> messages, const TemplateTraits& traits);

// reasoning, reasoning_content, thinking: what an assistant's message may call it.
[[nodiscard]] std::span<const std::string_view> reasoning_names();

// A role that templates write next to control tokens and that no user can have thought up.
[[nodiscard]] bool is_role_word(std::string_view role);

}  // namespace herd::chat
