#pragma once
// Values as text: Python's str() and repr(), and JSON as Hugging Face's tojson writes it.

#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "endpoint/jinja/evaluation.h"

namespace herd::jinja {

// Empty after an error. repr() writes what Unicode 16 has no sign for as an escape. What stands for a character of a text
// has that character's mark; quotes, brackets, names and digits are the template's.
[[nodiscard]] text::MarkedText str(Evaluation& evaluation, const Value& value);
[[nodiscard]] text::MarkedText repr(Evaluation& evaluation, const Value& value);
// str() without a copy where the value is a text; what has to be made is kept in `made`, which outlives the part.
[[nodiscard]] TextPart str(Evaluation& evaluation, const Value& value, text::MarkedText& made);

struct JsonStyle {
  bool ensure_ascii = false;
  bool sort_keys = false;
  std::optional<text::MarkedText> indent;  // one level of it
  text::MarkedText item_separator{", ", {}};
  text::MarkedText key_separator{": ", {}};
};
[[nodiscard]] text::MarkedText json(Evaluation& evaluation, const Value& value, const JsonStyle& style);

// Python's repr of a float: the shortest digits that read back as the same number.
[[nodiscard]] std::string float_text(double value);

}  // namespace herd::jinja
