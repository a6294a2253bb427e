#pragma once
// What becomes of the matches of a split pattern, and of the gaps between them. The words are those of HF `tokenizers`.

#include <cstddef>
#include <cstdint>
#include <vector>

namespace herd::tokenizer {

enum class SplitBehavior : std::uint8_t {
  kIsolated,            // every match and every gap is a piece
  kRemoved,             // the gaps are pieces, the matches are dropped
  kContiguous,          // neighbouring matches are one piece
  kMergedWithPrevious,  // a match ends the piece of the gap before it
  kMergedWithNext,      // a match begins the piece of the gap behind it
};

// Bytes [begin, end) of a text.
struct SplitPart {
  std::size_t begin = 0;
  std::size_t end = 0;
  bool is_match = false;
  bool operator==(const SplitPart&) const = default;
};

// `parts` cover a text without gaps, in its order, some perhaps empty; they become its pieces.
void apply_behavior(SplitBehavior behavior, std::vector<SplitPart>& parts);

}  // namespace herd::tokenizer
