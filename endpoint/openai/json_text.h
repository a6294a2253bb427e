#pragma once
// Pieces of JSON text, appended by hand: no tree, no allocation beyond the string's own growth. append_escaped() is in
// openai_response.h.

#include <charconv>
#include <concepts>
#include <string>
#include <string_view>
#include <vector>

#include "endpoint/openai/openai_response.h"

namespace herd::openai {

// `text` (valid UTF-8) as a JSON string.
inline void append_quoted(std::string_view text, std::string& out) {
  out += '"';
  append_escaped(text, out);
  out += '"';
}

template <std::integral Number>
void append_number(Number number, std::string& out) {
  char digits[24];  // 64 bits: at most 20 characters
  const char* end = std::to_chars(digits, digits + sizeof(digits), number).ptr;
  out.append(digits, static_cast<std::size_t>(end - digits));
}

// The shortest text that reads back as the same float, always with a point or an exponent. Not finite: -9999.0, vLLM's.
void append_float(float number, std::string& out);
void append_double(double number, std::string& out);  // the same for double; not finite: 0.0

// [1,2,3]
template <class Ids>
void append_ids(const Ids& ids, std::string& out) {
  out += '[';
  const char* comma = "";
  for (const auto id : ids) {
    out += comma;
    append_number(id, out);
    comma = ",";
  }
  out += ']';
}

}  // namespace herd::openai
