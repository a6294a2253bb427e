#pragma once
// The methods of Python's str, and of markupsafe's Markup, which escapes what it is given and gives Markup back.

#include <string>

#include "endpoint/jinja/evaluation.h"

namespace herd::jinja {

[[nodiscard]] Value call_text_method(Evaluation& evaluation, const Value& self, const std::string& name, const Arguments& arguments);

}  // namespace herd::jinja
