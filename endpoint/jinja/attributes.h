#pragma once
// value.name, value['name'], value[0] and the methods of texts and dicts, as Hugging Face's sandbox allows them: what
// changes a list or dict is refused, so is every name that begins with an underscore.

#include <string_view>

#include "endpoint/jinja/evaluation.h"

namespace herd::jinja {

// Whether Python's type of this value has it, methods included; the items of a dict are none.
[[nodiscard]] bool has_attribute(const Value& value, std::string_view name);
[[nodiscard]] Value attribute(Evaluation& evaluation, const Value& value, std::string_view name);
[[nodiscard]] Value subscript(Evaluation& evaluation, const Value& value, const Value& index);
[[nodiscard]] Value call_method(Evaluation& evaluation, const Method& method, const Arguments& arguments);

}  // namespace herd::jinja
