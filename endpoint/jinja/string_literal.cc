#include "endpoint/jinja/string_literal.h"

#include <cstddef>
#include <optional>

namespace herd::jinja {
namespace {

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

std::optional<char32_t> hexadecimal(std::string_view digits, std::size_t count) {
  if (digits.size() < count) return std::nullopt;
  char32_t value = 0;
  for (const char c : digits.substr(0, count)) {
    if (hex_digit(c) < 0) return std::nullopt;
    value = value * 16 + static_cast<char32_t>(hex_digit(c));
  }
  const bool surrogate = value >= 0xD800 && value <= 0xDFFF;
  if (surrogate || value > 0x10FFFF) return std::nullopt;
  return value;
}

constexpr std::string_view kSimple = "\\'\"abfnrtv";
constexpr std::string_view kMeaning = "\\'\"\a\b\f\n\r\t\v";

}  // namespace

void append_utf8(char32_t point, std::string& out) {
  if (point < 0x80) {
    out += static_cast<char>(point);
  } else if (point < 0x800) {
    out += static_cast<char>(0xC0 | point >> 6);
    out += static_cast<char>(0x80 | (point & 0x3F));
  } else if (point < 0x10000) {
    out += static_cast<char>(0xE0 | point >> 12);
    out += static_cast<char>(0x80 | (point >> 6 & 0x3F));
    out += static_cast<char>(0x80 | (point & 0x3F));
  } else {
    out += static_cast<char>(0xF0 | point >> 18);
    out += static_cast<char>(0x80 | (point >> 12 & 0x3F));
    out += static_cast<char>(0x80 | (point >> 6 & 0x3F));
    out += static_cast<char>(0x80 | (point & 0x3F));
  }
}

Expected<std::string> unescape(std::string_view literal) {
  std::string out;
  for (std::size_t i = 0; i < literal.size(); ++i) {
    if (literal[i] != '\\') {
      out += literal[i];
      continue;
    }
    if (++i == literal.size()) return fail(bad_input("a string ends in a backslash"));
    const char c = literal[i];
    if (const std::size_t known = kSimple.find(c); known != std::string_view::npos) {
      out += kMeaning[known];
    } else if (c == '\n') {
      continue;  // a line that goes on
    } else if (c >= '0' && c <= '7') {
      char32_t value = 0;
      std::size_t digits = 0;
      while (digits < 3 && i + digits < literal.size() && literal[i + digits] >= '0' && literal[i + digits] <= '7') {
        value = value * 8 + static_cast<char32_t>(literal[i + digits++] - '0');
      }
      append_utf8(value, out);
      i += digits - 1;
    } else if (c == 'x' || c == 'u' || c == 'U') {
      const std::size_t digits = c == 'x' ? 2 : c == 'u' ? 4 : 8;
      const auto value = hexadecimal(literal.substr(i + 1), digits);
      if (!value) return fail(bad_input(std::string("the escape \\") + c + " in a string is not a character"));
      append_utf8(*value, out);
      i += digits;
    } else if (c == 'N' || static_cast<unsigned char>(c) >= 0x80) {
      return fail(bad_input("this escape in a string is not supported"));
    } else {
      out += '\\';
      out += c;
    }
  }
  return out;
}

}  // namespace herd::jinja
