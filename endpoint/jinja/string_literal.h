#pragma once
// The text between the quotes of a literal -> what it means, as Python's unicode-escape codec reads it.

#include <string>
#include <string_view>

#include "kernels/status.h"

namespace herd::jinja {

// kBadInput names the escape that is not supported: \N{…}, surrogates, a backslash before a letter beyond ASCII.
[[nodiscard]] Expected<std::string> unescape(std::string_view literal);

// Appends the UTF-8 of a code point that is not a surrogate.
void append_utf8(char32_t point, std::string& out);

}  // namespace herd::jinja
