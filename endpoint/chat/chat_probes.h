#pragma once
// Conversations in which chat formats can differ, small enough to render all of them at every start.

#include <string>
#include <string_view>
#include <vector>

#include "endpoint/chat/chat_template.h"

namespace herd::chat {

struct ChatProbe {
  std::vector<ChatMessage> messages;
  ChatOptions options;
};

// User and assistant in turn, the user first: what every chat template takes. Few turns and many, white space around
// the text, empty and long text, letters beyond ASCII; each with and without the generation prompt, at two dates.
[[nodiscard]] std::vector<ChatProbe> turn_probes();
// The same with one message of this role where it usually stands: a system message first, a tool's after an answer.
[[nodiscard]] std::vector<ChatProbe> role_probes(std::string_view role);

// "system "Be brief", user " Hi "; generation prompt": for messages, cut.
[[nodiscard]] std::string describe(const ChatProbe& probe);

// Text for messages: at most `bytes` of it, everything but printable ASCII escaped. shown() puts it in quotes.
[[nodiscard]] std::string clean(std::string_view text, std::size_t bytes);
[[nodiscard]] std::string shown(std::string_view text, std::size_t bytes = 72);

}  // namespace herd::chat
