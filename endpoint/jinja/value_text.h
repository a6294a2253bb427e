#pragma once
// Values as text: Python's str() and repr(), and JSON as Hugging Face's tojson writes it.

#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "endpoint/jinja/evaluation.h"

namespace herd::jinja {

// Empty after an error. Beyond ASCII, repr() of a text knows common letters only and refuses the rest.
[[nodiscard]] std::string str(Evaluation& evaluation, const Value& value);
[[nodiscard]] std::string repr(Evaluation& evaluation, const Value& value);

struct JsonStyle {
  bool ensure_ascii = false;
  bool sort_keys = false;
  std::optional<std::string> indent;  // one level of it
  std::string item_separator = ", ";
  std::string key_separator = ": ";
};
[[nodiscard]] std::string json(Evaluation& evaluation, const Value& value, const JsonStyle& style);

// Python's repr of a float: the shortest digits that read back as the same number.
[[nodiscard]] std::string float_text(double value);

}  // namespace herd::jinja
