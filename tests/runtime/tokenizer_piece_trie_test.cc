#include "runtime/tokenizer/piece_trie.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <string>
#include <utility>
#include <vector>

namespace herd::tokenizer {
namespace {

using Found = std::vector<std::pair<std::size_t, TokenId>>;

Found prefixes(const PieceTrie& trie, std::string_view text) {
  Found found;
  trie.for_each_prefix(text, [&](std::size_t size, TokenId id) { found.emplace_back(size, id); });
  return found;
}

TEST(PieceTrie, FindsEveryStringThatATextBeginsWithTheShortestFirst) {
  const PieceTrie trie({{"abc", 1}, {"a", 2}, {"b", 3}, {"\xE2\x96\x81", 4}, {"abd", 5}});
  EXPECT_EQ(prefixes(trie, "abcd"), (Found{{1, 2}, {3, 1}}));
  EXPECT_EQ(prefixes(trie, "ab"), (Found{{1, 2}}));
  EXPECT_EQ(prefixes(trie, "\xE2\x96\x81x"), (Found{{3, 4}}));
  EXPECT_EQ(prefixes(trie, "\xE2\x96"), Found{});
  EXPECT_EQ(prefixes(trie, "cab"), Found{});
  EXPECT_EQ(prefixes(trie, ""), Found{});
  EXPECT_EQ(trie.longest_prefix("abdabd").size, 3U);
  EXPECT_EQ(trie.longest_prefix("abdabd").id, 5);
  EXPECT_EQ(trie.longest_prefix("x").size, 0U);
}

TEST(PieceTrie, OfEqualStringsTheFirstCounts) {
  const PieceTrie trie({{"ab", 1}, {"ab", 2}, {"a", 3}, {"ab", 4}});
  EXPECT_EQ(prefixes(trie, "abc"), (Found{{1, 3}, {2, 1}}));
}

TEST(PieceTrie, AnEmptyOneFindsNothing) {
  EXPECT_TRUE(PieceTrie().empty());
  EXPECT_TRUE(PieceTrie(std::vector<PieceTrie::Entry>{}).empty());
  EXPECT_EQ(prefixes(PieceTrie(), "a"), Found{});
}

TEST(PieceTrie, AgreesWithASearchThroughAllStrings) {
  std::mt19937 random(7);
  const auto word = [&](std::size_t size_max) {
    std::string out;
    for (std::size_t size = 1 + random() % size_max; size > 0; --size) out += "abcd\x80\xFF"[random() % 6];
    return out;
  };
  for (int round = 0; round < 200; ++round) {
    std::vector<std::string> words;
    for (int i = 0; i < 40; ++i) {
      if (std::string next = word(5); std::find(words.begin(), words.end(), next) == words.end()) words.push_back(next);
    }
    std::vector<PieceTrie::Entry> entries;
    for (std::size_t i = 0; i < words.size(); ++i) entries.push_back({words[i], static_cast<TokenId>(i)});
    const PieceTrie trie(entries);
    const std::string text = word(8);
    Found expected;
    for (std::size_t size = 1; size <= text.size(); ++size) {
      for (std::size_t i = 0; i < words.size(); ++i) {
        if (words[i] == text.substr(0, size)) expected.emplace_back(size, static_cast<TokenId>(i));
      }
    }
    EXPECT_EQ(prefixes(trie, text), expected) << "round " << round;
  }
}

}  // namespace
}  // namespace herd::tokenizer
