#include "runtime/kv/block_manager.h"

#include <algorithm>
#include <iterator>
#include <string>
#include <utility>

#include "kernels/check.h"

namespace herd::kv {

Status BlockManagerConfig::validate() const {
  if (block_size == 0 || block_size % kBlockSizeUnit != 0 || kAttentionPartition % block_size != 0) {
    return usage_error("block_size is " + std::to_string(block_size) + "; it must be 16, 32, 64, 128, 256 or 512");
  }
  if (num_blocks == 0) return usage_error("num_blocks is 0; there must be at least one KV block");
  if (num_blocks > (1U << 30)) return usage_error("num_blocks is above 2^30");
  if (hash_bits < 1 || hash_bits > 64) return usage_error("hash_bits is not in [1, 64]");
  return {};
}

BlockManager::BlockManager(const BlockManagerConfig& config)
    : config_(config),
      pool_(config.num_blocks),
      index_(config.num_blocks, config.block_size),
      journal_(std::size_t{2} * config.num_blocks) {
  HERD_CHECK(config.validate().ok(), "the block manager's config is not valid");
}

std::optional<Admission> BlockManager::admit(BlockTable& table, std::span<const TokenId> tokens, std::uint64_t salt,
                                             bool read_cache, std::uint32_t blocks_left_min) {
  HERD_CHECK(!tokens.empty() && table.blocks.empty(), "admission needs tokens and an empty table");
  const std::uint32_t blocks = blocks_for(tokens.size());
  // Cheap refusal before the prefix is looked at: even one new block would leave too few.
  if (num_available() < std::uint64_t{blocks_left_min} + 1) return std::nullopt;
  read_cache = read_cache && config_.prefix_caching;
  const Match found = read_cache ? match(table, tokens, salt, blocks_below_last(tokens), &table.blocks) : Match{};
  if (!fits(found, blocks, blocks_left_min)) {
    table.blocks.clear();
    return std::nullopt;
  }
  take_over(table, found, blocks);
  if (read_cache) {
    counters_.query_tokens += tokens.size();
    counters_.hit_tokens += std::uint64_t{found.blocks} * config_.block_size;
    counters_.hit_blocks += found.blocks;
    counters_.miss_blocks += tokens.size() / config_.block_size - found.blocks;
  }
  return Admission{found.blocks, found.blocks * config_.block_size};
}

std::optional<std::uint32_t> BlockManager::reserve(BlockTable& table, std::span<const TokenId> tokens, std::uint64_t salt,
                                                   std::uint32_t blocks_left_min) {
  HERD_CHECK(!tokens.empty() && tokens.size() % config_.block_size == 0 && table.blocks.empty(),
             "a reservation needs whole blocks and an empty table");
  const std::uint32_t blocks = blocks_for(tokens.size());
  const Match found = match(table, tokens, salt, blocks, &table.blocks);
  if (!fits(found, blocks, blocks_left_min)) {
    table.blocks.clear();
    return std::nullopt;
  }
  take_over(table, found, blocks);
  return found.blocks;
}

std::vector<TokenId> BlockManager::pin(BlockTable& table, std::span<const BlockHash> hashes, std::uint64_t salt,
                                       std::uint32_t blocks_left_min) {
  HERD_CHECK(table.blocks.empty(), "a pinned chain needs an empty table");
  std::vector<TokenId> tokens;
  ParentRef parent{true, {}, 0, salt};
  for (const BlockHash& hash : hashes) {
    const std::optional<BlockId> block = index_.find_hash(hash);
    if (!block || index_.parent(*block) != parent) break;
    if (index_.is_idle(*block) && num_available() < std::uint64_t{blocks_left_min} + 1) break;
    hold(*block);
    table.blocks.push_back(*block);
    std::ranges::copy(index_.tokens(*block), std::back_inserter(tokens));
    parent = {false, *block, pool_.generation(*block), 0};
  }
  return tokens;
}

void BlockManager::take_over(BlockTable& table, const Match& found, std::uint32_t blocks) {
  for (const BlockId block : table.blocks) hold(block);
  table.published_blocks = found.blocks;
  table.published_last = found.last;
  while (table.blocks.size() < blocks) table.blocks.push_back(take());
}

void BlockManager::hold(BlockId block) {
  if (index_.is_idle(block)) index_.on_held(block);
  pool_.retain(block);
}

bool BlockManager::grow(BlockTable& table, std::uint64_t tokens) {
  const std::uint32_t blocks = blocks_for(tokens);
  if (blocks <= table.blocks.size()) return true;
  if (blocks - table.blocks.size() > num_available()) return false;
  while (table.blocks.size() < blocks) table.blocks.push_back(take());
  return true;
}

void BlockManager::on_computed(BlockTable& table, std::span<const TokenId> tokens, std::uint64_t salt) {
  if (!config_.prefix_caching) return;
  const auto full = static_cast<std::uint32_t>(tokens.size() / config_.block_size);
  HERD_CHECK(full <= table.blocks.size(), "more is computed than the table holds");
  if (table.published_blocks >= full) return;
  // The cached block this chain hung on may have been another sequence's equal one, evicted meanwhile: start over.
  if (table.published_blocks > 0 && !alive(table.published_last)) table.published_blocks = 0;
  for (; table.published_blocks < full; ++table.published_blocks) {
    const std::uint32_t i = table.published_blocks;
    const BlockId block = table.blocks[i];
    const ParentRef parent = i == 0 ? ParentRef{true, {}, 0, salt} : table.published_last;
    const BlockHash& hash = hash_of(table, tokens, salt, i);
    std::optional<BlockId> cached = index_.find(hash, tokens_of(tokens, i), parent);
    if (!cached) {
      // Whatever stands under this hash has other tokens or another life's parent: the newer content wins.
      if (const auto other = index_.find_hash(hash)) unpublish(*other);
      index_.insert(block, hash, tokens_of(tokens, i), parent);
      journal_.on_stored(key_of(hash));
      ++counters_.published_blocks;
      cached = block;
    }
    table.published_last = {false, *cached, pool_.generation(*cached), 0};
  }
}

void BlockManager::free(BlockTable& table) {
  for (auto block = table.blocks.rbegin(); block != table.blocks.rend(); ++block) {
    if (pool_.drop(*block) > 0) continue;
    if (index_.contains(*block)) {
      index_.on_idle(*block);
    } else {
      pool_.free(*block);
    }
  }
  table.blocks.clear();
  table.published_blocks = 0;
  table.published_last = {};
}

std::uint32_t BlockManager::exclusive_blocks(const BlockTable& table) const {
  return static_cast<std::uint32_t>(
      std::ranges::count_if(table.blocks, [this](BlockId block) { return pool_.references(block) == 1; }));
}

BlockNews BlockManager::take_news() {
  std::optional<BlockNews> news = journal_.take();
  if (!news) return all_news();
  news->block_size = config_.block_size;
  news->num_blocks = config_.num_blocks;
  return std::move(*news);
}

BlockNews BlockManager::all_news() const {
  HERD_CHECK(journal_.empty(), "all there is is told when no news is left to tell");
  BlockNews news{BlockNews::Kind::kAll, journal_.number(), config_.block_size, config_.num_blocks, {}, {}};
  for (const BlockHash& hash : index_.hashes()) news.stored.push_back(key_of(hash));
  return news;
}

BlockStats BlockManager::stats() const {
  BlockStats stats = counters_;
  stats.num_blocks = pool_.num_blocks();
  stats.num_free = pool_.num_free();
  stats.num_idle = index_.num_idle();
  stats.num_held = stats.num_blocks - stats.num_free - stats.num_idle;
  return stats;
}

void BlockManager::check_integrity() const {
  pool_.check_integrity();
  index_.check_integrity();
  for (std::uint32_t i = 0; i < pool_.num_blocks(); ++i) {
    const BlockId block{i};
    const bool idle = index_.is_idle(block);
    HERD_CHECK(!pool_.is_free(block) || !index_.contains(block), "a free block is cached");
    HERD_CHECK((pool_.is_free(block) || idle) == (pool_.references(block) == 0),
               "a block is neither free, idle nor held");
  }
}

void BlockManager::check_integrity(std::span<const BlockTable* const> tables) const {
  check_integrity();
  std::vector<std::uint32_t> references(pool_.num_blocks());
  for (const BlockTable* table : tables) {
    for (const BlockId block : table->blocks) ++references[block.value];
  }
  for (std::uint32_t i = 0; i < pool_.num_blocks(); ++i) {
    HERD_CHECK(references[i] == pool_.references(BlockId{i}), "references and block tables differ");
  }
}

BlockManager::Match BlockManager::match(BlockTable& table, std::span<const TokenId> tokens, std::uint64_t salt,
                                        std::uint32_t blocks_max, std::vector<BlockId>* blocks) const {
  Match match;
  if (!config_.prefix_caching || tokens.empty()) return match;
  match.last = {true, {}, 0, salt};
  for (; match.blocks < blocks_max; ++match.blocks) {
    const std::uint32_t i = match.blocks;
    const std::optional<BlockId> block = index_.find(hash_of(table, tokens, salt, i), tokens_of(tokens, i), match.last);
    if (!block) break;
    match.last = {false, *block, pool_.generation(*block), 0};
    match.idle_blocks += index_.is_idle(*block) ? 1 : 0;
    if (blocks != nullptr) blocks->push_back(*block);
  }
  return match;
}

const BlockHash& BlockManager::hash_of(BlockTable& table, std::span<const TokenId> tokens, std::uint64_t salt,
                                       std::uint32_t block) const {
  const std::uint64_t mask = ~std::uint64_t{0} >> (64 - config_.hash_bits);
  while (table.hashes.size() <= block) {
    const auto next = static_cast<std::uint32_t>(table.hashes.size());
    BlockHash hash = chain_hash(next == 0 ? root_hash(salt) : table.hashes.back(), tokens_of(tokens, next));
    hash = {hash.high & mask, hash.low & mask};
    table.hashes.push_back(hash);
  }
  return table.hashes[block];
}

bool BlockManager::fits(const Match& match, std::uint32_t blocks, std::uint32_t blocks_left_min) const {
  const std::uint64_t taken = std::uint64_t{blocks} - match.blocks + match.idle_blocks;
  return taken + blocks_left_min <= num_available();
}

BlockId BlockManager::take() {
  if (pool_.num_free() == 0) {
    const std::optional<BlockId> oldest = index_.oldest_idle();
    HERD_CHECK(oldest.has_value(), "no block is available");
    unpublish(*oldest);
    ++counters_.evicted_blocks;
  }
  return *pool_.take();
}

void BlockManager::unpublish(BlockId block) {
  const bool idle = index_.is_idle(block);
  journal_.on_evicted(key_of(index_.hash_of(block)));
  index_.erase(block);
  if (idle) pool_.free(block);
}

bool BlockManager::alive(const ParentRef& parent) const {
  return parent.root || (index_.contains(parent.block) && pool_.generation(parent.block) == parent.generation);
}

}  // namespace herd::kv
