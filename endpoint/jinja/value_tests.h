#pragma once
// The tests of templates: value is name(arguments).

#include <string_view>

#include "endpoint/jinja/evaluation.h"

namespace herd::jinja {

[[nodiscard]] bool is_value_test(std::string_view name);
[[nodiscard]] bool apply_test(Evaluation& evaluation, std::string_view name, const Value& value, const Arguments& arguments);

}  // namespace herd::jinja
