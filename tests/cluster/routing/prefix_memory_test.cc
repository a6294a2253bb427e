#include "cluster/routing/prefix_memory.h"

#include <gtest/gtest.h>

#include <numeric>
#include <vector>

#include "tests/cluster/routing/generations.h"

namespace herd::routing {
namespace {

std::vector<TokenId> tokens(std::size_t count, TokenId first = 0) {
  std::vector<TokenId> all(count);
  std::iota(all.begin(), all.end(), first);
  return all;
}

PromptPrefix of(const std::vector<TokenId>& prompt, std::uint64_t salt = 0, std::uint32_t block_size = 16) {
  return PromptPrefix::of(prompt, salt, block_size);
}
constexpr Instant kUsedAt{5};

TEST(PrefixMemory, KnowsTheLongestBeginningThatWasSent) {
  PrefixMemory memory;
  memory.remember(of(tokens(200)), kA, kUsedAt);
  auto prompt = tokens(1000);
  auto held = memory.find(of(prompt));
  ASSERT_TRUE(held);
  EXPECT_EQ(held->by, kA);
  EXPECT_EQ(held->tokens, 192U) << "whole pieces of 64";
  prompt[100] = 9999;
  EXPECT_EQ(memory.find(of(prompt))->tokens, 64U);
  prompt[0] = 9999;
  EXPECT_FALSE(memory.find(of(prompt)));
}

TEST(PrefixMemory, WhoWasSentItLastHoldsIt) {
  PrefixMemory memory;
  memory.remember(of(tokens(128)), kA, kUsedAt);
  memory.remember(of(tokens(64)), kB, kUsedAt);
  EXPECT_EQ(memory.find(of(tokens(64)))->by, kB);
  EXPECT_EQ(memory.find(of(tokens(128)))->by, kA) << "the longer beginning is its alone";
}

TEST(PrefixMemory, SaltsShareNothingAndShortPromptsHaveNoBeginning) {
  PrefixMemory memory;
  memory.remember(of(tokens(128), 1), kA, kUsedAt);
  EXPECT_FALSE(memory.find(of(tokens(128), 2)));
  EXPECT_FALSE(memory.find(of(tokens(63), 1)));
  EXPECT_FALSE(memory.find({}));
}

TEST(PrefixMemory, IsBoundedAndForgetsWhatWasSentLongestAgo) {
  PrefixMemory memory(1);
  memory.remember(of(tokens(64, 0)), kA, kUsedAt);
  memory.remember(of(tokens(64, 1000)), kA, kUsedAt);
  memory.remember(of(tokens(64, 0)), kB, kUsedAt);
  for (TokenId i = 2; i < 5; ++i) memory.remember(of(tokens(64, i * 1000)), kA, kUsedAt);
  EXPECT_EQ(memory.size(), 4U);
  EXPECT_TRUE(memory.find(of(tokens(64, 0)))) << "it was sent again";
  EXPECT_FALSE(memory.find(of(tokens(64, 1000))));
  PrefixMemory one;
  one.remember(of(tokens(100'000)), kA, kUsedAt);
  EXPECT_EQ(one.size(), PrefixMemory::kPiecesMax);
}

TEST(PrefixMemory, CountsInTheSamePiecesWhateverTheBlocks) {
  for (const std::uint32_t block_size : {16U, 32U, 64U}) {
    PrefixMemory memory;
    memory.remember(of(tokens(200), 0, block_size), kA, kUsedAt);
    EXPECT_EQ(memory.size(), 3U) << block_size;
    const auto held = memory.find(of(tokens(1000), 0, block_size));
    ASSERT_TRUE(held);
    EXPECT_EQ(held->tokens, 192U) << block_size;
    EXPECT_EQ(held->computed_by, kUsedAt);
  }
  PrefixMemory memory;
  memory.remember(of(tokens(300), 0, 128), kA, kUsedAt);
  EXPECT_EQ(memory.size(), 2U) << "a piece is never shorter than a block";
}

TEST(PromptPrefix, NamesEveryBlockUntilTheyAreTooMany) {
  EXPECT_TRUE(of(tokens(15)).empty());
  EXPECT_EQ(of(tokens(512 * 16)).stride, 1U);
  EXPECT_EQ(of(tokens(512 * 16)).keys.size(), 512U);
  const PromptPrefix longer = of(tokens(513 * 16));
  EXPECT_EQ(longer.stride, 2U);
  EXPECT_EQ(longer.keys.size(), 256U);
  EXPECT_EQ(longer.tokens_of(256), 512U * 16);
  EXPECT_EQ(longer.keys[0], of(tokens(512 * 16)).keys[1]) << "of the same beginning the same name";
  EXPECT_TRUE(of(tokens(100), 0, 0).empty()) << "nobody knows the blocks";
  const auto hashes = kv::hash_blocks(tokens(64), 16, 7);
  ASSERT_EQ(of(tokens(64), 7).keys.size(), hashes.size());
  for (std::size_t i = 0; i < hashes.size(); ++i) EXPECT_EQ(of(tokens(64), 7).keys[i], kv::key_of(hashes[i])) << "as caches name it";
}

}  // namespace
}  // namespace herd::routing
