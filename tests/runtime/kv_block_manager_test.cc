#include "runtime/kv/block_manager.h"

#include <gtest/gtest.h>

namespace herd::kv {
namespace {

BlockManager manager_of(std::uint32_t num_blocks, std::uint32_t hash_bits = 64) {
  return BlockManager({16, num_blocks, true, hash_bits});
}

// `count` tokens that all equal `token`.
std::vector<TokenId> run_of(TokenId token, std::uint32_t count) { return std::vector<TokenId>(count, token); }

std::vector<TokenId> joined(std::vector<TokenId> a, const std::vector<TokenId>& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

// Admits, computes and frees: leaves the full blocks in the cache.
void cache(BlockManager& manager, const std::vector<TokenId>& tokens, std::uint64_t salt = 0) {
  BlockTable table;
  ASSERT_TRUE(manager.admit(table, tokens, salt, true, 0));
  manager.on_computed(table, tokens, salt);
  manager.free(table);
}

TEST(BlockManagerConfig, RefusesBlockSizesThatStraddleAttentionPartitions) {
  for (const std::uint32_t size : {16U, 32U, 64U, 128U, 256U, 512U})
    EXPECT_TRUE((BlockManagerConfig{size, 1}.validate().ok()));
  for (const std::uint32_t size : {0U, 8U, 24U, 48U, 1024U})
    EXPECT_FALSE((BlockManagerConfig{size, 1}.validate().ok()));
  EXPECT_FALSE((BlockManagerConfig{16, 0}.validate().ok()));
}

TEST(BlockManager, SharesFullBlocksOfAnEqualPrefix) {
  BlockManager manager = manager_of(8);
  const std::vector<TokenId> tokens = joined(run_of(1, 32), run_of(2, 5));
  BlockTable first, second;
  EXPECT_EQ(manager.admit(first, tokens, 0, true, 0), (Admission{0, 0}));
  manager.on_computed(first, tokens, 0);
  EXPECT_EQ(manager.admit(second, tokens, 0, true, 0), (Admission{2, 32}));
  EXPECT_EQ(first.blocks[0], second.blocks[0]);
  EXPECT_EQ(first.blocks[1], second.blocks[1]);
  EXPECT_NE(first.blocks[2], second.blocks[2]) << "the block that is not full is never shared";
  EXPECT_EQ(manager.stats().num_held, 4U);
  const BlockTable* tables[] = {&first, &second};
  manager.check_integrity(tables);
}

TEST(BlockManager, NeverServesTheWholePromptFromTheCache) {
  BlockManager manager = manager_of(8);
  cache(manager, run_of(1, 48));
  BlockTable table;
  EXPECT_EQ(manager.admit(table, run_of(1, 48), 0, true, 0)->cached_tokens, 32U);
}

TEST(BlockManager, FindsNothingBeforeTheBlockIsComputed) {
  BlockManager manager = manager_of(8);
  BlockTable first, second;
  ASSERT_TRUE(manager.admit(first, run_of(1, 40), 0, true, 0));
  manager.on_computed(first, run_of(1, 20), 0);
  EXPECT_EQ(manager.admit(second, run_of(1, 40), 0, true, 0)->cached_tokens, 16U);
}

TEST(BlockManager, KeepsSaltsApart) {
  BlockManager manager = manager_of(8);
  cache(manager, run_of(1, 33), 7);
  BlockTable other, same;
  EXPECT_EQ(manager.admit(other, run_of(1, 33), 8, true, 0)->cached_tokens, 0U);
  EXPECT_EQ(manager.admit(same, run_of(1, 33), 7, true, 0)->cached_tokens, 32U);
}

TEST(BlockManager, DoesNotReadTheCacheWhenAskedNotTo) {
  BlockManager manager = manager_of(8);
  cache(manager, run_of(1, 33));
  BlockTable table;
  EXPECT_EQ(manager.admit(table, run_of(1, 33), 0, false, 0)->cached_tokens, 0U);
}

// Pool of 4, prompt of three full blocks cached and idle.
//   then    a prompt of two other blocks needs one more than is free
//   expect  the tail is evicted, the first two blocks still hit
TEST(BlockManager, EvictsTheTailOfAPrefixBeforeItsHead) {
  BlockManager manager = manager_of(4);
  cache(manager, run_of(1, 48));
  BlockTable other, again;
  ASSERT_TRUE(manager.admit(other, run_of(2, 20), 0, true, 0));
  EXPECT_EQ(manager.stats().evicted_blocks, 1U);
  EXPECT_EQ(manager.admit(again, run_of(1, 33), 0, true, 0), std::nullopt) << "two hits, but no third block";
  manager.free(other);
  EXPECT_EQ(manager.admit(again, run_of(1, 33), 0, true, 0)->cached_tokens, 32U);
}

TEST(BlockManager, EvictsTheLeastRecentlyUsedPrefix) {
  BlockManager manager = manager_of(4);
  cache(manager, run_of(1, 17));
  cache(manager, run_of(2, 17));
  cache(manager, run_of(1, 17));  // used again
  BlockTable large, first, second;
  ASSERT_TRUE(manager.admit(large, run_of(3, 48), 0, true, 0));
  manager.free(large);
  EXPECT_EQ(manager.admit(first, run_of(1, 17), 0, true, 0)->cached_tokens, 16U);
  EXPECT_EQ(manager.admit(second, run_of(2, 17), 0, true, 0)->cached_tokens, 0U);
}

TEST(BlockManager, FreeingOneHolderKeepsTheSharedPrefix) {
  BlockManager manager = manager_of(8);
  const std::vector<TokenId> tokens = run_of(1, 33);
  BlockTable first, second, third;
  ASSERT_TRUE(manager.admit(first, tokens, 0, true, 0));
  manager.on_computed(first, tokens, 0);
  ASSERT_TRUE(manager.admit(second, tokens, 0, true, 0));
  manager.free(first);
  ASSERT_TRUE(manager.admit(third, run_of(2, 80), 0, true, 0));
  EXPECT_EQ(manager.stats().evicted_blocks, 0U);
  EXPECT_FALSE(manager.grow(third, 97)) << "held blocks are never evicted";
  EXPECT_EQ(third.blocks.size(), 5U);
}

TEST(BlockManager, RefusesWithoutAChangeWhenBlocksDoNotSuffice) {
  BlockManager manager = manager_of(4);
  cache(manager, run_of(1, 32));
  const BlockStats before = manager.stats();
  BlockTable table;
  EXPECT_FALSE(manager.admit(table, run_of(1, 65), 0, true, 0));
  EXPECT_FALSE(manager.admit(table, run_of(1, 33), 0, true, 2)) << "one block would be left, two are asked for";
  EXPECT_EQ(manager.stats(), before);
  EXPECT_TRUE(table.blocks.empty());
  EXPECT_TRUE(manager.admit(table, run_of(1, 33), 0, true, 1));
}

// Two sequences compute the same block before either is published: the first stays, the second's copy is private.
TEST(BlockManager, KeepsTheFirstOfTwoEqualBlocks) {
  BlockManager manager = manager_of(8);
  const std::vector<TokenId> tokens = joined(run_of(1, 16), run_of(2, 17));
  BlockTable first, second, third;
  ASSERT_TRUE(manager.admit(first, tokens, 0, true, 0));
  ASSERT_TRUE(manager.admit(second, tokens, 0, true, 0));
  manager.on_computed(first, std::span(tokens).first(16), 0);
  manager.on_computed(second, tokens, 0);  // its second block follows the first sequence's first block
  ASSERT_TRUE(manager.admit(third, tokens, 0, true, 0));
  EXPECT_EQ(third.blocks[0], first.blocks[0]);
  EXPECT_EQ(third.blocks[1], second.blocks[1]);
}

// As above, but the first's block is evicted while the second still computes: its chain is published anew.
TEST(BlockManager, PublishesAChainAnewWhenTheEqualBlockItHungOnIsGone) {
  BlockManager manager = manager_of(5);
  const std::vector<TokenId> tokens = joined(run_of(1, 16), run_of(2, 17));
  BlockTable first, second, other, again;
  ASSERT_TRUE(manager.admit(first, std::span(tokens).first(17), 0, true, 0));
  ASSERT_TRUE(manager.admit(second, tokens, 0, true, 0));
  manager.on_computed(first, std::span(tokens).first(17), 0);
  manager.on_computed(second, std::span(tokens).first(17), 0);
  manager.free(first);
  ASSERT_TRUE(manager.admit(other, run_of(3, 20), 0, true, 0));  // evicts it
  EXPECT_EQ(manager.stats().evicted_blocks, 1U);
  manager.on_computed(second, tokens, 0);
  manager.free(other);
  EXPECT_EQ(manager.admit(again, tokens, 0, true, 0)->cached_blocks, 2U);
  EXPECT_EQ(again.blocks[0], second.blocks[0]);
}

// One hash bit a lane: nearly everything collides. A collision may cost a hit, it never gives a wrong block.
TEST(BlockManager, NeverServesAnotherPrefixOnAHashCollision) {
  BlockManager manager = manager_of(64, 1);
  for (TokenId token = 0; token < 20; ++token) {
    BlockTable table;
    ASSERT_EQ(manager.admit(table, run_of(token, 33), 0, true, 0)->cached_tokens, 0U);
    manager.on_computed(table, run_of(token, 33), 0);
    manager.free(table);
    manager.check_integrity();
  }
}

TEST(BlockManager, PublishesNothingWithoutPrefixCaching) {
  BlockManager manager({16, 8, false, 64});
  cache(manager, run_of(1, 33));
  EXPECT_EQ(manager.stats().num_free, 8U);
  BlockTable table;
  EXPECT_EQ(manager.admit(table, run_of(1, 33), 0, true, 0)->cached_tokens, 0U);
}

TEST(BlockManager, CountsHitsAndMissesInBlocksAndTokens) {
  BlockManager manager = manager_of(8);
  cache(manager, run_of(1, 33));
  cache(manager, joined(run_of(1, 16), run_of(2, 20)));
  const BlockStats stats = manager.stats();
  EXPECT_EQ(stats.query_tokens, 33U + 36U);
  EXPECT_EQ(stats.hit_tokens, 16U);
  EXPECT_EQ(stats.hit_blocks, 1U);
  EXPECT_EQ(stats.miss_blocks, 2U + 1U);
  EXPECT_EQ(stats.published_blocks, 3U);
  EXPECT_EQ(manager.index().hashes().size(), 3U);
}

// Another replica's blocks: a chain of which the first block is cached here.
TEST(BlockManager, ReservesWholeBlocksBehindWhatIsCached) {
  BlockManager manager = manager_of(8);
  cache(manager, run_of(1, 17));
  const BlockStats before = manager.stats();
  const std::vector<TokenId> chain = run_of(1, 48);
  BlockTable import, again;
  EXPECT_EQ(manager.reserve(import, chain, 0, 0), 1U);
  EXPECT_EQ(import.blocks.size(), 3U);
  EXPECT_EQ(manager.stats().num_held, 3U);
  EXPECT_EQ(manager.stats().query_tokens, before.query_tokens) << "a transfer asks nothing";
  manager.on_computed(import, std::span(chain).first(32), 0);
  EXPECT_EQ(import.published_blocks, 2U);
  EXPECT_EQ(manager.reserve(again, chain, 0, 0), 2U);
  manager.on_computed(import, chain, 0);
  manager.free(again);
  EXPECT_EQ(manager.reserve(again, chain, 0, 0), 3U) << "the last block too: its rows are there";
  EXPECT_EQ(again.blocks, import.blocks);
  const BlockTable* tables[] = {&import, &again};
  manager.check_integrity(tables);
}

TEST(BlockManager, ReservesNothingWhereTooLittleWouldBeLeft) {
  BlockManager manager = manager_of(4);
  cache(manager, run_of(1, 17));
  const BlockStats before = manager.stats();
  BlockTable table;
  EXPECT_FALSE(manager.reserve(table, run_of(1, 48), 0, 2));
  EXPECT_TRUE(table.blocks.empty());
  EXPECT_EQ(manager.stats(), before);
  EXPECT_EQ(manager.reserve(table, run_of(1, 48), 0, 1), 1U);
}

TEST(BlockManager, PinsACachedChainByItsHashesAndSaysItsTokens) {
  BlockManager manager = manager_of(4);
  const std::vector<TokenId> tokens = joined(run_of(1, 16), run_of(2, 16));
  cache(manager, joined(tokens, run_of(5, 3)), 7);
  std::vector<BlockHash> hashes = hash_blocks(joined(tokens, run_of(3, 16)), 16, 7);
  BlockTable pinned, other;
  EXPECT_EQ(manager.pin(other, hashes, 8, 0), std::vector<TokenId>()) << "another salt's";
  EXPECT_EQ(manager.pin(pinned, hashes, 7, 0), tokens) << "the third block is not there";
  EXPECT_EQ(pinned.blocks.size(), 2U);
  EXPECT_FALSE(manager.admit(other, run_of(4, 48), 0, true, 0)) << "pinned blocks are never evicted";
  const BlockTable* tables[] = {&pinned, &other};
  manager.check_integrity(tables);
  manager.free(pinned);
  EXPECT_TRUE(manager.admit(other, run_of(4, 48), 0, true, 0));
  EXPECT_EQ(manager.pin(pinned, hashes, 7, 0), run_of(1, 16)) << "the tail was evicted";
  hashes.erase(hashes.begin());
  manager.free(pinned);
  EXPECT_EQ(manager.pin(pinned, hashes, 7, 0), std::vector<TokenId>()) << "a chain begins at its root";
}

TEST(BlockManager, PinsOnlyWhatLeavesEnoughAvailable) {
  BlockManager manager = manager_of(4);
  cache(manager, run_of(1, 49));
  const std::vector<BlockHash> hashes = hash_blocks(run_of(1, 48), 16, 0);
  BlockTable running, pinned;
  EXPECT_EQ(manager.pin(pinned, hashes, 0, 2), run_of(1, 32));
  manager.free(pinned);
  ASSERT_TRUE(manager.admit(running, run_of(1, 33), 0, true, 0));
  EXPECT_EQ(manager.pin(pinned, hashes, 0, 1), run_of(1, 32)) << "what others hold costs nothing, the third block does";
}

TEST(BlockManagerDeathTest, RefusesToFreeABlockTwice) {
  BlockManager manager = manager_of(2);
  BlockTable table;
  ASSERT_TRUE(manager.admit(table, run_of(1, 10), 0, true, 0));
  BlockTable copy = table;
  manager.free(table);
  EXPECT_DEATH(manager.free(copy), "cannot be dropped");
}

}  // namespace
}  // namespace herd::kv
