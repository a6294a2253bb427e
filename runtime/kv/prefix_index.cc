#include "runtime/kv/prefix_index.h"

#include <algorithm>
#include <bit>
#include <cstddef>

#include "kernels/check.h"

namespace herd::kv {

PrefixIndex::PrefixIndex(std::uint32_t num_blocks, std::uint32_t block_size)
    : block_size_(block_size),
      bucket_mask_(std::bit_ceil(std::max(num_blocks, 1U) * 2) - 1),
      entries_(num_blocks),
      tokens_(std::size_t{num_blocks} * block_size),
      buckets_(std::size_t{bucket_mask_} + 1, kNone) {}

std::optional<BlockId> PrefixIndex::find_hash(const BlockHash& hash) const {
  // Ends: the table is at most half full.
  for (std::uint32_t bucket = bucket_of(hash); buckets_[bucket] != kNone; bucket = (bucket + 1) & bucket_mask_) {
    if (entries_[buckets_[bucket]].hash == hash) return BlockId{buckets_[bucket]};
  }
  return std::nullopt;
}

std::optional<BlockId> PrefixIndex::find(const BlockHash& hash, std::span<const TokenId> tokens,
                                         const ParentRef& parent) const {
  const std::optional<BlockId> block = find_hash(hash);
  if (!block || entries_[block->value].parent != parent) return std::nullopt;
  if (!std::ranges::equal(tokens_of(block->value), tokens)) return std::nullopt;
  return block;
}

void PrefixIndex::insert(BlockId block, const BlockHash& hash, std::span<const TokenId> tokens,
                         const ParentRef& parent) {
  Entry& entry = entries_[block.value];
  HERD_CHECK(!entry.cached, "the block is cached already");
  HERD_CHECK(tokens.size() == block_size_, "only full blocks are cached");
  entry = {hash, parent, kNone, kNone, true, false};
  std::ranges::copy(tokens, tokens_.begin() + static_cast<std::ptrdiff_t>(std::size_t{block.value} * block_size_));
  std::uint32_t bucket = bucket_of(hash);
  while (buckets_[bucket] != kNone) bucket = (bucket + 1) & bucket_mask_;
  buckets_[bucket] = block.value;
  ++num_cached_;
}

void PrefixIndex::erase(BlockId block) {
  Entry& entry = entries_[block.value];
  HERD_CHECK(entry.cached, "the block is not cached");
  if (entry.idle) on_held(block);
  std::uint32_t hole = bucket_of(entry.hash);
  while (buckets_[hole] != block.value) hole = (hole + 1) & bucket_mask_;
  // Linear probing without tombstones: entries after the hole move back when their home is not beyond it
  // (Knuth, The Art of Computer Programming 3, 6.4, algorithm R).
  buckets_[hole] = kNone;
  for (std::uint32_t next = (hole + 1) & bucket_mask_; buckets_[next] != kNone; next = (next + 1) & bucket_mask_) {
    const std::uint32_t home = bucket_of(entries_[buckets_[next]].hash);
    if (((next - home) & bucket_mask_) >= ((next - hole) & bucket_mask_)) {
      buckets_[hole] = buckets_[next];
      buckets_[next] = kNone;
      hole = next;
    }
  }
  entry.cached = false;
  --num_cached_;
}

void PrefixIndex::on_idle(BlockId block) {
  Entry& entry = entries_[block.value];
  HERD_CHECK(entry.cached && !entry.idle, "only a held cached block becomes idle");
  entry.idle = true;
  entry.older = newest_;
  entry.newer = kNone;
  (newest_ == kNone ? oldest_ : entries_[newest_].newer) = block.value;
  newest_ = block.value;
  ++num_idle_;
}

void PrefixIndex::on_held(BlockId block) {
  Entry& entry = entries_[block.value];
  HERD_CHECK(entry.idle, "the block is not idle");
  entry.idle = false;
  (entry.older == kNone ? oldest_ : entries_[entry.older].newer) = entry.newer;
  (entry.newer == kNone ? newest_ : entries_[entry.newer].older) = entry.older;
  --num_idle_;
}

std::optional<BlockId> PrefixIndex::oldest_idle() const {
  if (oldest_ == kNone) return std::nullopt;
  return BlockId{oldest_};
}

std::vector<BlockHash> PrefixIndex::hashes() const {
  std::vector<BlockHash> hashes;
  hashes.reserve(num_cached_);
  for (const Entry& entry : entries_) {
    if (entry.cached) hashes.push_back(entry.hash);
  }
  std::ranges::sort(hashes);
  return hashes;
}

void PrefixIndex::check_integrity() const {
  std::uint32_t cached = 0;
  std::uint32_t idle = 0;
  for (std::uint32_t i = 0; i < entries_.size(); ++i) {
    const Entry& entry = entries_[i];
    HERD_CHECK(entry.cached || !entry.idle, "an idle block is not cached");
    cached += entry.cached ? 1 : 0;
    idle += entry.idle ? 1 : 0;
    HERD_CHECK(!entry.cached || find_hash(entry.hash) == BlockId{i}, "a cached block cannot be found");
  }
  HERD_CHECK(cached == num_cached_ && idle == num_idle_, "counts of the prefix index are off");
  const auto buckets =
      static_cast<std::uint32_t>(std::ranges::count_if(buckets_, [](std::uint32_t block) { return block != kNone; }));
  HERD_CHECK(buckets == num_cached_, "the hash table holds blocks that are not cached");
  std::uint32_t linked = 0;
  std::uint32_t before = kNone;
  for (std::uint32_t i = oldest_; i != kNone; i = entries_[i].newer) {
    HERD_CHECK(++linked <= num_idle_ && entries_[i].idle && entries_[i].older == before, "the idle list is broken");
    before = i;
  }
  HERD_CHECK(linked == num_idle_ && before == newest_, "the idle list misses a block");
}

}  // namespace herd::kv
