#include "runtime/tokenizer/merge_table.h"

#include <algorithm>
#include <bit>
#include <limits>

#include "kernels/check.h"
#include "kernels/splitmix64.h"

namespace herd::tokenizer {
namespace {

constexpr TokenId kGone = -1;  // a symbol that became part of its left neighbour

}  // namespace

// Ids are dense, so the bits must be mixed; the seed, which is added before, keeps chosen pairs from falling together.
std::uint64_t MergeTable::place_of(TokenId left, TokenId right) const {
  const std::uint64_t pair = (static_cast<std::uint64_t>(static_cast<std::uint32_t>(left)) << 32) | static_cast<std::uint32_t>(right);
  return splitmix64_finish(pair + seed_) & mask_;
}

MergeTable::MergeTable(std::span<const Merge> merges, std::uint64_t seed)
    : seed_(seed), slots_(std::bit_ceil(std::max<std::size_t>(merges.size() + merges.size() / 3 + 1, 2))), mask_(slots_.size() - 1) {
  constexpr std::size_t kAhead = 16;  // its slot is on its way while the ones before it are filled
  for (std::size_t n = 0; n < merges.size(); ++n) {
    if (n + kAhead < merges.size()) {
      __builtin_prefetch(&slots_[place_of(merges[n + kAhead].left, merges[n + kAhead].right)], 1);
    }
    const Merge& merge = merges[n];
    std::uint64_t i = place_of(merge.left, merge.right);
    while (slots_[i].left != -1 && (slots_[i].left != merge.left || slots_[i].right != merge.right)) {
      i = (i + 1) & mask_;
    }
    if (slots_[i].left == -1) slots_[i] = {merge.left, merge.right, {merge.rank, merge.result}};
  }
}

const MergeTable::Entry* MergeTable::find(TokenId left, TokenId right) const {
  std::uint64_t i = place_of(left, right);
  while (slots_[i].left != -1) {
    if (slots_[i].left == left && slots_[i].right == right) return &slots_[i].entry;
    i = (i + 1) & mask_;
  }
  return nullptr;
}

namespace {
// std::push_heap keeps the greatest in front, so "less" means: merges later.
constexpr auto merges_later = [](const auto& a, const auto& b) {
  return a.rank != b.rank ? a.rank > b.rank : a.position > b.position;
};
}  // namespace

void MergeScratch::push(const MergeTable& table, std::uint32_t left, std::uint32_t right) {
  if (const auto* entry = table.find(symbols[left], symbols[right])) {
    heap_.push_back({entry->rank, left, entry->result});
    std::push_heap(heap_.begin(), heap_.end(), merges_later);
  }
}

void MergeScratch::merge_into(const MergeTable& table, std::vector<TokenId>& out) {
  HERD_CHECK(symbols.size() < std::numeric_limits<std::uint32_t>::max(), "piece longer than 4 GiB");
  const auto count = static_cast<std::uint32_t>(symbols.size());
  const std::uint32_t none = count;
  next_.resize(count);
  previous_.resize(count);
  heap_.clear();
  for (std::uint32_t i = 0; i < count; ++i) {
    next_[i] = i + 1;
    previous_[i] = i == 0 ? none : i - 1;
    if (i + 1 == count) break;
    if (const auto* entry = table.find(symbols[i], symbols[i + 1])) {
      heap_.push_back({entry->rank, i, entry->result});
    }
  }
  std::make_heap(heap_.begin(), heap_.end(), merges_later);

  // Each merge removes one symbol and adds at most two candidates: at most 3 n pops.
  while (!heap_.empty()) {
    const Candidate best = heap_.front();
    std::pop_heap(heap_.begin(), heap_.end(), merges_later);
    heap_.pop_back();
    const std::uint32_t left = best.position;
    if (symbols[left] == kGone || next_[left] == none) continue;
    const std::uint32_t right = next_[left];
    // Stale when either neighbour has grown since: the pair that stands here now makes another token.
    const auto* entry = table.find(symbols[left], symbols[right]);
    if (entry == nullptr || entry->result != best.result) continue;

    symbols[left] = best.result;
    symbols[right] = kGone;
    next_[left] = next_[right];
    if (next_[left] != none) previous_[next_[left]] = left;
    if (previous_[left] != none) push(table, previous_[left], left);
    if (next_[left] != none) push(table, left, next_[left]);
  }

  for (std::uint32_t i = 0; i < count; i = next_[i]) out.push_back(symbols[i]);
}

}  // namespace herd::tokenizer
