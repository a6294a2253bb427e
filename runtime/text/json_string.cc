#include "runtime/text/json_string.h"

#include "runtime/text/hex.h"
#include "runtime/text/utf8.h"

namespace herd::text {
namespace {

void append_unit(unsigned unit, std::string& out) {
  out += "\\u";
  for (int shift = 12; shift >= 0; shift -= 4) out += hex_digit(unit >> shift);
}

}  // namespace

std::string json_string(std::string_view text, bool ensure_ascii) {
  std::string out = "\"";
  for (std::string_view rest = text; !rest.empty();) {
    const CodePoint point = first_code_point(rest);
    constexpr std::string_view kNamed = "\"\\\b\f\n\r\t";
    constexpr std::string_view kNames = "\"\\bfnrt";
    if (const std::size_t named = kNamed.find(rest.front()); named != std::string_view::npos) {
      out += '\\';
      out += kNames[named];
    } else if (point.value < 0x20) {
      append_unit(point.value, out);
    } else if (ensure_ascii && point.value >= 0x10000) {
      append_unit(0xD800 + ((point.value - 0x10000) >> 10), out);
      append_unit(0xDC00 + ((point.value - 0x10000) & 0x3FF), out);
    } else if (ensure_ascii && point.value >= 0x80) {
      append_unit(point.value, out);
    } else {
      out.append(rest.substr(0, point.size));
    }
    rest.remove_prefix(point.size);
  }
  return out + '"';
}

}  // namespace herd::text
