#pragma once
// PrefixIndex: finds the cached block with a given content, and says which idle one to give up first.
//
// A find is exact whatever the quality of the hash: the entry must hold the same tokens and follow the same
// cached block (id and generation), which by induction back to the salt means the same whole prefix. When a
// parent is evicted its children can no longer be found; they age out.

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "runtime/ids.h"
#include "runtime/kv/block_hash.h"

namespace herd::kv {

// What a cached block follows: another cached block in one of its lives, or the start of a chain.
struct ParentRef {
  bool root = true;
  BlockId block;                 // !root
  std::uint32_t generation = 0;  // !root
  std::uint64_t salt = 0;        // root
  bool operator==(const ParentRef&) const = default;
};

// Pure machine. Every operation is O(1) but for the tokens of one block; none allocates after construction.
class PrefixIndex {
 public:
  PrefixIndex(std::uint32_t num_blocks, std::uint32_t block_size);

  // The cached block with this content and parent.
  [[nodiscard]] std::optional<BlockId> find(const BlockHash& hash, std::span<const TokenId> tokens,
                                            const ParentRef& parent) const;
  // The cached block with this hash, verified or not.
  [[nodiscard]] std::optional<BlockId> find_hash(const BlockHash& hash) const;

  // `block` is not cached, nothing cached has this hash. The block starts as held.
  void insert(BlockId block, const BlockHash& hash, std::span<const TokenId> tokens, const ParentRef& parent);
  void erase(BlockId block);
  [[nodiscard]] bool contains(BlockId block) const { return entries_[block.value].cached; }
  [[nodiscard]] const BlockHash& hash_of(BlockId block) const { return entries_[block.value].hash; }  // of a cached one
  // Of a cached block: what it follows, and the tokens it holds.
  [[nodiscard]] const ParentRef& parent(BlockId block) const { return entries_[block.value].parent; }
  [[nodiscard]] std::span<const TokenId> tokens(BlockId block) const { return tokens_of(block.value); }

  // A cached block lost its last holder: it may be evicted, after all that became idle before it.
  void on_idle(BlockId block);
  // An idle block is held again.
  void on_held(BlockId block);
  // The block idle for longest.
  [[nodiscard]] std::optional<BlockId> oldest_idle() const;

  [[nodiscard]] bool is_idle(BlockId block) const { return entries_[block.value].idle; }
  [[nodiscard]] std::uint32_t num_idle() const { return num_idle_; }
  // Of every cached block, ascending; what a replica tells the cluster's prefix directory.
  [[nodiscard]] std::vector<BlockHash> hashes() const;

  void check_integrity() const;

 private:
  static constexpr std::uint32_t kNone = 0xFFFFFFFF;
  struct Entry {
    BlockHash hash;
    ParentRef parent;
    std::uint32_t older = kNone;  // neighbours in the list of idle blocks
    std::uint32_t newer = kNone;
    bool cached = false;
    bool idle = false;
  };

  [[nodiscard]] std::uint32_t bucket_of(const BlockHash& hash) const {
    return static_cast<std::uint32_t>(hash.low) & bucket_mask_;
  }
  [[nodiscard]] std::span<const TokenId> tokens_of(std::uint32_t block) const {
    return {tokens_.data() + std::size_t{block} * block_size_, block_size_};
  }

  std::uint32_t block_size_;
  std::uint32_t bucket_mask_;
  std::uint32_t oldest_ = kNone;
  std::uint32_t newest_ = kNone;
  std::uint32_t num_idle_ = 0;
  std::uint32_t num_cached_ = 0;
  std::vector<Entry> entries_;          // by block
  std::vector<TokenId> tokens_;         // [num_blocks, block_size]
  std::vector<std::uint32_t> buckets_;  // open addressing, linear probing, at most half full; block or kNone
};

}  // namespace herd::kv
