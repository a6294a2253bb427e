#pragma once
// Bytes as hexadecimal digits, both ways. Digits that are written are lower case, digits that are read of either case.

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace herd::text {

// The value of a digit, 0 … 15; -1: it is none.
[[nodiscard]] constexpr int hex_value(char digit) {
  if (digit >= '0' && digit <= '9') return digit - '0';
  if (digit >= 'a' && digit <= 'f') return digit - 'a' + 10;
  if (digit >= 'A' && digit <= 'F') return digit - 'A' + 10;
  return -1;
}

// The digit of a value in [0, 16).
[[nodiscard]] constexpr char hex_digit(unsigned value) { return "0123456789abcdef"[value & 0xF]; }

// Two digits.
inline void append_hex(std::uint8_t byte, std::string& out) {
  out += hex_digit(byte >> 4);
  out += hex_digit(byte);
}

// Two digits a byte.
[[nodiscard]] std::string hex(std::span<const std::uint8_t> bytes);

// None when the digits are odd in number or one of them is none.
[[nodiscard]] std::optional<std::vector<std::uint8_t>> hex_bytes(std::string_view digits);

}  // namespace herd::text
