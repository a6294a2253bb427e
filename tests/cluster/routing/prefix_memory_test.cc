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

std::vector<kv::BlockHash> of(const std::vector<TokenId>& prompt, std::uint64_t salt = 0) {
  return PrefixMemory::beginnings_of(prompt, salt);
}

TEST(PrefixMemory, KnowsTheLongestBeginningThatWasSent) {
  PrefixMemory memory;
  memory.remember(of(tokens(200)), kA);
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
  memory.remember(of(tokens(128)), kA);
  memory.remember(of(tokens(64)), kB);
  EXPECT_EQ(memory.find(of(tokens(64)))->by, kB);
  EXPECT_EQ(memory.find(of(tokens(128)))->by, kA) << "the longer beginning is its alone";
}

TEST(PrefixMemory, SaltsShareNothingAndShortPromptsHaveNoBeginning) {
  PrefixMemory memory;
  memory.remember(of(tokens(128), 1), kA);
  EXPECT_FALSE(memory.find(of(tokens(128), 2)));
  EXPECT_TRUE(of(tokens(63)).empty());
  EXPECT_FALSE(memory.find({}));
}

TEST(PrefixMemory, IsBoundedAndForgetsWhatWasSentLongestAgo) {
  PrefixMemory memory(4);
  memory.remember(of(tokens(64, 0)), kA);
  memory.remember(of(tokens(64, 1000)), kA);
  memory.remember(of(tokens(64, 0)), kB);
  for (TokenId i = 2; i < 5; ++i) memory.remember(of(tokens(64, i * 1000)), kA);
  EXPECT_EQ(memory.size(), 4U);
  EXPECT_TRUE(memory.find(of(tokens(64, 0)))) << "it was sent again";
  EXPECT_FALSE(memory.find(of(tokens(64, 1000))));
  EXPECT_EQ(of(tokens(100'000)).size(), PrefixMemory::kPiecesMax);
}

}  // namespace
}  // namespace herd::routing
