#include "runtime/tokenizer/piece_trie.h"

#include <algorithm>
#include <deque>

namespace herd::tokenizer {

// Level by level: the strings behind a node are a range of the sorted list, those that differ in the next byte are the
// ranges of its children.
PieceTrie::PieceTrie(std::vector<Entry> entries) {
  std::stable_sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) { return a.text < b.text; });
  struct Range {
    std::size_t begin = 0;
    std::size_t end = 0;
    std::size_t depth = 0;  // bytes that all of them share
  };
  std::deque<Range> ranges;  // of the nodes whose children are still to be made
  const auto add_children = [&](Range range) {
    for (std::size_t i = range.begin; i < range.end;) {
      const char label = entries[i].text[range.depth];
      std::size_t end = i + 1;
      while (end < range.end && entries[end].text[range.depth] == label) ++end;
      labels_.push_back(label);
      ranges.push_back({i, end, range.depth + 1});
      nodes_.emplace_back();
      i = end;
    }
  };
  add_children({0, entries.size(), 0});
  for (std::uint32_t node = 0; node < nodes_.size(); ++node) first_[static_cast<unsigned char>(labels_[node])] = node;
  for (std::size_t node = 0; node < nodes_.size(); ++node) {
    Range range = ranges.front();
    ranges.pop_front();
    for (; range.begin < range.end && entries[range.begin].text.size() == range.depth; ++range.begin) {
      if (nodes_[node].id == kNoId) nodes_[node].id = entries[range.begin].id;
    }
    const std::size_t children = nodes_.size();
    add_children(range);
    nodes_[node].children = static_cast<std::uint32_t>(children);
    nodes_[node].child_count = static_cast<std::uint32_t>(nodes_.size() - children);
  }
}

PieceTrie::Match PieceTrie::longest_prefix(std::string_view text) const {
  Match longest;
  for_each_prefix(text, [&](std::size_t size, TokenId id) { longest = {size, id}; });
  return longest;
}

}  // namespace herd::tokenizer
