#include "observability/clean_text.h"

#include <algorithm>
#include <cstdint>

#include "runtime/text/hex.h"
#include "runtime/text/utf8.h"

namespace herd::observability {
namespace {

bool is_control(char32_t code) { return code < 0x20 || (code >= 0x7F && code < 0xA0); }

}  // namespace

void append_escaped(std::string& out, std::string_view text) {
  std::size_t left = kLogValueBytesMax;
  while (!text.empty()) {
    const text::CodePoint character = text::first_code_point(text);
    if (character.size > left) {
      out += "…";
      return;
    }
    left -= character.size;
    const char32_t code = character.value;
    if (!character.valid) {
      out += text::kReplacementUtf8;
    } else if (code == '"' || code == '\\') {
      out += '\\';
      out += static_cast<char>(code);
    } else if (code == '\n' || code == '\r' || code == '\t') {
      out += code == '\n' ? "\\n" : code == '\r' ? "\\r" : "\\t";
    } else if (is_control(code)) {
      out += "\\u00";  // a control character: two digits are enough
      text::append_hex(static_cast<std::uint8_t>(code), out);
    } else {
      out += text.substr(0, character.size);
    }
    text.remove_prefix(character.size);
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
