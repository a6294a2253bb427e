#include "runtime/checkpoint/python_json.h"

#include <algorithm>
#include <cstddef>
#include <limits>

namespace herd::model {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

struct Literal {
  std::string_view written;
  double value;
};
constexpr Literal kLiterals[] = {
    {"NaN", std::numeric_limits<double>::quiet_NaN()}, {"Infinity", kInfinity}, {"-Infinity", -kInfinity}};

// Begins the string that stands for a literal: no text of a checkpoint begins with it by chance.
constexpr std::string_view kMark = "\\u0000herd:";
constexpr std::string_view kMarkDecoded{"\0herd:", 6};

bool stands_for_a_key(std::string_view behind) {
  const std::size_t next = behind.find_first_not_of(" \t\r\n");
  return next != std::string_view::npos && behind[next] == ':';
}

// The code unit of a \uXXXX at the front of `text`; -1 when there is none.
int escaped_unit(std::string_view text) {
  if (text.size() < 6 || text[0] != '\\' || text[1] != 'u') return -1;
  int unit = 0;
  for (const char c : text.substr(2, 4)) {
    const int digit = c >= '0' && c <= '9'   ? c - '0'
                      : c >= 'a' && c <= 'f' ? c - 'a' + 10
                      : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                             : -1;
    if (digit < 0) return -1;
    unit = unit * 16 + digit;
  }
  return unit;
}

bool is_high(int unit) { return unit >= 0xd800 && unit <= 0xdbff; }
bool is_low(int unit) { return unit >= 0xdc00 && unit <= 0xdfff; }

// Copies the escape at the front of `text`; how many bytes of it are done.
std::size_t copy_escape(std::string_view text, std::string& out) {
  const int unit = escaped_unit(text);
  if (is_high(unit) && is_low(escaped_unit(text.substr(6)))) {
    out += text.substr(0, 12);
    return 12;
  }
  if (is_high(unit) || is_low(unit)) {
    out += "\\ufffd";
    return 6;
  }
  out += text.substr(0, 2);
  return std::min<std::size_t>(2, text.size());
}

}  // namespace

std::string strict_json(std::string_view text) {
  std::string out;
  out.reserve(text.size() + 64);
  bool in_string = false;
  for (std::size_t at = 0; at < text.size();) {
    const char c = text[at];
    if (in_string && c == '\\') {
      at += copy_escape(text.substr(at), out);
      continue;
    }
    if (c == '"') in_string = !in_string;
    const Literal* found = nullptr;
    if (!in_string && (c == 'N' || c == 'I' || c == '-')) {
      for (const Literal& literal : kLiterals) {
        if (text.substr(at).starts_with(literal.written)) found = &literal;
      }
    }
    if (found == nullptr || stands_for_a_key(text.substr(at + found->written.size()))) {
      out += c;
      ++at;
      continue;
    }
    out.append("\"").append(kMark).append(found->written).append("\"");
    at += found->written.size();
  }
  return out;
}

std::optional<double> literal_value(std::string_view string) {
  if (!string.starts_with(kMarkDecoded)) return {};
  string.remove_prefix(kMarkDecoded.size());
  for (const Literal& literal : kLiterals) {
    if (string == literal.written) return literal.value;
  }
  return {};
}

}  // namespace herd::model
