#include "runtime/kv/block_hash.h"

#include <bit>
#include <set>

#include <gtest/gtest.h>

namespace herd::kv {
namespace {

std::vector<TokenId> counting(std::uint32_t count) {
  std::vector<TokenId> tokens;
  for (std::uint32_t i = 0; i < count; ++i) tokens.push_back(static_cast<TokenId>(i * 7 + 1));
  return tokens;
}

TEST(BlockHash, NamesOnlyFullBlocks) {
  EXPECT_TRUE(hash_blocks(counting(15), 16, 0).empty());
  EXPECT_EQ(hash_blocks(counting(47), 16, 0).size(), 2U);
}

TEST(BlockHash, DependsOnSaltAndOnEveryEarlierToken) {
  const std::vector<TokenId> tokens = counting(64);
  const std::vector<BlockHash> hashes = hash_blocks(tokens, 16, 0);
  EXPECT_NE(hash_blocks(tokens, 16, 1), hashes);
  for (std::size_t changed = 0; changed < tokens.size(); ++changed) {
    std::vector<TokenId> other = tokens;
    ++other[changed];
    const std::vector<BlockHash> others = hash_blocks(other, 16, 0);
    for (std::size_t i = 0; i < hashes.size(); ++i) EXPECT_EQ(others[i] == hashes[i], changed / 16 > i);
  }
}

TEST(BlockHash, OfLongerPromptStartsWithThoseOfItsPrefix) {
  const std::vector<BlockHash> longer = hash_blocks(counting(80), 16, 9);
  std::vector<BlockHash> shorter = hash_blocks(counting(50), 16, 9);
  EXPECT_TRUE(std::equal(shorter.begin(), shorter.end(), longer.begin()));
}

// Hashes travel between replicas and builds; a change of this value is a change of protocol.
TEST(BlockHash, IsTheSameInEveryBuild) {
  const BlockHash hash = hash_blocks(counting(16), 16, 5).front();
  EXPECT_EQ(hash.high, 8387198525267178172U);
  EXPECT_EQ(hash.low, 13387450823788047905U);
}

// Every single-bit change of tokens or parent flips about half of the 128 bits: 64 +- 5.7; over 640 changes the mean
// lies within 64 +- 1 (4 sigma), and none is below 64 - 6 * 5.7.
TEST(BlockHash, OneChangedBitFlipsHalfOfBothLanes) {
  const std::vector<TokenId> tokens = counting(16);
  const BlockHash root = root_hash(0);
  const BlockHash hash = chain_hash(root, tokens);
  double flips = 0;
  int changes = 0;
  const auto count = [&](const BlockHash& other) {
    const int high = std::popcount(other.high ^ hash.high);
    const int low = std::popcount(other.low ^ hash.low);
    EXPECT_GT(high, 8);
    EXPECT_GT(low, 8);
    EXPECT_GT(high + low, 30);
    flips += high + low;
    ++changes;
  };
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    for (int bit = 0; bit < 32; ++bit) {
      std::vector<TokenId> other = tokens;
      other[i] = static_cast<TokenId>(static_cast<std::uint32_t>(other[i]) ^ (1U << bit));
      count(chain_hash(root, other));
    }
  }
  for (int bit = 0; bit < 64; ++bit) {
    count(chain_hash({root.high ^ (std::uint64_t{1} << bit), root.low}, tokens));
    count(chain_hash({root.high, root.low ^ (std::uint64_t{1} << bit)}, tokens));
  }
  EXPECT_NEAR(flips / changes, 64.0, 1.0);
}

// 10^5 chains over a small alphabet: each lane alone has no collision (expected 10^10 / 2^65 < 10^-9).
TEST(BlockHash, LanesDoNotCollideOnSimilarBlocks) {
  std::set<std::uint64_t> high;
  std::set<std::uint64_t> low;
  constexpr std::size_t kChains = 100000;
  for (std::size_t i = 0; i < kChains; ++i) {
    std::vector<TokenId> tokens(16, 0);
    for (std::size_t digit = 0, rest = i; digit < 17 && rest > 0; ++digit, rest /= 2) {
      tokens[15 - digit % 16] += static_cast<TokenId>((rest % 2) << (digit / 16));
    }
    const BlockHash hash = chain_hash(root_hash(0), tokens);
    high.insert(hash.high);
    low.insert(hash.low);
  }
  EXPECT_EQ(high.size(), kChains);
  EXPECT_EQ(low.size(), kChains);
}

}  // namespace
}  // namespace herd::kv
