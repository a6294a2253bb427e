#pragma once
// How the files of filters hand theirs to filters.cc. Nothing else includes it.

#include <span>
#include <string_view>

#include "endpoint/jinja/evaluation.h"

namespace herd::jinja {

struct Filter {
  std::string_view name;
  Value (*apply)(Evaluation& evaluation, const Value& value, const Arguments& arguments);
};

[[nodiscard]] std::span<const Filter> text_filters();      // text_filters.cc: what makes texts and numbers
[[nodiscard]] std::span<const Filter> sequence_filters();  // sequence_filters.cc: what walks lists and dicts

}  // namespace herd::jinja
