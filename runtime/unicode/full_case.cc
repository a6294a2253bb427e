#include "runtime/unicode/full_case.h"

#include <algorithm>
#include <cstddef>
#include <iterator>

namespace herd::unicode {
namespace {

struct Mapping {
  char32_t point;
  char32_t mapped[3];  // zeros behind the last
};

constexpr Mapping kUpperCase[] = {
#include "runtime/unicode/upper_case.inc"
};

constexpr Mapping kTitleCase[] = {
#include "runtime/unicode/title_case.inc"
};

struct Run {
  char32_t first;
  char32_t last;
};

constexpr Run kCased[] = {
#include "runtime/unicode/cased.inc"
};

constexpr Run kCaseIgnorable[] = {
#include "runtime/unicode/case_ignorable.inc"
};

template <std::size_t Size>
bool append_mapped(const Mapping (&table)[Size], char32_t point, std::u32string& out) {
  const Mapping* found =
      std::partition_point(std::begin(table), std::end(table), [point](const Mapping& mapping) { return mapping.point < point; });
  if (found == std::end(table) || found->point != point) return false;
  for (const char32_t mapped : found->mapped) {
    if (mapped != 0) out.push_back(mapped);
  }
  return true;
}

template <std::size_t Size>
bool holds(const Run (&runs)[Size], char32_t point) {
  const Run* run = std::partition_point(std::begin(runs), std::end(runs), [point](const Run& r) { return r.last < point; });
  return run != std::end(runs) && run->first <= point;
}

}  // namespace

void append_upper_case(char32_t point, std::u32string& out) {
  if (!append_mapped(kUpperCase, point, out)) out.push_back(point);
}

void append_title_case(char32_t point, std::u32string& out) {
  if (!append_mapped(kTitleCase, point, out)) append_upper_case(point, out);
}

bool is_cased(char32_t point) { return holds(kCased, point); }
bool is_case_ignorable(char32_t point) { return holds(kCaseIgnorable, point); }

}  // namespace herd::unicode
