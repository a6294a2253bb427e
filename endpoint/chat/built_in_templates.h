#pragma once
// Chat templates of herd's own, for checkpoints that have none and are known to speak one of these formats. A person names
// the format (--chat-format); nothing guesses it.

#include <span>
#include <string>
#include <string_view>

namespace herd::chat {

struct BuiltInTemplate {
  std::string_view name;
  std::string text;                                  // Jinja
  std::span<const std::string_view> control_tokens;  // that a vocabulary must have
};

inline constexpr std::string_view kChatFormatNames = "llama3, llama3.1, chatml or smollm2";

[[nodiscard]] std::span<const BuiltInTemplate> built_in_templates();
// Null: no such format.
[[nodiscard]] const BuiltInTemplate* find_built_in_template(std::string_view name);

}  // namespace herd::chat
