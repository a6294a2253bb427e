#include "runtime/unicode/letter_case.h"

#include <algorithm>
#include <iterator>

namespace herd::unicode {
namespace {

constexpr CasePair kLowerCase[] = {
#include "runtime/unicode/lower_case.inc"
};

constexpr CasePair kVariants[] = {
#include "runtime/unicode/case_variants.inc"
};

}  // namespace

void append_lower_case(char32_t point, std::u32string& out) {
  if (point == 0x130) {
    out.append({U'i', 0x307});
    return;
  }
  const CasePair* found = std::partition_point(std::begin(kLowerCase), std::end(kLowerCase),
                                               [point](const CasePair& pair) { return pair.point < point; });
  out.push_back(found != std::end(kLowerCase) && found->point == point ? found->other : point);
}

std::span<const CasePair> case_pairs() { return kVariants; }

}  // namespace herd::unicode
