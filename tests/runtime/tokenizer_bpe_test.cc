// Merging and everything around it on small vocabularies. Real vocabularies: tokenizer_llama3_test.cc and
// tests/e2e/tokenizer_parity.py.
#include "runtime/tokenizer/tokenizer.h"

#include "runtime/tokenizer/merge_table.h"
#include "runtime/tokenizer/spelled_merges.h"
#include "runtime/tokenizer/token_map.h"
#include "runtime/text/utf8.h"
#include "tests/runtime/tokenizer_fixture.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <random>
#include <thread>

namespace herd::tokenizer {
namespace {

using Texts = std::vector<std::string>;

// The definition, word for word: quadratic.
std::vector<TokenId> merge_naively(std::vector<TokenId> symbols, const std::vector<Merge>& merges) {
  while (true) {
    const Merge* best = nullptr;
    std::size_t place = 0;
    for (std::size_t i = 0; i + 1 < symbols.size(); ++i) {
      for (const Merge& merge : merges) {
        if (merge.left != symbols[i] || merge.right != symbols[i + 1]) continue;
        if (best == nullptr || merge.rank < best->rank) best = &merge, place = i;
      }
    }
    if (best == nullptr) return symbols;
    symbols[place] = best->result;
    symbols.erase(symbols.begin() + static_cast<std::ptrdiff_t>(place) + 1);
  }
}

TEST(MergeScratch, EqualsTheDefinitionOnRandomVocabularies) {
  for (std::uint32_t seed = 0; seed < 400; ++seed) {
    std::mt19937 random(seed);
    // Tokens 0 … 2 are letters; each merge joins two earlier tokens into a new one. Every third seed shares ranks
    // between the splits of one string, as tiktoken does.
    std::vector<std::string> strings = {"a", "b", "c"};
    std::vector<Merge> merges;
    for (int i = 0; i < 12; ++i) {
      const auto left = static_cast<TokenId>(random() % strings.size());
      const auto right = static_cast<TokenId>(random() % strings.size());
      const std::string joined = strings[static_cast<std::size_t>(left)] + strings[static_cast<std::size_t>(right)];
      auto found = std::find(strings.begin(), strings.end(), joined);
      if (found == strings.end()) found = strings.insert(strings.end(), joined);
      const auto result = static_cast<TokenId>(found - strings.begin());
      const auto rank = static_cast<std::uint32_t>(seed % 3 == 0 ? result : i);
      const bool known = std::any_of(merges.begin(), merges.end(),
                                     [&](const Merge& m) { return m.left == left && m.right == right; });
      if (!known) merges.push_back({rank, left, right, result});
    }
    const MergeTable table(merges);
    MergeScratch scratch;
    for (int text = 0; text < 20; ++text) {
      std::vector<TokenId> symbols(random() % 40);
      for (TokenId& symbol : symbols) symbol = static_cast<TokenId>(random() % 3);
      const auto expected = merge_naively(symbols, merges);
      std::vector<TokenId> merged;
      scratch.symbols = symbols;
      scratch.merge_into(table, merged);
      ASSERT_EQ(merged, expected) << "seed " << seed;
    }
  }
}

TEST(Tokenizer, LowestRankMergesFirstAndTheLeftmostOnTies) {
  const Tokenizer tokenizer = small_tokenizer("gpt-2", {{"b", "c"}, {"a", "b"}, {"a", "a"}, {"aa", "a"}});
  EXPECT_EQ(texts(tokenizer, "abc"), (Texts{"a", "bc"}));
  EXPECT_EQ(texts(tokenizer, "aaaaa"), (Texts{"aa", "aaa"}));
}

TEST(Tokenizer, PiecesNeverMergeAcrossTheirBorders) {
  const Tokenizer tokenizer = small_tokenizer("gpt-2", {{"a", " "}, {" ", "b"}});
  EXPECT_EQ(texts(tokenizer, "a b"), (Texts{"a", " b"}));
}

TEST(Tokenizer, LongPiecesTakeTimeInProportion) {
  const Tokenizer tokenizer = small_tokenizer(
      "llama-bpe", {{"a", "a"}, {"aa", "aa"}, {"aaaa", "aaaa"}, {"a", "b"}, {" ", " "}, {"  ", "  "}, {"\n", "\n"}},
      {"<|x|>"});
  GgufVocabulary with_bos = small_vocabulary("smollm", {{"1", "1"}, {"a", "a"}}, {"<|x|>"});
  const Tokenizer digits = build_small(with_bos);
  std::string mixed;
  for (int i = 0; i < 300'000; ++i) mixed += i % 2 == 0 ? "a" : "b";
  std::string almost;
  for (int i = 0; i < 75'000; ++i) almost += "<|x|";
  for (const Tokenizer& each : {tokenizer, digits}) {
    for (const std::string& text :
         {std::string(300'000, 'a'), std::string(300'000, ' '), std::string(300'000, '\n'), mixed, almost,
          std::string(300'000, '1'), std::string(300'000, '!'), std::string(300'000, ' ') + "x",
          std::string(300'000, '\'')}) {
      const auto begin = std::chrono::steady_clock::now();
      const auto ids = each.encode(text, {.add_bos = false, .parse_special = true});
      const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begin;
      EXPECT_EQ(each.decode(ids, false), text);
      EXPECT_LT(seconds.count(), 20.0);  // about 0.03 s; a quadratic case takes hours
    }
  }
}

TEST(TokenMap, FindsWhatWasPutInOneByOneAndInGroups) {
  std::vector<std::string> texts = {"", std::string("\0", 1), std::string("\0\0", 2)};
  for (std::size_t size = 1; size < 40; ++size) {
    texts.emplace_back(size, 'x');
    for (std::size_t place = 0; place < size; ++place) texts.emplace_back(std::string(size, 'x')).at(place) = 'y';
  }
  for (int i = 0; i < 2000; ++i) texts.push_back("token " + std::to_string(i * 7919));
  for (const std::uint64_t seed : {table_seed(), std::uint64_t{0}, std::uint64_t{1}}) {
    TokenMap map(texts.size(), seed);
    for (std::size_t i = 0; i < texts.size(); ++i) EXPECT_EQ(map.insert(texts[i], static_cast<TokenId>(i)), TokenMap::kNone);
    EXPECT_EQ(map.insert(std::string("x"), 77), 3) << "the first one stays";
    std::vector<std::string_view> wanted(texts.begin(), texts.end());
    for (const char* other : {"b", "token", "xxxxxxz", "token 7919 "}) wanted.push_back(other);
    std::vector<TokenId> ids(wanted.size());
    map.find_all(wanted, ids);
    for (std::size_t i = 0; i < wanted.size(); ++i) {
      EXPECT_EQ(ids[i], i < texts.size() ? static_cast<TokenId>(i) : TokenMap::kNone);
      EXPECT_EQ(map.find(wanted[i]), ids[i]);
      for (std::size_t place : {std::size_t{0}, i, i - 1, i + 9, std::size_t{100'000}}) {
        EXPECT_EQ(map.find_near(wanted[i], place), ids[i]);
        EXPECT_TRUE(i >= texts.size() || place == i);
      }
    }
  }
}

std::uint64_t hash_of(std::string_view text, std::uint64_t seed) { return TextHash(seed)(text, end_of(text)); }

// Texts that are chosen to fall on one place of a table do not in a table of another seed.
TEST(TextHash, TextsThatFallTogetherScatterUnderAnotherSeed) {
  constexpr std::uint64_t kPlaces = 1024;
  std::vector<std::string> together;
  for (int i = 0; together.size() < 200; ++i) {
    const std::string text = "token " + std::to_string(i);
    if (hash_of(text, 1) % kPlaces == 0) together.push_back(text);
  }
  std::vector<std::size_t> at(kPlaces);
  for (const std::string& text : together) ++at[hash_of(text, 2) % kPlaces];
  EXPECT_LT(*std::max_element(at.begin(), at.end()), 10U);  // of 200 in 1024 places hardly ever more than 4
}

// No two bits of a text make up for each other, in whatever words they lie.
TEST(TextHash, SeesEveryPairOfBits) {
  const std::string text = "a text of forty-eight bytes, three times sixteen";
  ASSERT_EQ(text.size(), 48U);
  const auto flipped = [](std::string of, std::size_t bit) {
    of[bit / 8] = static_cast<char>(of[bit / 8] ^ (1 << bit % 8));
    return of;
  };
  const std::uint64_t plain = hash_of(text, 5);
  for (std::size_t i = 0; i < 8 * text.size(); ++i) {
    const std::string once = flipped(text, i);
    ASSERT_NE(hash_of(once, 5), plain);
    for (std::size_t j = i + 1; j < 8 * text.size(); ++j) ASSERT_NE(hash_of(flipped(once, j), 5), plain) << i << " " << j;
  }
}

TEST(MergeTable, APairThatStandsTwiceKeepsItsFirstEntry) {
  for (const std::uint64_t seed : {table_seed(), std::uint64_t{0}, std::uint64_t{1}}) {
    const MergeTable table(std::vector<Merge>{{5, 1, 2, 3}, {7, 1, 2, 4}, {8, 2, 1, 5}}, seed);
    ASSERT_NE(table.find(1, 2), nullptr);
    EXPECT_EQ(table.find(1, 2)->result, 3);
    EXPECT_EQ(table.find(2, 1)->result, 5);
    EXPECT_EQ(table.find(1, 1), nullptr);
  }
}

TEST(FindMerges, GivesIdsByRisingOrFallingRank) {
  TokenMap tokens(4);
  for (const auto& [text, id] : {std::pair("a", 10), {"b", 11}, {"ab", 12}, {"", 13}}) tokens.insert(text, id);
  const std::vector<SpelledMerge> merges = {{"a", "b"}, {"b", "a"}, {"q", "a"}, {"", "ab"}};
  const auto found = find_merges(merges, tokens, MergeOrder::kRising);
  ASSERT_EQ(found.size(), 4U);
  EXPECT_EQ(found[0], (Merge{0, 10, 11, 12}));
  EXPECT_EQ(found[1], (Merge{1, 11, 10, TokenMap::kNone}));
  EXPECT_EQ(found[2], (Merge{2, TokenMap::kNone, 10, TokenMap::kNone}));
  EXPECT_EQ(found[3], (Merge{3, 13, 12, 12}));
  EXPECT_TRUE(is_found(found[0]) && is_found(found[3]) && !is_found(found[1]) && !is_found(found[2]));
  auto falling = find_merges(merges, tokens, MergeOrder::kFalling);
  std::reverse(falling.begin(), falling.end());
  EXPECT_EQ(falling, found);
  EXPECT_TRUE(find_merges({}, tokens, MergeOrder::kFalling).empty());
}

TEST(Tokenizer, ControlTokensOfAUsersTextStayText) {
  const Tokenizer tokenizer = small_tokenizer("gpt-2", {}, {"<|end|>", "<|end|>x"});
  const auto plain = tokenizer.encode("a<|end|>b");
  EXPECT_EQ(plain.size(), 9U);
  for (const TokenId id : plain) EXPECT_FALSE(tokenizer.is_special(id));

  const EncodeOptions parse{.add_bos = false, .parse_special = true};
  EXPECT_EQ(texts(tokenizer, "a<|end|>b", parse), (Texts{"a", "<|end|>", "b"}));
  EXPECT_EQ(texts(tokenizer, "<|end|>x<|end", parse), (Texts{"<|end|>x", "<", "|", "e", "n", "d"}));
  EXPECT_EQ(tokenizer.find_special("<|end|>"), TokenId{256});
  EXPECT_FALSE(tokenizer.find_special("a"));
  EXPECT_EQ(tokenizer.decode(tokenizer.encode("a<|end|>b", parse), true), "ab");
  EXPECT_EQ(tokenizer.decode(tokenizer.encode("a<|end|>b", parse), false), "a<|end|>b");
}

TEST(Tokenizer, InvalidUtf8IsReadAsReplacementCharacters) {
  const Tokenizer tokenizer = small_tokenizer();
  EXPECT_EQ(tokenizer.encode("a\xFF\xE2\x82z"), tokenizer.encode("a\xEF\xBF\xBD\xEF\xBF\xBDz"));
  EXPECT_TRUE(Tokenizer::valid_utf8("a\xEF\xBF\xBD"));
  EXPECT_FALSE(Tokenizer::valid_utf8("a\xFF"));
}

TEST(Tokenizer, DecodeRepairsWhatTokensCutApart) {
  const Tokenizer tokenizer = small_tokenizer();
  const std::vector<TokenId> ids = {0xE2, 0x82, 'a', 0xFF};
  EXPECT_EQ(tokenizer.decode(ids, true), "\xEF\xBF\xBD" "a\xEF\xBF\xBD");
  EXPECT_EQ(tokenizer.token_bytes(0xE2), "\xE2");
}

TEST(Tokenizer, IdsOutsideTheVocabularyStandForNothing) {
  const Tokenizer tokenizer = small_tokenizer();
  EXPECT_EQ(tokenizer.vocab_size(), 256U);
  for (const TokenId id : {-1, 256, 1 << 30}) {
    EXPECT_EQ(tokenizer.token_bytes(id), "");
    EXPECT_FALSE(tokenizer.is_special(id));
  }
}

TEST(Tokenizer, WhiteSpaceIsUnicodes) {
  // U+180E left White_Space in Unicode 6.3. U+0085 and U+3000 are in it.
  const Tokenizer tokenizer = small_tokenizer("gpt-2", {{" ", "\xE1"}, {" ", "\xE3"}});
  EXPECT_EQ(texts(tokenizer, " \xE1\xA0\x8E")[0], " \xE1");
  EXPECT_EQ(texts(tokenizer, " \xE3\x80\x80x")[0], " ");
}

TEST(Tokenizer, ManyThreadsEncodeAtOnce) {
  const Tokenizer tokenizer = small_tokenizer("llama-bpe", {{"a", "b"}, {" ", "a"}});
  const std::string text = "ab 123 don't \n\n abab";
  const auto expected = tokenizer.encode(text);
  std::vector<std::thread> threads;
  std::vector<int> wrong(4, 0);
  for (std::size_t t = 0; t < wrong.size(); ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 2000; ++i) wrong[t] += tokenizer.encode(text) == expected ? 0 : 1;
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, std::vector<int>(4, 0));
}

// A declaration about ids that no token has hurts nobody.
TEST(TokenizerBuild, DeclaredIdsWithoutATokenNeverCome) {
  TokenizerDefinition definition;
  for (int byte = 0; byte < 256; ++byte)
    definition.tokens.push_back({std::string(1, static_cast<char>(byte)), TokenKind::kOrdinary});
  definition.tokens.push_back({"<|eot_id|>", TokenKind::kSpecial});
  definition.tokens.push_back({"</s>", TokenKind::kAdded});
  definition.added = {{256, "<|eot_id|>", true}, {257, "</s>", false}};
  definition.bos = 9999;
  definition.eos = {7, 9999, -1};
  const auto built = Tokenizer::build(definition);
  ASSERT_TRUE(built) << built.error().message();
  EXPECT_FALSE(built->bos_id());
  // </s> is no control token here: text may hold it.
  EXPECT_EQ(std::vector<TokenId>(built->eos_ids().begin(), built->eos_ids().end()), (std::vector<TokenId>{7, 256}));
  EXPECT_EQ(built->ordinary_size(), 256U);
  EXPECT_EQ(built->vocab_size(), 258U);
  EXPECT_TRUE(built->check_rows(built->encode("hi"), 256).ok());
  const auto refused = built->check_rows(built->encode("a<|eot_id|>", {.add_bos = false, .parse_special = true}), 256);
  EXPECT_EQ(refused.code(), StatusCode::kUsage);
  EXPECT_NE(refused.message().find("<|eot_id|> (token 256)"), std::string::npos) << refused.message();
}

TEST(Tokenizer, SeesItsOwnPrefixTwice) {
  GgufVocabulary vocabulary = small_vocabulary("llama-bpe", {}, {"<|begin|>"});
  vocabulary.bos_id = 256;
  const Tokenizer tokenizer = build_small(vocabulary);
  const auto ids = [&](std::string_view text) { return tokenizer.encode(text, {.add_bos = true, .parse_special = true}); };
  EXPECT_TRUE(tokenizer.begins_twice(ids("<|begin|>Hi")));
  EXPECT_FALSE(tokenizer.begins_twice(ids("Hi<|begin|>")));
  EXPECT_FALSE(tokenizer.begins_twice(ids("")));
  EXPECT_FALSE(tokenizer.begins_twice(tokenizer.encode("<|begin|>Hi", {.add_bos = false, .parse_special = true})));
}

TEST(TokenizerBuild, RefusesDefinitionsThatContradictThemselves) {
  const auto error = [](const TokenizerDefinition& definition) {
    const auto built = Tokenizer::build(definition);
    return built ? std::string("built") : built.error().message();
  };
  TokenizerDefinition good;
  for (int byte = 0; byte < 256; ++byte) good.tokens.push_back({std::string(1, static_cast<char>(byte)), TokenKind::kOrdinary});
  good.tokens.push_back({"<|end|>", TokenKind::kSpecial});
  good.added.push_back({256, "<|end|>", true});
  EXPECT_EQ(error(good), "built");

  TokenizerDefinition bad = good;
  bad.merges = {{0, 'a', 'b', 256}};
  EXPECT_NE(error(bad).find("must not become by merging"), std::string::npos);
  bad = good;
  bad.merges = {{0, 'a', 'b', 257}};
  EXPECT_NE(error(bad).find("outside the vocabulary"), std::string::npos);
  bad = good;
  bad.prefix = {300};
  EXPECT_NE(error(bad).find("outside the vocabulary"), std::string::npos);
  bad = good;
  bad.tokens[5].bytes = "a";
  EXPECT_NE(error(bad).find("occurs twice"), std::string::npos);
  EXPECT_NE(error({}).find("empty"), std::string::npos);
}

}  // namespace
}  // namespace herd::tokenizer
