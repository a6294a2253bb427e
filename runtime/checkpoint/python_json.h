#pragma once
// Checkpoints' JSON files are written and read by Python's json module, which takes more than JSON: NaN, Infinity and
// -Infinity as values, and half of a surrogate pair in a string. A field that nobody reads may hold any of them.

#include <optional>
#include <string>
#include <string_view>

namespace herd::model {

// `text` in the letter of JSON: each of the three literals becomes a string that literal_value() knows, half a
// surrogate pair becomes U+FFFD. Everything else stays as it is, also what is wrong with it.
[[nodiscard]] std::string strict_json(std::string_view text);

// The number a string of strict_json() stands for; empty for every other string.
[[nodiscard]] std::optional<double> literal_value(std::string_view string);

}  // namespace herd::model
