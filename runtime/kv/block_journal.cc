#include "runtime/kv/block_journal.h"

#include <algorithm>
#include <utility>

namespace herd::kv {

std::optional<BlockNews> BlockJournal::take() {
  std::vector<Change> changes = std::exchange(changes_, {});
  ++number_;
  if (std::exchange(overflown_, false)) return std::nullopt;
  BlockNews news;
  news.number = number_;
  std::ranges::stable_sort(changes, {}, &Change::key);
  for (auto first = changes.begin(); first != changes.end();) {
    const auto end = std::find_if(first, changes.end(), [&](const Change& change) { return change.key != first->key; });
    // A block is taken up and given up in turn: an even number of times, and things are as they were.
    if ((end - first) % 2 == 1) (first->stored ? news.stored : news.evicted).push_back(first->key);
    first = end;
  }
  return news;
}

}  // namespace herd::kv
