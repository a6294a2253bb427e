#include "runtime/tokenizer/incremental_decoder.h"

#include "runtime/text/utf8.h"
#include "tests/runtime/tokenizer_fixture.h"

#include <gtest/gtest.h>

#include <random>

namespace herd::tokenizer {
namespace {

using Texts = std::vector<std::string>;

// One token per byte, so that every cut through a character happens; one control token, id 256.
const Tokenizer& bytes_only() {
  static const Tokenizer kTokenizer = small_tokenizer("gpt-2", {}, {"<|end|>"});
  return kTokenizer;
}

struct Streamed {
  Texts pieces;
  std::string all;
  std::optional<std::size_t> stopped;
};

Streamed stream(std::string_view bytes, std::vector<std::string> stops = {}, DecoderOptions options = {}) {
  IncrementalDecoder decoder(bytes_only(), std::move(stops), options);
  Streamed result;
  for (const char byte : bytes) result.pieces.push_back(decoder.push(static_cast<unsigned char>(byte)));
  result.pieces.push_back(decoder.flush());
  for (const std::string& piece : result.pieces) result.all += piece;
  result.stopped = decoder.stopped();
  return result;
}

TEST(IncrementalDecoder, ShowsACharacterWithItsLastByte) {
  EXPECT_EQ(stream("a\xE2\x82\xAC" "b").pieces, (Texts{"a", "", "", "\xE2\x82\xAC", "b", ""}));
}

TEST(IncrementalDecoder, ReplacesWhatCanNoLongerBecomeACharacter) {
  const std::string r(text::kReplacementUtf8);
  EXPECT_EQ(stream("\xE2\x82" "b").pieces, (Texts{"", "", r + "b", ""}));
  EXPECT_EQ(stream("\xFF\xF0\x9F").pieces, (Texts{r, "", "", r}));
}

TEST(IncrementalDecoder, HoldsBackWhatMayBeginAStopString) {
  const Streamed shown = stream("one <e> two", {"<end>"});
  EXPECT_EQ(shown.pieces, (Texts{"o", "n", "e", " ", "", "", "<e>", " ", "t", "w", "o", ""}));
  EXPECT_FALSE(shown.stopped);
  EXPECT_EQ(stream("one <en", {"<end>"}).all, "one <en");
}

TEST(IncrementalDecoder, CutsBeforeTheStopString) {
  const Streamed cut = stream("one <end> two", {"nothing", "<end>"});
  EXPECT_EQ(cut.all, "one ");
  EXPECT_EQ(cut.stopped, 1U);
  const Streamed kept = stream("one <end> two", {"nothing", "<end>"}, {.skip_special = true, .include_stop = true});
  EXPECT_EQ(kept.all, "one <end>");
}

//   text      stops        ends   because
//   aaab      aab          a      the first a is no part of it
//   abcabd    abcabe abd   abc    a longer beginning fell apart
//   xabc      abc bc       x      both complete at c: the longest
//   xabc      abcd ab      x      ab is complete first
TEST(IncrementalDecoder, FindsStopStringsThatOverlap) {
  EXPECT_EQ(stream("aaab", {"aab"}).all, "a");
  EXPECT_EQ(stream("abcabd", {"abcabe", "abd"}).all, "abc");
  EXPECT_EQ(stream("xabc", {"bc", "abc"}).all, "x");
  EXPECT_EQ(stream("xabc", {"bc", "abc"}).stopped, 1U);
  EXPECT_EQ(stream("xabc", {"abcd", "ab"}).all, "x");
}

//   text      minimum   stops    text shown   because
//   abxab     2         ab       abx          the first is complete within the minimum, the second is not
//   aab       2         ab       a            completed behind the minimum
//   aaaa      2         aa       a            its last byte decides, not its first
//   abcd      4         cd       abcd         nothing comes behind the minimum
TEST(IncrementalDecoder, StopStringsCountWhenTheyAreCompleteBehindTheMinimum) {
  const auto shown = [](std::string_view bytes, std::vector<std::string> stops, std::uint32_t minimum) {
    return stream(bytes, std::move(stops), {.min_tokens = minimum});
  };
  EXPECT_EQ(shown("abxab", {"ab"}, 2).all, "abx");
  EXPECT_EQ(shown("aab", {"ab"}, 2).all, "a");
  EXPECT_EQ(shown("aaaa", {"aa"}, 2).all, "a");
  EXPECT_EQ(shown("abcd", {"cd"}, 4).all, "abcd");
  EXPECT_FALSE(shown("abcd", {"cd"}, 4).stopped);
  EXPECT_EQ(shown("abcd", {"ab", "abc"}, 2).stopped, 1U);
  EXPECT_EQ(shown("abx", {"ab", "abc"}, 2).pieces, (Texts{"", "", "abx", ""})) << "abc may still come";
  EXPECT_EQ(shown("abx", {"ab"}, 2).pieces, (Texts{"", "ab", "x", ""})) << "what did not count is shown at once";
}

TEST(IncrementalDecoder, SpecialTokensCountForTheMinimum) {
  IncrementalDecoder decoder(bytes_only(), {"a"}, {.min_tokens = 2});
  EXPECT_EQ(decoder.push(256), "");
  EXPECT_EQ(decoder.push('a'), "a");
  EXPECT_EQ(decoder.push('a'), "");
  EXPECT_EQ(decoder.stopped(), 0U);
}

TEST(IncrementalDecoder, EmptyStopStringsNeverMatch) { EXPECT_EQ(stream("ab", {""}).all, "ab"); }

TEST(IncrementalDecoder, SpecialTokensAreShownOnlyWhenAsked) {
  IncrementalDecoder hidden(bytes_only(), {});
  EXPECT_EQ(hidden.push('a'), "a");
  EXPECT_EQ(hidden.push(256), "");
  EXPECT_EQ(hidden.push('b'), "b");
  IncrementalDecoder shown(bytes_only(), {"end"}, {.skip_special = false, .include_stop = false});
  EXPECT_EQ(shown.push('a'), "a");
  EXPECT_EQ(shown.push(256), "<|");
  EXPECT_EQ(shown.stopped(), 0U);
}

TEST(IncrementalDecoder, NothingFollowsAStop) {
  IncrementalDecoder decoder(bytes_only(), {"b"});
  EXPECT_EQ(decoder.push('a'), "a");
  EXPECT_EQ(decoder.push('b'), "");
  EXPECT_EQ(decoder.push('c'), "");
  EXPECT_EQ(decoder.flush(), "");
  EXPECT_EQ(decoder.held_bytes(), 0U);
}

// Two vocabularies that put a space in front of a text: one drops a space of the whole text, one every space of the first
// token. A stream that continues a text keeps what a whole text loses.
TEST(IncrementalDecoder, AWholeTextLosesTheSpaceInFrontAndAContinuationDoesNot) {
  TokenizerDefinition one;
  for (const char* text : {" a", " ", "b", "", "  "}) one.tokens.push_back({text, TokenKind::kUnused});
  one.tokens.push_back({"<s>", TokenKind::kSpecial});
  TokenizerDefinition all = one;
  one.drops_leading_space = true;
  all.first_token_drops = "\u2581";
  for (VocabularyToken& token : all.tokens) {
    for (const char c : token.bytes) token.spelling += c == ' ' ? std::string("\u2581") : std::string(1, c);
  }
  struct Case {
    std::vector<TokenId> ids;
    std::string one;
    std::string all;
    std::string continued;
  };
  const Case kCases[] = {{{0, 0}, "a a", "a a", " a a"}, {{5, 0}, "a", "a", " a"}, {{3, 1, 0}, " a", " a", "  a"},
                         {{4, 2}, " b", "b", "  b"},     {{2, 0}, "b a", "b a", "b a"}, {{}, "", "", ""}};
  for (const bool first : {true, false}) {
    const auto tokenizer = Tokenizer::build(first ? all : one);
    ASSERT_TRUE(tokenizer) << tokenizer.error().message();
    for (const Case& each : kCases) {
      const std::string& whole = first ? each.all : each.one;
      EXPECT_EQ(tokenizer->decode(each.ids, true), whole);
      for (const bool begins : {true, false}) {
        IncrementalDecoder decoder(*tokenizer, {}, {.begins_text = begins});
        std::string streamed;
        for (const TokenId id : each.ids) streamed += decoder.push(id);
        EXPECT_EQ(streamed + decoder.flush(), begins ? whole : each.continued);
      }
    }
  }
}

// Random bytes (few values, so that stops occur), random stops, tokens of one to four bytes. Against: decode all,
// find the stop that ends first, the longest of those; every piece valid; replay equal; held text bounded.
TEST(IncrementalDecoder, EqualsDecodingAtOnceOnRandomStreams) {
  const Tokenizer tokenizer =
      small_tokenizer("gpt-2", {{"a", "b"}, {"ab", "\xE2"}, {"\x82", "\xAC"}, {"\x82\xAC", "a"}}, {"<|end|>"});
  const auto vocabulary = static_cast<TokenId>(tokenizer.vocab_size());
  const std::vector<TokenId> alphabet = {'a', 'b', 0xE2, 0x82, 0xAC, 0xF0, 256, 257, 258, 259, vocabulary - 1};
  int stops_found = 0;
  for (std::uint32_t seed = 0; seed < 20'000; ++seed) {
    std::mt19937 random(seed);
    std::vector<TokenId> ids(random() % 24);
    for (TokenId& id : ids) id = alphabet[random() % alphabet.size()];
    std::vector<std::string> stops(random() % 4);
    for (std::string& stop : stops) {
      const std::size_t size = 1 + random() % 4;
      while (stop.size() < size) stop += std::vector<std::string>{"a", "b", "\xE2\x82\xAC", "\xEF\xBF\xBD"}[random() % 4];
    }
    const DecoderOptions options{.skip_special = random() % 2 == 0,
                                 .include_stop = random() % 2 == 0,
                                 .min_tokens = random() % 2 == 0 ? 0U : static_cast<std::uint32_t>(random() % 12)};

    std::string expected = tokenizer.decode(ids, options.skip_special);
    IncrementalDecoder first(tokenizer, {}, options);  // bytes that the tokens of the minimum make up
    std::size_t minimum = 0;
    for (std::size_t i = 0; i < ids.size() && i < options.min_tokens; ++i) minimum += first.push(ids[i]).size();
    if (options.min_tokens >= ids.size()) minimum = std::string::npos;
    std::size_t end = std::string::npos;
    std::size_t begin = std::string::npos;
    for (const std::string& stop : stops) {
      std::size_t found = expected.find(stop);
      while (found != std::string::npos && options.min_tokens > 0 && found + stop.size() <= minimum)
        found = expected.find(stop, found + 1);
      if (found == std::string::npos) continue;
      if (found + stop.size() < end || (found + stop.size() == end && found < begin)) {
        begin = found;
        end = found + stop.size();
      }
    }
    expected = expected.substr(0, options.include_stop ? end : begin);
    stops_found += begin != std::string::npos ? 1 : 0;

    const auto run = [&] {
      IncrementalDecoder decoder(tokenizer, stops, options);
      Texts pieces;
      for (const TokenId id : ids) {
        pieces.push_back(decoder.push(id));
        EXPECT_TRUE(text::is_valid_utf8(pieces.back()));
        EXPECT_LE(decoder.held_bytes(), 3U + 13U);
      }
      pieces.push_back(decoder.flush());
      EXPECT_EQ(decoder.stopped().has_value(), begin != std::string::npos);
      return pieces;
    };
    const Texts pieces = run();
    std::string all;
    for (const std::string& piece : pieces) all += piece;
    ASSERT_EQ(all, expected) << "seed " << seed;
    ASSERT_EQ(run(), pieces) << "seed " << seed;
  }
  EXPECT_GT(stops_found, 2000);
}

}  // namespace
}  // namespace herd::tokenizer
