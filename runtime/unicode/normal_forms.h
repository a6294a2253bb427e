#pragma once
// Unicode normalization (UAX #15): NFC, NFD, NFKC, NFKD.

#include <cstdint>
#include <vector>

namespace herd::unicode {

enum class NormalForm : std::uint8_t { kNfc, kNfd, kNfkc, kNfkd };

struct TaggedPoint {
  char32_t point = 0;
  bool tag = false;  // the caller's; a decomposed point keeps it, a composed one has it when any of its parts has
  bool operator==(const TaggedPoint&) const = default;
};

// `points` in the form. Time O(n log n) in the longest run of combining marks, linear elsewhere.
void normalize(NormalForm form, std::vector<TaggedPoint>& points);

}  // namespace herd::unicode
