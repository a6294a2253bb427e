#pragma once
// Upper and lower case of single code points, without a language: Unicode's simple mappings, and the one lower case that
// has two code points (U+0130).

#include <span>
#include <string>

namespace herd::unicode {

// Appends the lower case of `point`.
void append_lower_case(char32_t point, std::u32string& out);

struct CasePair {
  char32_t point;
  char32_t other;
};

// All pairs of code points that differ by case only (simple folding), both ways round, ascending.
[[nodiscard]] std::span<const CasePair> case_pairs();

}  // namespace herd::unicode
