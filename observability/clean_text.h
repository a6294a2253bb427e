#pragma once
// Text from outside, made fit for a log line or a label: valid UTF-8, nothing a terminal would obey. Pure.

#include <cstddef>
#include <string>
#include <string_view>

namespace herd::observability {

inline constexpr std::size_t kLogValueBytesMax = 2048;  // longer ones are cut and end in "…"

// Appends `text` inside a JSON string, without the quotes: control characters (C0, DEL, C1) escaped, bad UTF-8
// replaced, cut at kLogValueBytesMax.
void append_escaped(std::string& out, std::string_view text);

// Appends a value of key=value: bare where a reader could not be misled, else quoted and escaped as above.
void append_text_value(std::string& out, std::string_view text);

}  // namespace herd::observability
