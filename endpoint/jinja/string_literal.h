#pragma once
// The text between the quotes of a literal -> what it means, as Python's unicode-escape codec reads it.

#include <string>
#include <string_view>

#include "kernels/status.h"

namespace herd::jinja {

// kBadInput names the escape that is not supported: \N{…}, surrogates, a backslash before a letter beyond ASCII.
[[nodiscard]] Expected<std::string> unescape(std::string_view literal);

}  // namespace herd::jinja
