#include "endpoint/jinja/string_literal.h"

#include <cstddef>
#include <optional>

#include "runtime/text/hex.h"
#include "runtime/text/utf8.h"

namespace herd::jinja {
namespace {

std::optional<char32_t> hexadecimal(std::string_view digits, std::size_t count) {
  if (digits.size() < count) return std::nullopt;
  char32_t value = 0;
  for (const char c : digits.substr(0, count)) {
    if (text::hex_value(c) < 0) return std::nullopt;
    value = value * 16 + static_cast<char32_t>(text::hex_value(c));
  }
  const bool surrogate = value >= 0xD800 && value <= 0xDFFF;
  if (surrogate || value > 0x10FFFF) return std::nullopt;
  return value;
}

constexpr std::string_view kSimple = "\\'\"abfnrtv";
constexpr std::string_view kMeaning = "\\'\"\a\b\f\n\r\t\v";

}  // namespace

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
      text::append_utf8(value, out);
      i += digits - 1;
    } else if (c == 'x' || c == 'u' || c == 'U') {
      const std::size_t digits = c == 'x' ? 2 : c == 'u' ? 4 : 8;
      const auto value = hexadecimal(literal.substr(i + 1), digits);
      if (!value) return fail(bad_input(std::string("the escape \\") + c + " in a string is not a character"));
      text::append_utf8(*value, out);
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
