#pragma once
// The case of letters, as Python's str changes it.

#include <cstdint>

#include "endpoint/jinja/evaluation.h"

namespace herd::jinja {

enum class Case : std::uint8_t {
  kUpper,
  kLower,
  kTitle,        // str.title(): a word begins behind whatever is no letter
  kTitleFilter,  // the filter title: words are parted by white space and - ( { [ <
  kCapitalize,
};

[[nodiscard]] Value change_case(Evaluation& evaluation, const TextPart& text, Case how);

}  // namespace herd::jinja
