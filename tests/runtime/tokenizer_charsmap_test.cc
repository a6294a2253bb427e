#include "runtime/tokenizer/charsmap.h"

#include "tests/runtime/sentencepiece_fixture.h"

#include <gtest/gtest.h>

#include <random>
#include <string>

#include "runtime/text/utf8.h"

namespace herd::tokenizer {
namespace {

std::string charsmap_refusal(const std::string& blob) {
  const auto map = Charsmap::parse(blob);
  return map ? "accepted" : map.error().message();
}

TEST(Charsmap, ReplacesWhatTheTextBeginsWith) {
  const Charsmap map = Charsmap::parse(one_byte_charsmap("AB\t", {"a", "bee", ""})).value();
  EXPECT_EQ(map.longest_prefix("BA").size, 1U);
  EXPECT_EQ(map.longest_prefix("BA").text, "bee");
  EXPECT_EQ(map.shortest_prefix("A").text, "a");
  EXPECT_EQ(map.longest_prefix("\t").size, 1U);
  EXPECT_EQ(map.longest_prefix("\t").text, "");
  EXPECT_EQ(map.longest_prefix("a").size, 0U);
  EXPECT_EQ(map.longest_prefix("").size, 0U);
  EXPECT_TRUE(Charsmap().empty());
  EXPECT_EQ(Charsmap().longest_prefix("A").size, 0U);
}

TEST(Charsmap, RefusesWhatDoesNotFitIntoOneAnother) {
  const std::string good = one_byte_charsmap("A", {"a"});
  EXPECT_EQ(charsmap_refusal(good), "accepted");
  EXPECT_EQ(charsmap_refusal(""), "map of characters: shorter than its header");
  EXPECT_EQ(charsmap_refusal(good.substr(0, 100)), "map of characters: an array of 4096 bytes in 96");
  EXPECT_EQ(charsmap_refusal(std::string(8, '\0')), "map of characters: an array of 0 bytes in 4");
  EXPECT_EQ(charsmap_refusal(good + "x"), "map of characters: its last text has no end");
  EXPECT_EQ(charsmap_refusal(one_byte_charsmap("A", {"\xFF"})), "map of characters: not UTF-8");
  EXPECT_EQ(charsmap_refusal(one_byte_charsmap("A", {std::string(300, 'a')})), "map of characters: a text longer than any character's");
}

// An array may lead back to where it came from: 'A' is then followed by any number of them, each the end of a string.
TEST(Charsmap, AnArrayThatGoesInACircleIsLeft) {
  std::string blob = one_byte_charsmap("A", {"a"});
  const auto set = [&](std::size_t unit, std::uint32_t value) {
    for (std::size_t i = 0; i < 4; ++i) blob[4 + unit * 4 + i] = static_cast<char>(value >> (8 * i));
  };
  const std::size_t child = 256 ^ 'A';
  set(child, std::uint32_t{'A'} << 10 | 1U << 8 | 'A');  // its children lie at 256, and 256 ^ 'A' is the unit itself
  set(256, 1U << 31);                                    // the leaf among them: text 0
  const Charsmap map = Charsmap::parse(blob).value();
  EXPECT_EQ(map.shortest_prefix("AAAA").size, 1U);
  EXPECT_EQ(map.longest_prefix("AAAA").size, 4U);
  EXPECT_EQ(map.longest_prefix(std::string(100'000, 'A')).size, Charsmap::kReplacedBytesMax);
}

// Whatever the array says, answers stay within the text and the texts, and are UTF-8.
TEST(Charsmap, ADamagedArrayIsFollowedWithinItsBounds) {
  std::mt19937 random(5);
  const std::string good = one_byte_charsmap("AB", {"é", "日本"});
  for (int round = 0; round < 2000; ++round) {
    std::string blob = good;
    for (int i = 0; i < 8; ++i) {
      // The root, its children or their leaves.
      constexpr std::size_t kUnits[] = {0, 256 ^ 'A', 256 ^ 'B', 512 ^ 'A', 512 ^ 'B'};
      blob[4 + kUnits[random() % 5] * 4 + random() % 4] = static_cast<char>(random());
    }
    const auto map = Charsmap::parse(blob);
    ASSERT_TRUE(map);
    for (const std::string_view text : {"A", "BA", "AAAA", "\xE2\x96\x81"}) {
      for (const Charsmap::Match& match : {map->longest_prefix(text), map->shortest_prefix(text)}) {
        ASSERT_LE(match.size, text.size());
        ASSERT_TRUE(text::is_valid_utf8(match.text));
      }
    }
  }
}

}  // namespace
}  // namespace herd::tokenizer
