#include "endpoint/chat/shown_text.h"

#include <algorithm>
#include <cstdio>

#include "runtime/text/utf8.h"

namespace herd::chat {

std::string clean(std::string_view text, std::size_t bytes) {
  std::string out;
  for (std::string_view rest = text.substr(0, std::min(text.size(), bytes)); !rest.empty();) {
    const text::CodePoint point = text::first_code_point(rest);
    if (point.value == '\n') {
      out += "\\n";
    } else if (point.value >= 0x20 && point.value < 0x7F) {
      out += rest.front();
    } else if (!point.incomplete) {
      char escaped[16];
      std::snprintf(escaped, sizeof escaped, "\\u%04x", static_cast<unsigned>(point.value));
      out += escaped;
    }
    rest.remove_prefix(point.size);
  }
  return text.size() > bytes ? out + "…" : out;
}

std::string shown(std::string_view text, std::size_t bytes) { return '"' + clean(text, bytes) + '"'; }

}  // namespace herd::chat
