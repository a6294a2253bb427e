#pragma once
// Byte-pair merging: symbols of one piece -> tokens (Sennrich et al. 2016). At each turn the adjacent pair with the
// lowest rank merges, the leftmost one on ties, until no pair has a rank. Time O(n log n) in the length of the piece.

#include <cstdint>
#include <span>
#include <vector>

#include "runtime/ids.h"
#include "runtime/tokenizer/large_pages.h"
#include "runtime/tokenizer/table_seed.h"

namespace herd::tokenizer {

// `left` followed by `right` becomes `result`. The rank is the merge's place in a merge list (HF, GGUF), or the id
// of the result, then shared by all splits of one token (tiktoken).
struct Merge {
  std::uint32_t rank = 0;
  TokenId left = 0;
  TokenId right = 0;
  TokenId result = 0;
  bool operator==(const Merge&) const = default;
};

// Pair of ids -> rank, result. Immutable: open addressing with linear probing, at most three quarters full.
class MergeTable {
 public:
  struct Entry {
    std::uint32_t rank = 0;
    TokenId result = 0;
  };

  MergeTable() : MergeTable(std::span<const Merge>{}) {}
  // A pair that occurs twice keeps its first entry.
  explicit MergeTable(std::span<const Merge> merges, std::uint64_t seed = table_seed());

  [[nodiscard]] const Entry* find(TokenId left, TokenId right) const;  // nullptr: the pair never merges

 private:
  struct Slot {
    TokenId left = -1;  // -1: empty
    TokenId right = -1;
    Entry entry;
  };

  [[nodiscard]] std::uint64_t place_of(TokenId left, TokenId right) const;  // where the search for a pair begins

  std::uint64_t seed_;
  Table<Slot> slots_;  // a power of two
  std::uint64_t mask_ = 0;
};

// Memory that one call of encode() lends to all its pieces.
class MergeScratch {
 public:
  std::vector<TokenId> symbols;  // the piece, one symbol per byte; filled by the caller

  // Merges `symbols` and appends what is left to `out`.
  void merge_into(const MergeTable& table, std::vector<TokenId>& out);

 private:
  struct Candidate {
    std::uint32_t rank = 0;
    std::uint32_t position = 0;  // of the left symbol
    TokenId result = 0;
  };

  void push(const MergeTable& table, std::uint32_t left, std::uint32_t right);

  std::vector<std::uint32_t> next_;      // right neighbour; symbols.size(): none
  std::vector<std::uint32_t> previous_;  // left neighbour; symbols.size(): none
  std::vector<Candidate> heap_;          // lowest (rank, position) first; stale entries are skipped when popped
};

}  // namespace herd::tokenizer
