#pragma once
// The functions that templates find in their environment: Jinja2's range, dict, namespace, Hugging Face's
// raise_exception and strftime_now. The clock is given, never read.

#include <optional>
#include <string_view>

#include "endpoint/jinja/evaluation.h"

namespace herd::jinja {

// What strftime_now tells. Day of the week: 0 is Sunday.
struct CivilTime {
  int year = 1970, month = 1, day = 1, hour = 0, minute = 0, second = 0, weekday = 4, day_of_year = 1;
};

[[nodiscard]] std::optional<Function> find_function(std::string_view name);
// Names of Jinja2's environment that herd does not have; looking one up is an error.
[[nodiscard]] bool is_unsupported_global(std::string_view name);
[[nodiscard]] Value call_function(Evaluation& evaluation, Function function, const Arguments& arguments,
                                  const std::optional<CivilTime>& now);

}  // namespace herd::jinja
