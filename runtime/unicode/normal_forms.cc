#include "runtime/unicode/normal_forms.h"

#include <algorithm>
#include <iterator>
#include <span>
#include <utility>

namespace herd::unicode {
namespace {

struct Decomposition {
  char32_t point;
  std::uint16_t canonical;  // start in kDecomposed
  std::uint8_t canonical_size;
  std::uint16_t compatible;
  std::uint8_t compatible_size;
};
constexpr Decomposition kDecompositions[] = {
#include "runtime/unicode/decompositions.inc"
};

constexpr char32_t kDecomposed[] = {
#include "runtime/unicode/decomposed.inc"
};

struct Composition {
  char32_t first;
  char32_t second;
  char32_t composed;
};
constexpr Composition kCompositions[] = {
#include "runtime/unicode/compositions.inc"
};

struct CombiningRun {
  char32_t first;
  char32_t last;
  std::uint8_t combining_class;
};
constexpr CombiningRun kCombining[] = {
#include "runtime/unicode/combining_classes.inc"
};

// Hangul syllables are computed (The Unicode Standard, section 3.12).
constexpr char32_t kSyllables = 0xAC00;
constexpr char32_t kLeading = 0x1100;
constexpr char32_t kVowels = 0x1161;
constexpr char32_t kTrailing = 0x11A7;  // one before the first
constexpr char32_t kLeadingCount = 19;
constexpr char32_t kVowelCount = 21;
constexpr char32_t kTrailingCount = 28;
constexpr char32_t kSyllableCount = kLeadingCount * kVowelCount * kTrailingCount;

unsigned combining_class(char32_t point) {
  if (point < 0x300) return 0;
  const auto* run = std::partition_point(std::begin(kCombining), std::end(kCombining),
                                         [point](const CombiningRun& r) { return r.last < point; });
  return run != std::end(kCombining) && run->first <= point ? run->combining_class : 0;
}

void decompose(TaggedPoint from, bool compatible, std::vector<TaggedPoint>& out) {
  const char32_t point = from.point;
  if (point < 0xA0) {
    out.push_back(from);
    return;
  }
  if (point >= kSyllables && point < kSyllables + kSyllableCount) {
    const char32_t index = point - kSyllables;
    out.push_back({kLeading + index / (kVowelCount * kTrailingCount), from.tag});
    out.push_back({kVowels + index / kTrailingCount % kVowelCount, from.tag});
    if (index % kTrailingCount != 0) out.push_back({kTrailing + index % kTrailingCount, from.tag});
    return;
  }
  const auto* found = std::partition_point(std::begin(kDecompositions), std::end(kDecompositions),
                                           [point](const Decomposition& d) { return d.point < point; });
  std::span<const char32_t> parts;
  if (found != std::end(kDecompositions) && found->point == point) {
    parts = compatible ? std::span(kDecomposed).subspan(found->compatible, found->compatible_size)
                       : std::span(kDecomposed).subspan(found->canonical, found->canonical_size);
  }
  if (parts.empty()) out.push_back(from);
  for (const char32_t part : parts) out.push_back({part, from.tag});
}

// 0: the two do not compose.
char32_t compose(char32_t first, char32_t second) {
  if (first >= kLeading && first < kLeading + kLeadingCount && second >= kVowels && second < kVowels + kVowelCount) {
    return kSyllables + ((first - kLeading) * kVowelCount + (second - kVowels)) * kTrailingCount;
  }
  if (first >= kSyllables && first < kSyllables + kSyllableCount && (first - kSyllables) % kTrailingCount == 0 &&
      second > kTrailing && second < kTrailing + kTrailingCount) {
    return first + (second - kTrailing);
  }
  const auto* found = std::partition_point(std::begin(kCompositions), std::end(kCompositions), [&](const Composition& c) {
    return c.first != first ? c.first < first : c.second < second;
  });
  const bool known = found != std::end(kCompositions) && found->first == first && found->second == second;
  return known ? found->composed : 0;
}

// Runs of points whose class is not 0 are put in the order of their classes.
void reorder(std::vector<TaggedPoint>& points) {
  for (std::size_t begin = 0; begin < points.size();) {
    std::size_t end = begin;
    while (end < points.size() && combining_class(points[end].point) != 0) ++end;
    if (end - begin > 1) {
      std::stable_sort(points.begin() + static_cast<std::ptrdiff_t>(begin), points.begin() + static_cast<std::ptrdiff_t>(end),
                       [](const TaggedPoint& a, const TaggedPoint& b) {
                         return combining_class(a.point) < combining_class(b.point);
                       });
    }
    begin = end + 1;
  }
}

// Every point joins the last starter before it where the two compose and nothing of its class or a higher one stands
// between them.
void recompose(std::vector<TaggedPoint>& points) {
  constexpr std::size_t kNone = static_cast<std::size_t>(-1);
  std::size_t starter = kNone;
  unsigned last_class = 0;  // of the point kept last
  std::size_t kept = 0;
  for (const TaggedPoint next : points) {
    const unsigned own_class = combining_class(next.point);
    const bool adjacent = starter != kNone && starter + 1 == kept;
    if (starter != kNone && (adjacent || (last_class != 0 && last_class < own_class))) {
      if (const char32_t composed = compose(points[starter].point, next.point)) {
        points[starter] = {composed, points[starter].tag || next.tag};
        continue;
      }
    }
    if (own_class == 0) starter = kept;
    last_class = own_class;
    points[kept++] = next;
  }
  points.resize(kept);
}

}  // namespace

void normalize(NormalForm form, std::vector<TaggedPoint>& points) {
  const bool compatible = form == NormalForm::kNfkc || form == NormalForm::kNfkd;
  std::vector<TaggedPoint> decomposed;
  decomposed.reserve(points.size());
  for (const TaggedPoint point : points) decompose(point, compatible, decomposed);
  reorder(decomposed);
  if (form == NormalForm::kNfc || form == NormalForm::kNfkc) recompose(decomposed);
  points = std::move(decomposed);
}

}  // namespace herd::unicode
