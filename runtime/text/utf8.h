#pragma once
// UTF-8 both ways: is this text valid, which part of it is not, what comes next. Invalid bytes
// become U+FFFD by maximal parts (Unicode 15, section 3.9, "U+FFFD Substitution of Maximal Subparts"), as
// Python's and the WHATWG decoders do it. No normalisation, no case.

#include <cstddef>
#include <string>
#include <string_view>

namespace herd::text {

inline constexpr char32_t kReplacementCharacter = 0xFFFD;
inline constexpr std::string_view kReplacementUtf8 = "\xEF\xBF\xBD";

struct CodePoint {
  char32_t value = 0;       // U+FFFD when not valid
  std::size_t size = 0;     // bytes taken: 1 … 4, or the maximal invalid part: 1 … 3
  bool valid = false;
  bool incomplete = false;  // not valid, but the text ended inside a sequence that more bytes could complete
};

// The code point at the front of `text`, which is not empty.
[[nodiscard]] CodePoint first_code_point(std::string_view text);

[[nodiscard]] bool is_valid_utf8(std::string_view text);

// A copy in which each maximal invalid part is one U+FFFD.
[[nodiscard]] std::string replace_invalid_utf8(std::string_view text);

// Appends the UTF-8 of a code point that is not a surrogate.
void append_utf8(char32_t point, std::string& out);

// Unicode property White_Space, the \s of both reference tokenizers.
[[nodiscard]] bool is_white_space(char32_t value);

// Python's str.isspace() of one character: White_Space and U+001C … U+001F.
[[nodiscard]] bool is_python_space(char32_t value);

// Python's str.strip(): `text` (valid UTF-8) without white space at both ends.
[[nodiscard]] std::string_view strip(std::string_view text);

}  // namespace herd::text
