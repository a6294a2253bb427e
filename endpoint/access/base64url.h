#pragma once
// base64url (RFC 4648, section 5) without padding. Decoding takes the one canonical spelling of each byte string only.

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace herd::access {

[[nodiscard]] std::string base64url_encode(std::span<const std::uint8_t> bytes);
// nullopt: another character, a length no byte string has, or unused bits that are set.
[[nodiscard]] std::optional<std::vector<std::uint8_t>> base64url_decode(std::string_view text);

}  // namespace herd::access
