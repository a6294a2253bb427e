#pragma once
// Strictness that Boost.JSON's parser lacks: it silently keeps the last of two equal keys. Run before parsing a file
// whose duplicate keys would make two readers see two different models.

#include <string_view>

#include "kernels/status.h"

namespace herd::model {

// Ok when `text` is one well-formed JSON value (UTF-8, RFC 8259, nesting at most 32) without two equal keys in an
// object. `file` is named in the message.
[[nodiscard]] Status check_json(std::string_view text, std::string_view file);

}  // namespace herd::model
