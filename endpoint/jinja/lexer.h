#pragma once
// Template text -> tokens, as Jinja2 3.1 cuts it with trim_blocks and lstrip_blocks on: line breaks normalised, the
// last one dropped, white space around tags taken by '-', kept by '+', and else by the two settings.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/status.h"
#include "endpoint/jinja/limits.h"

namespace herd::jinja {

enum class TokenKind : std::uint8_t {
  kText, kBlockBegin, kBlockEnd, kOutputBegin, kOutputEnd, kName, kString, kInteger, kFloat, kOperator, kEnd
};

struct Token {
  TokenKind kind = TokenKind::kEnd;
  int line = 1;      // where it begins, both from 1; columns are characters
  int column = 1;
  std::string text;  // of a string: what it means, escapes resolved; of a number: its digits without '_'
};

// "line 3, column 14: what"
[[nodiscard]] std::string at_place(int line, int column, std::string_view what);

// kBadInput: at_place(). The last token is kEnd.
[[nodiscard]] Expected<std::vector<Token>> tokenize(std::string_view source, const Limits& limits);

}  // namespace herd::jinja
