#pragma once
// How many times as long a replacement can make a text. A few replacements, one after the other, multiply: the readers of
// files refuse a list of them whose product would let a short text fill the memory.

#include <algorithm>
#include <string_view>

#include "runtime/regex/pattern.h"

namespace herd::tokenizer {

// Every `pattern`, which is not empty, becomes `content`.
[[nodiscard]] inline double growth_of_text(std::string_view pattern, std::string_view content) {
  return std::max(1.0, static_cast<double>(content.size()) / static_cast<double>(pattern.size()));
}

// Every match becomes `content`. Empty matches put it between all characters and at both ends.
[[nodiscard]] inline double growth_of_matches(const regex::Pattern& pattern, std::string_view content) {
  const auto size = static_cast<double>(content.size());
  return pattern.matches_nothing() ? 1.0 + 2.0 * size : std::max(1.0, size);
}

}  // namespace herd::tokenizer
