#pragma once
// BlockManager: gives sequences their KV blocks and shares full blocks of equal prefixes between them. It
// handles ids only; the memory behind them is kv_storage's. Paged blocks follow vLLM (Kwon et al. 2023),
// freeing the tail first follows nano-vllm's block_manager.
//
// When a block may be freed is the caller's knowledge: free() is called only after the last step that uses
// the table was acknowledged, on_computed() only with tokens whose rows are known to be computed and finite.

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "kernels/status.h"
#include "runtime/ids.h"
#include "runtime/kv/block_hash.h"
#include "runtime/kv/block_journal.h"
#include "runtime/kv/block_news.h"
#include "runtime/kv/block_pool.h"
#include "runtime/kv/prefix_index.h"

namespace herd::kv {

inline constexpr std::uint32_t kBlockSizeDefault = 16;
inline constexpr std::uint32_t kBlockSizeUnit = 16;
inline constexpr std::uint32_t kAttentionPartition = 512;  // positions; a block never straddles two

struct BlockManagerConfig {
  std::uint32_t block_size = kBlockSizeDefault;  // tokens; a multiple of 16 that divides 512
  std::uint32_t num_blocks = 0;
  bool prefix_caching = true;
  std::uint32_t hash_bits = 64;  // of each lane; tests lower it to provoke collisions
  bool operator==(const BlockManagerConfig&) const = default;

  [[nodiscard]] Status validate() const;
};

// The blocks of one sequence, in order; for its whole life, whose tokens only grow and whose salt is fixed.
// Changed by BlockManager only.
struct BlockTable {
  std::vector<BlockId> blocks;
  std::vector<BlockHash> hashes;       // memo: of the sequence's first full blocks; survives free()
  std::uint32_t published_blocks = 0;  // leading blocks that are cached, here or as an equal block elsewhere
  ParentRef published_last;            // the cached block equal to the last of those
};

struct Admission {
  std::uint32_t cached_blocks = 0;  // leading blocks of the table, already computed
  std::uint32_t cached_tokens = 0;
  bool operator==(const Admission&) const = default;
};

struct BlockStats {
  std::uint32_t num_blocks = 0;
  std::uint32_t num_free = 0;  // without content
  std::uint32_t num_idle = 0;  // cached, held by nobody: free after an eviction
  std::uint32_t num_held = 0;
  std::uint64_t query_tokens = 0;  // tokens of admitted sequences that asked the cache
  std::uint64_t hit_tokens = 0;    // of these, found
  std::uint64_t hit_blocks = 0;
  std::uint64_t miss_blocks = 0;  // full blocks of admitted sequences that were not found
  std::uint64_t published_blocks = 0;
  std::uint64_t evicted_blocks = 0;
  bool operator==(const BlockStats&) const = default;
};

// Pure machine. free + idle + held = num_blocks at all times.
class BlockManager {
 public:
  explicit BlockManager(const BlockManagerConfig& config);

  // Blocks that admit() or grow() could take now.
  [[nodiscard]] std::uint32_t num_available() const { return pool_.num_free() + index_.num_idle(); }
  [[nodiscard]] std::uint32_t blocks_for(std::uint64_t tokens) const {
    return static_cast<std::uint32_t>((tokens + config_.block_size - 1) / config_.block_size);
  }

