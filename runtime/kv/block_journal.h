#pragma once
// BlockJournal: what a prefix cache has taken up and given up since it was last asked, in as few words as say it.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "runtime/kv/block_news.h"

namespace herd::kv {

// Pure machine.
class BlockJournal {
 public:
  // More changes than that between two batches are not written down one by one.
  explicit BlockJournal(std::size_t changes_max) : changes_max_(changes_max) {}

  void on_stored(BlockKey key) { add({key, true}); }
  void on_evicted(BlockKey key) { add({key, false}); }
  [[nodiscard]] bool empty() const { return changes_.empty() && !overflown_; }
  [[nodiscard]] std::uint64_t number() const { return number_; }  // of the last batch that was taken

  // The next batch. What came and went meanwhile is not in it. nullopt: more changed than is written down; the number rises all the
  // same, and what is cached now is to be told as a whole.
  [[nodiscard]] std::optional<BlockNews> take();

 private:
  struct Change {
    BlockKey key = 0;
    bool stored = false;
  };
  void add(const Change& change) {
    if (changes_.size() >= changes_max_) overflown_ = true;
    if (!overflown_) changes_.push_back(change);
  }

  std::size_t changes_max_;
  std::vector<Change> changes_;
  bool overflown_ = false;
  std::uint64_t number_ = 0;
};

}  // namespace herd::kv
