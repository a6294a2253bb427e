#include "cluster/routing/prefix_directory.h"

#include <gtest/gtest.h>

#include <map>
#include <numeric>
#include <random>
#include <set>
#include <vector>

#include "tests/cluster/routing/generations.h"

namespace herd::routing {
namespace {

using Kind = kv::BlockNews::Kind;

kv::BlockNews news(Kind kind, std::uint64_t number, std::vector<kv::BlockKey> stored, std::vector<kv::BlockKey> evicted = {},
                   std::uint32_t num_blocks = 1000) {
  return {kind, number, 16, num_blocks, std::move(stored), std::move(evicted)};
}

PromptPrefix prompt(std::size_t blocks, TokenId first = 0) {
  std::vector<TokenId> tokens(blocks * 16);
  std::iota(tokens.begin(), tokens.end(), first);
  return PromptPrefix::of(tokens, 0, 16);
}
std::vector<kv::BlockKey> first_keys(const PromptPrefix& prompt, std::size_t count) {
  return {prompt.keys.begin(), prompt.keys.begin() + static_cast<std::ptrdiff_t>(count)};
}

TEST(PrefixDirectory, SaysHowMuchOfAPromptEachReplicaHolds) {
  PrefixDirectory directory;
  EXPECT_EQ(directory.block_size(), 0U);
  const PromptPrefix asked = prompt(100);
  ASSERT_TRUE(directory.on_news(kA, news(Kind::kAll, 0, first_keys(asked, 60))));
  ASSERT_TRUE(directory.on_news(kB, news(Kind::kAll, 4, first_keys(asked, 7))));
  ASSERT_TRUE(directory.on_news(generation(5), news(Kind::kAll, 0, {})));
  EXPECT_EQ(directory.block_size(), 16U);
  auto holders = directory.find(asked);
  ASSERT_EQ(holders.size(), 2U);
  EXPECT_EQ(holders[0].replica, kA);
  EXPECT_EQ(holders[0].tokens, 960U);
  EXPECT_EQ(holders[1].replica, kB);
  EXPECT_EQ(holders[1].tokens, 112U);
  EXPECT_TRUE(directory.find(prompt(100, 5000)).empty());
  EXPECT_TRUE(directory.find({}).empty());
  // Evicted from the end, as caches do.
  ASSERT_TRUE(directory.on_news(kA, news(Kind::kChanges, 1, {}, {asked.keys.begin() + 50, asked.keys.begin() + 60})));
  EXPECT_EQ(directory.find(asked)[0].tokens, 800U);
  directory.check_integrity();
  // A long prompt is asked for in strides.
  const PromptPrefix longer = prompt(2000);
  ASSERT_EQ(longer.stride, 4U);
  EXPECT_EQ(directory.find(longer)[0].tokens, 768U) << "50 blocks are 12 strides";
}

TEST(PrefixDirectory, WhoLosesTheFirstBlockHoldsNothingOfThePrompt) {
  PrefixDirectory directory;
  const PromptPrefix asked = prompt(10);
  ASSERT_TRUE(directory.on_news(kA, news(Kind::kAll, 0, first_keys(asked, 10))));
  ASSERT_TRUE(directory.on_news(kA, news(Kind::kChanges, 1, {}, {asked.keys[0]})));
  EXPECT_TRUE(directory.find(asked).empty());
}

TEST(PrefixDirectory, AGapIsNoticedAndAllThatIsKnownForgotten) {
  PrefixDirectory directory;
  EXPECT_FALSE(directory.on_news(kA, news(Kind::kChanges, 1, {1}))) << "it has not told what it holds";
  EXPECT_FALSE(directory.knows(kA));
  ASSERT_TRUE(directory.on_news(kA, news(Kind::kAll, 7, {1, 2})));
  ASSERT_TRUE(directory.on_news(kA, news(Kind::kMore, 7, {3})));
  ASSERT_TRUE(directory.on_news(kA, news(Kind::kChanges, 8, {4}, {1})));
  ASSERT_TRUE(directory.on_news(kA, news(Kind::kMore, 8, {5})));
  EXPECT_EQ(directory.blocks(kA), 4U);
  ASSERT_TRUE(directory.on_news(kB, news(Kind::kAll, 1, {2, 5})));
  EXPECT_FALSE(directory.on_news(kA, news(Kind::kChanges, 10, {6})));
  EXPECT_FALSE(directory.knows(kA));
  EXPECT_EQ(directory.blocks(kA), 0U);
  EXPECT_EQ(directory.blocks(kB), 2U);
  EXPECT_FALSE(directory.on_news(kA, news(Kind::kMore, 10, {7}))) << "of what was missed";
  ASSERT_TRUE(directory.on_news(kA, news(Kind::kAll, 10, {9})));
  EXPECT_TRUE(directory.holds(kA, 9));
  EXPECT_FALSE(directory.holds(kA, 4));
  EXPECT_FALSE(directory.on_news(kA, news(Kind::kChanges, 10, {3}))) << "a batch twice is one missing elsewhere";
  directory.check_integrity();
}

TEST(PrefixDirectory, TellingTwiceChangesNothing) {
  PrefixDirectory directory;
  ASSERT_TRUE(directory.on_news(kA, news(Kind::kAll, 0, {1, 1, 2})));
  ASSERT_TRUE(directory.on_news(kA, news(Kind::kChanges, 1, {2}, {3})));
  EXPECT_EQ(directory.blocks(kA), 2U);
  ASSERT_TRUE(directory.on_news(kA, news(Kind::kChanges, 2, {}, {2})));
  EXPECT_EQ(directory.blocks(kA), 1U);
  directory.check_integrity();
}

TEST(PrefixDirectory, CostsAtMostWhatItSaysAndLeavesOutWhatDoesNotFit) {
  PrefixDirectory directory(4000);
  std::vector<kv::BlockKey> keys(3000);
  std::mt19937_64 random(1);
  for (kv::BlockKey& key : keys) key = random();
  ASSERT_TRUE(directory.on_news(kA, news(Kind::kAll, 0, keys, {}, 3000)));
  EXPECT_EQ(directory.blocks(), 3000U);
  EXPECT_LE(directory.bytes(), 3000 * PrefixDirectory::kBytesPerBlock);
  ASSERT_TRUE(directory.on_news(kB, news(Kind::kAll, 0, keys, {}, 3000)));
  EXPECT_EQ(directory.blocks(), 6000U);
  EXPECT_LE(directory.bytes(), 3000 * PrefixDirectory::kBytesPerBlock) << "what two hold is written down once";
  for (kv::BlockKey& key : keys) key = random();
  ASSERT_TRUE(directory.on_news(generation(7), news(Kind::kAll, 0, keys, {}, 3000)));
  EXPECT_EQ(directory.blocks(generation(7)), 1000U);
  EXPECT_EQ(directory.dropped(), 2000U);
  EXPECT_LE(directory.bytes(), 4000 * PrefixDirectory::kBytesPerBlock);
  directory.check_integrity();
  directory.forget(kA);
  directory.forget(kB);
  ASSERT_TRUE(directory.on_news(generation(7), news(Kind::kAll, 0, keys, {}, 3000)));
  EXPECT_EQ(directory.blocks(), 3000U) << "their places are free again";
  directory.check_integrity();
}

// Random news of many replicas against sets; more replicas than one entry has bits for, and keys of few bits, which meet.
TEST(PrefixDirectory, AgreesWithSetsOverRandomNews) {
  for (std::uint32_t seed = 0; seed < 8; ++seed) {
    std::mt19937_64 random(seed);
    const auto below = [&](std::uint64_t n) { return random() % n; };
    const std::uint32_t replicas = seed % 2 == 0 ? 5 : 150;
    const std::uint64_t key_space = seed < 4 ? 300 : 1'000'000;
    PrefixDirectory directory;
    std::map<std::uint32_t, std::set<kv::BlockKey>> held;
    std::map<std::uint32_t, std::uint64_t> numbers;
    const auto random_keys = [&](std::size_t count) {
      std::set<kv::BlockKey> keys;
      while (keys.size() < count) keys.insert(below(key_space));
      return keys;
    };
    for (int i = 0; i < 3000; ++i) {
      const auto replica = static_cast<std::uint32_t>(below(replicas));
      if (!held.contains(replica) || below(20) == 0) {
        held[replica] = random_keys(below(40));
        numbers[replica] = below(100);
        ASSERT_TRUE(directory.on_news(generation(replica), news(Kind::kAll, numbers[replica], {held[replica].begin(), held[replica].end()})));
      } else if (below(20) == 0) {
        directory.forget(generation(replica));
        held.erase(replica);
      } else {
        std::vector<kv::BlockKey> stored, evicted;
        for (const kv::BlockKey key : random_keys(below(10))) {
          (held[replica].contains(key) ? evicted : stored).push_back(key);
          if (!held[replica].insert(key).second) held[replica].erase(key);
        }
        ASSERT_TRUE(directory.on_news(generation(replica), news(Kind::kChanges, ++numbers[replica], stored, evicted)));
      }
      if (i % 100 == 0) directory.check_integrity();
    }
    for (const auto& [replica, keys] : held) {
      ASSERT_EQ(directory.blocks(generation(replica)), keys.size());
      for (const kv::BlockKey key : keys) ASSERT_TRUE(directory.holds(generation(replica), key));
    }
    directory.keep_only([](ReplicaGeneration) { return false; });
    EXPECT_EQ(directory.blocks(), 0U);
    directory.check_integrity();
  }
}

TEST(PrefixDirectory, FindsEveryOverlapOfEveryReplica) {
  PrefixDirectory directory;
  const PromptPrefix asked = prompt(512);
  std::map<std::uint32_t, std::size_t> held;
  std::mt19937_64 random(3);
  for (std::uint32_t replica = 0; replica < 100; ++replica) {
    held[replica] = replica < 3 ? std::size_t{512} * (replica % 2) : random() % 513;
    ASSERT_TRUE(directory.on_news(generation(replica), news(Kind::kAll, 0, first_keys(asked, held[replica]))));
  }
  const auto holders = directory.find(asked);
  std::size_t some = 0;
  for (const auto& [replica, blocks] : held) some += blocks > 0 ? 1 : 0;
  ASSERT_EQ(holders.size(), some);
  for (const auto& holder : holders) EXPECT_EQ(holder.tokens, held[holder.replica.replica.value] * 16);
}

}  // namespace
}  // namespace herd::routing
