#include "runtime/tokenizer/split_behavior.h"

#include <algorithm>

namespace herd::tokenizer {
namespace {

// Each part joins the piece before it where `joins` says so of the two.
template <class Joins>
void join(std::vector<SplitPart>& parts, Joins joins) {
  std::vector<SplitPart> pieces;
  bool last_is_match = false;
  for (const SplitPart& part : parts) {
    if (!pieces.empty() && joins(last_is_match, part.is_match)) {
      pieces.back().begin = std::min(pieces.back().begin, part.begin);
      pieces.back().end = std::max(pieces.back().end, part.end);
    } else {
      pieces.push_back(part);
    }
    last_is_match = part.is_match;
  }
  parts = std::move(pieces);
}

}  // namespace

void apply_behavior(SplitBehavior behavior, std::vector<SplitPart>& parts) {
  switch (behavior) {
    case SplitBehavior::kIsolated:
      return;
    case SplitBehavior::kRemoved:
      std::erase_if(parts, [](const SplitPart& part) { return part.is_match; });
      return;
    case SplitBehavior::kContiguous:
      join(parts, [](bool last, bool now) { return last == now; });
      return;
    case SplitBehavior::kMergedWithPrevious:
      join(parts, [](bool last, bool now) { return now && !last; });
      return;
    case SplitBehavior::kMergedWithNext:  // the same, seen from the end
      std::reverse(parts.begin(), parts.end());
      join(parts, [](bool last, bool now) { return now && !last; });
      std::reverse(parts.begin(), parts.end());
      return;
  }
}

}  // namespace herd::tokenizer