  // Gives an empty table blocks for all `tokens` (at least one): first the cached prefix, then new ones. The
  // last token is never served from the cache, its row yields the next token. nullopt, and nothing changed,
  // when fewer than `blocks_left_min` blocks would stay available.
  [[nodiscard]] std::optional<Admission> admit(BlockTable& table, std::span<const TokenId> tokens, std::uint64_t salt,
                                               bool read_cache, std::uint32_t blocks_left_min);
  // How many leading blocks admit() would find in the cache.
  [[nodiscard]] std::uint32_t cached_blocks(BlockTable& table, std::span<const TokenId> tokens,
                                            std::uint64_t salt) const {
    return match(table, tokens, salt, blocks_below_last(tokens), nullptr).blocks;
  }
  // Of full block number `block` of the sequence; kept in the table.
  [[nodiscard]] const BlockHash& hash_of(BlockTable& table, std::span<const TokenId> tokens, std::uint64_t salt,
                                         std::uint32_t block) const;
  // For a chain whose blocks come from elsewhere: gives an empty table what is cached of the whole blocks of `tokens` (at least
  // one), their last included, and new blocks for the rest. on_computed() then publishes what has arrived. Returns how many
  // are cached, and counts as no query. nullopt, and nothing changed, when fewer than `blocks_left_min` blocks would stay
  // available.
  [[nodiscard]] std::optional<std::uint32_t> reserve(BlockTable& table, std::span<const TokenId> tokens, std::uint64_t salt,
                                                     std::uint32_t blocks_left_min);
  // For somebody who copies a cached chain and knows the hashes of its blocks: an empty table holds the leading ones that are
  // cached, until free(). Fewer where the next would leave less than `blocks_left_min` blocks available. Returns the tokens that
  // the blocks hold: equal hashes may be of other tokens, so whoever knows the sequence compares.
  [[nodiscard]] std::vector<TokenId> pin(BlockTable& table, std::span<const BlockHash> hashes, std::uint64_t salt,
                                         std::uint32_t blocks_left_min);
  // Adds blocks until the table covers `tokens` slots. False, and nothing changed, when there are too few.
  [[nodiscard]] bool grow(BlockTable& table, std::uint64_t tokens);
  // The rows of `tokens` (the sequence from its start) are computed and finite: publishes its full blocks.
  void on_computed(BlockTable& table, std::span<const TokenId> tokens, std::uint64_t salt);
  // Gives all blocks back, tail first, so that the head of a prefix outlives its tail.
  void free(BlockTable& table);
  // Blocks only this table holds: how many would become available by free().
  [[nodiscard]] std::uint32_t exclusive_blocks(const BlockTable& table) const;

  // What the prefix cache took up and gave up since the last time; an empty batch when nothing did.
  [[nodiscard]] BlockNews take_news();
  [[nodiscard]] bool has_news() const { return !journal_.empty(); }
  // All that is cached, for who has missed something. There is no news then: a block that came and went since the last batch would be
  // in this and in no batch.
  [[nodiscard]] BlockNews all_news() const;

  [[nodiscard]] BlockStats stats() const;
  [[nodiscard]] const BlockStats& counted() const { return counters_; }  // the counting fields of stats()
  [[nodiscard]] const PrefixIndex& index() const { return index_; }
  [[nodiscard]] const BlockPool& pool() const { return pool_; }

  void check_integrity() const;
  // Also: `tables` are all there are, so references are exactly their entries.
  void check_integrity(std::span<const BlockTable* const> tables) const;

 private:
  struct Match {
    std::uint32_t blocks = 0;
    std::uint32_t idle_blocks = 0;  // of these, held by nobody now
    ParentRef last;
  };

  // The longest cached prefix of `tokens` of at most `blocks_max` blocks; its block ids go to `blocks`.
  Match match(BlockTable& table, std::span<const TokenId> tokens, std::uint64_t salt, std::uint32_t blocks_max,
              std::vector<BlockId>* blocks) const;
  // Full blocks of a sequence that leave its last token out.
  [[nodiscard]] std::uint32_t blocks_below_last(std::span<const TokenId> tokens) const {
    return tokens.empty() ? 0 : static_cast<std::uint32_t>((tokens.size() - 1) / config_.block_size);
  }
  // The table holds what was found, which is all it lists yet, and new blocks up to `blocks`.
  void take_over(BlockTable& table, const Match& found, std::uint32_t blocks);
  void hold(BlockId block);
  [[nodiscard]] std::span<const TokenId> tokens_of(std::span<const TokenId> tokens, std::uint32_t block) const {
    return tokens.subspan(std::size_t{block} * config_.block_size, config_.block_size);
  }
  [[nodiscard]] bool fits(const Match& match, std::uint32_t blocks, std::uint32_t blocks_left_min) const;
  // A free block, evicting the oldest idle one if need be; the caller made sure that there is one.
  BlockId take();
  void unpublish(BlockId block);
  [[nodiscard]] bool alive(const ParentRef& parent) const;

  BlockManagerConfig config_;
  BlockPool pool_;
  PrefixIndex index_;
  BlockJournal journal_;  // of what is in the index
  BlockStats counters_;  // the counting fields only
};

}  // namespace herd::kv
