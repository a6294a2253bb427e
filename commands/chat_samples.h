#pragma once
// What a chat template makes of conversations that most templates take, for people to look at.

#include <cstdint>
#include <string>
#include <vector>

#include "endpoint/chat/chat_renderer.h"

namespace herd::commands {

struct ChatSample {
  const char* conversation;  // what it holds
  std::string prompt;
  std::string refused;       // why there is no prompt
};

// A system message and a user's (or the user's alone, where the template takes no system message); where the template knows
// tools, also a user's with one. `now`: Unix seconds, for templates that ask.
[[nodiscard]] std::vector<ChatSample> chat_samples(const chat::ChatRenderer& chat, std::int64_t now);

}  // namespace herd::commands
