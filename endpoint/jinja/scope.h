#pragma once
// The names that are known at one place of a rendering, and where the ones outside of it are.

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "endpoint/jinja/evaluation.h"
#include "endpoint/jinja/syntax.h"
#include "endpoint/jinja/value.h"

namespace herd::jinja {

struct Scope {
  const Scope* outer = nullptr;
  std::vector<std::pair<std::string, Value>> names;
};

// The innermost value of the name, or the function of that name, or undefined.
[[nodiscard]] Value look_up(Evaluation& evaluation, const std::string& name, const Scope& scope);
void name_value(Evaluation& evaluation, std::string_view name, Value value, Scope& scope);
// Names the value, or its parts, or sets the attribute of a namespace.
void assign(Evaluation& evaluation, const Target& target, const Value& value, Scope& scope);

}  // namespace herd::jinja
