// UTF-8 as in RFC 3629: no overlong forms, no surrogates, nothing above U+10FFFF.
#include "observability/clean_text.h"

#include <algorithm>
#include <cstdint>

namespace herd::observability {
namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";

struct Character {
  std::size_t bytes = 1;   // consumed
  std::uint32_t code = 0;  // meaningless when bad
  bool good = true;
};

// The character at the start of `text` (not empty); a bad one consumes what could have begun a good one.
Character decode(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned lead = byte(0);
  if (lead < 0x80) return {1, lead, true};
  const std::size_t bytes = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
  if (lead < 0xC2 || lead > 0xF4) return {1, 0, false};
  std::uint32_t code = lead & (0xFFU >> (bytes + 1));
  for (std::size_t i = 1; i < bytes; ++i) {
    // The second byte's range is what excludes overlong forms, surrogates and the far end.
    unsigned low = 0x80, high = 0xBF;
    if (i == 1 && lead == 0xE0) low = 0xA0;
    if (i == 1 && lead == 0xED) high = 0x9F;
    if (i == 1 && lead == 0xF0) low = 0x90;
    if (i == 1 && lead == 0xF4) high = 0x8F;
    if (i >= text.size() || byte(i) < low || byte(i) > high) return {i, 0, false};
    code = code << 6 | (byte(i) & 0x3FU);
  }
  return {bytes, code, true};
}

bool is_control(std::uint32_t code) { return code < 0x20 || (code >= 0x7F && code < 0xA0); }

void append_code(std::string& out, std::uint32_t code) {  // a control character: two hex digits are enough
  constexpr char kHex[] = "0123456789abcdef";
  out += "\\u00";
  out += kHex[code >> 4 & 0xF];
  out += kHex[code & 0xF];
}

}  // namespace

std::string valid_utf8(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    const Character character = decode(text);
    out += character.good ? text.substr(0, character.bytes) : kReplacement;
    text.remove_prefix(character.bytes);
  }
  return out;
}

void append_escaped(std::string& out, std::string_view text) {
  std::size_t left = kLogValueBytesMax;
  while (!text.empty()) {
    const Character character = decode(text);
    if (character.bytes > left) {
      out += "…";
      return;
    }
    left -= character.bytes;
    const std::uint32_t code = character.code;
    if (!character.good) {
      out += kReplacement;
    } else if (code == '"' || code == '\\') {
      out += '\\';
      out += static_cast<char>(code);
    } else if (code == '\n' || code == '\r' || code == '\t') {
      out += code == '\n' ? "\\n" : code == '\r' ? "\\r" : "\\t";
    } else if (is_control(code)) {
      append_code(out, code);
    } else {
      out += text.substr(0, character.bytes);
    }
    text.remove_prefix(character.bytes);
  }
}

void append_text_value(std::string& out, std::string_view text) {
  const bool bare = !text.empty() && text.size() <= kLogValueBytesMax &&
                    std::all_of(text.begin(), text.end(),
                                [](char c) { return c > ' ' && c < 0x7F && c != '"' && c != '\\' && c != '='; });
  if (bare) {
    out += text;
    return;
  }
  out += '"';
  append_escaped(out, text);
  out += '"';
}

}  // namespace herd::observability
