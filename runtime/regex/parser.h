#pragma once
// Reads regular expressions as Oniguruma spells them, the library that HF `tokenizers` uses: '^' and '$' are the borders
// of lines, '.' is everything but a newline, \w \d \s \p{…} are Unicode's, classes nest and intersect ('&&'), '++' '*+'
// '?+' are possessive. Upper and lower case are one ('(?i)') by simple folding.
// Refused by name: back references, \G \K \X \g \k, conditions, absent operators, callouts; under '(?i)' also letters
// that fold to more than one (ss and ß).

#include <string_view>

#include "kernels/status.h"
#include "runtime/regex/pattern_tree.h"

namespace herd::regex {

inline constexpr std::size_t kPatternBytesMax = 1U << 14;

// kBadInput names the place in the pattern.
[[nodiscard]] Expected<Node> parse(std::string_view pattern);

}  // namespace herd::regex
