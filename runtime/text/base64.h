#pragma once
// Base64 with padding (RFC 4648, section 4), as files spell bytes.

#include <optional>
#include <string>
#include <string_view>

namespace herd::text {

// Strict: padded to a multiple of four digits, unused bits zero. Nothing when it is not base64.
[[nodiscard]] std::optional<std::string> base64_decode(std::string_view text);

}  // namespace herd::text
