#include "runtime/kv/block_news.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "runtime/kv/block_journal.h"
#include "runtime/kv/block_manager.h"

namespace herd::kv {
namespace {

using Kind = BlockNews::Kind;
using Keys = std::vector<BlockKey>;

// Admits, computes and frees so many tokens that all equal `token`: their full blocks stay in the cache.
Keys cache(BlockManager& manager, TokenId token, std::uint32_t count) {
  const std::vector<TokenId> tokens(count, token);
  BlockTable table;
  EXPECT_TRUE(manager.admit(table, tokens, 0, true, 0));
  manager.on_computed(table, tokens, 0);
  manager.free(table);
  Keys keys;
  for (const BlockHash& hash : hash_blocks(tokens, 16, 0)) keys.push_back(key_of(hash));
  std::ranges::sort(keys);
  return keys;
}

TEST(BlockNews, TellWhatCameAndWhatWent) {
  BlockManager manager({16, 4, true});
  EXPECT_FALSE(manager.has_news());
  const Keys first = cache(manager, 1, 32);
  ASSERT_TRUE(manager.has_news());
  BlockNews news = manager.take_news();
  EXPECT_EQ(news, (BlockNews{Kind::kChanges, 1, 16, 4, first, {}}));
  EXPECT_FALSE(manager.has_news());
  const Keys second = cache(manager, 2, 64);  // all four blocks
  news = manager.take_news();
  EXPECT_EQ(news, (BlockNews{Kind::kChanges, 2, 16, 4, second, first}));
  BlockNews all = manager.all_news();
  std::ranges::sort(all.stored);
  EXPECT_EQ(all, (BlockNews{Kind::kAll, 2, 16, 4, second, {}}));
}

TEST(BlockNews, LeaveOutWhatIsAsItWas) {
  BlockJournal journal(10);
  journal.on_stored(1);
  journal.on_evicted(2);
  journal.on_evicted(1);
  journal.on_stored(2);
  journal.on_stored(3);
  journal.on_evicted(4);
  const auto news = journal.take();
  ASSERT_TRUE(news);
  EXPECT_EQ(news->stored, Keys{3});
  EXPECT_EQ(news->evicted, Keys{4});
}

TEST(BlockNews, AreToldAsAWholeWhenTooManyChanged) {
  BlockManager manager({16, 2, true});
  cache(manager, 1, 32);
  (void)manager.take_news();
  for (TokenId token = 2; token < 9; ++token) cache(manager, token, 32);
  ASSERT_TRUE(manager.has_news());
  const BlockNews news = manager.take_news();
  EXPECT_EQ(news.kind, Kind::kAll);
  EXPECT_EQ(news.number, 2U);
  EXPECT_EQ(news.stored.size(), 2U);
  EXPECT_TRUE(news.evicted.empty());
  cache(manager, 1, 32);
  EXPECT_EQ(manager.take_news().kind, Kind::kChanges) << "from here on one by one again";
}

TEST(BlockNewsDeathTest, AllThereIsIsNotToldWhileThereIsNews) {
  BlockManager manager({16, 4, true});
  cache(manager, 1, 32);
  EXPECT_DEATH((void)manager.all_news(), "no news is left");
}

TEST(BlockNews, SayNothingWithoutACache) {
  BlockManager manager({16, 4, false});
  cache(manager, 1, 48);
  EXPECT_FALSE(manager.has_news());
}

TEST(BlockNews, AreCutIntoPartsThatSayTheSame) {
  BlockNews news{Kind::kAll, 9, 32, 100, {}, {}};
  EXPECT_EQ(cut_news(news, 3), std::vector<BlockNews>{news});
  for (BlockKey key = 0; key < 7; ++key) news.stored.push_back(key);
  news.kind = Kind::kChanges;
  news.evicted = {20, 21, 22, 23};
  const std::vector<BlockNews> parts = cut_news(news, 3);
  ASSERT_EQ(parts.size(), 4U);
  BlockNews together = parts[0];
  EXPECT_EQ(together.kind, Kind::kChanges);
  for (std::size_t i = 0; i < parts.size(); ++i) {
    EXPECT_LE(parts[i].keys(), 3U);
    EXPECT_EQ(parts[i].number, 9U);
    EXPECT_EQ(parts[i].block_size, 32U);
    EXPECT_EQ(parts[i].num_blocks, 100U);
    if (i == 0) continue;
    EXPECT_EQ(parts[i].kind, Kind::kMore);
    together.stored.insert(together.stored.end(), parts[i].stored.begin(), parts[i].stored.end());
    together.evicted.insert(together.evicted.end(), parts[i].evicted.begin(), parts[i].evicted.end());
  }
  EXPECT_EQ(together, news);
}

}  // namespace
}  // namespace herd::kv
