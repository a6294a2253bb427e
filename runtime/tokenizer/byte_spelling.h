#pragma once
// <0x00> … <0xFF>: how a vocabulary spells the tokens of single bytes.

#include <cstdint>
#include <cstdio>
#include <optional>
#include <string>
#include <string_view>

#include "runtime/text/hex.h"

namespace herd::tokenizer {

[[nodiscard]] inline std::string spelling_of_byte(std::uint8_t byte) {
  char text[8];
  std::snprintf(text, sizeof text, "<0x%02X>", byte);
  return text;
}

// Nothing: `spelling` is that of another token.
[[nodiscard]] inline std::optional<std::uint8_t> byte_of_spelling(std::string_view spelling) {
  if (spelling.size() != 6 || !spelling.starts_with("<0x") || spelling.back() != '>') return std::nullopt;
  const int high = text::hex_value(spelling[3]);
  const int low = text::hex_value(spelling[4]);
  if (high < 0 || low < 0) return std::nullopt;
  return static_cast<std::uint8_t>(high << 4 | low);
}

}  // namespace herd::tokenizer
