#pragma once
// The filters: value | name(arguments). Semantics are Jinja2's, tojson's are Hugging Face's.

#include <string_view>

#include "endpoint/jinja/evaluation.h"

namespace herd::jinja {

[[nodiscard]] bool is_filter(std::string_view name);
// Jinja2 has it and herd does not.
[[nodiscard]] bool is_unsupported_filter(std::string_view name);
[[nodiscard]] Value apply_filter(Evaluation& evaluation, std::string_view name, const Value& value, const Arguments& arguments);

}  // namespace herd::jinja
