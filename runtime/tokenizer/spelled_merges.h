#pragma once
// Merges as files spell them, pairs of texts, and the ids of the tokens they join.

#include <span>
#include <string_view>

#include "runtime/tokenizer/large_pages.h"
#include "runtime/tokenizer/merge_table.h"
#include "runtime/tokenizer/token_map.h"

namespace herd::tokenizer {

// `left` followed by `right`; its rank is its place in the list. The texts belong to somebody else.
struct SpelledMerge {
  std::string_view left;
  std::string_view right;
};

enum class MergeOrder { kRising, kFalling };  // of ranks

// The merges in this order, each with the ids that `tokens` has for its parts and for what they make: TokenMap::kNone for
// a text that is not there.
[[nodiscard]] Table<Merge> find_merges(std::span<const SpelledMerge> merges, const TokenMap& tokens, MergeOrder order);

// Whether all three are there.
[[nodiscard]] inline bool is_found(const Merge& merge) {
  return merge.left != TokenMap::kNone && merge.right != TokenMap::kNone && merge.result != TokenMap::kNone;
}

}  // namespace herd::tokenizer
