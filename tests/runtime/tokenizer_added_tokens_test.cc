// What is cut out of a text before it becomes pieces: strips, single words, and whose text may spell control tokens.
#include "runtime/tokenizer/added_tokens.h"

#include "runtime/text/marked_text.h"
#include "runtime/tokenizer/split_behavior.h"
#include "tests/runtime/tokenizer_fixture.h"

#include <gtest/gtest.h>

#include <random>

namespace herd::tokenizer {
namespace {

using text::ByteRange;
using Texts = std::vector<std::string>;

// Every part: a token as its id in angle brackets with what it covers, text in square ones.
std::string parts_of(const AddedTokenMatcher& matcher, std::string_view text, const SpecialRule& rule = {true, {}}) {
  std::string out;
  for (const TextPart& part : matcher.cut(text, rule)) {
    const std::string covered(text.substr(part.begin, part.end - part.begin));
    out += part.token ? "<" + std::to_string(*part.token) + ":" + covered + ">" : "[" + covered + "]";
  }
  return out;
}

AddedToken token(TokenId id, std::string content, bool special = true) {
  AddedToken added;
  added.id = id;
  added.content = std::move(content);
  added.special = special;
  return added;
}

TEST(AddedTokens, MatchLeftmostThenLongest) {
  const AddedTokenMatcher matcher({token(1, "<a>"), token(2, "<a>b"), token(3, "a>")});
  EXPECT_EQ(parts_of(matcher, "x<a>b<a>c"), "[x]<2:<a>b><1:<a>>[c]");
  EXPECT_EQ(parts_of(matcher, "<a"), "[<a]");
  EXPECT_EQ(parts_of(matcher, ""), "");
}

// Matches come first, white space second: what a token took may hold the next token.
TEST(AddedTokens, WhiteSpaceThatOneTokenTookMayHoldAnother) {
  AddedToken right = token(1, "<sp>");
  right.strip_right = true;
  AddedToken left = token(2, "<l>");
  left.strip_left = true;
  const AddedTokenMatcher matcher({right, left, token(3, "\n\n", false)});
  EXPECT_EQ(parts_of(matcher, "a<sp>\n\nb"), "[a]<1:<sp>\n\n><3:\n\n>[b]");
  EXPECT_EQ(parts_of(matcher, "<sp> \n\n<sp>\n\n"), "<1:<sp> \n\n><3:\n\n><1:<sp>\n\n><3:\n\n>");
  EXPECT_EQ(parts_of(matcher, "<sp>\n\n x"), "<1:<sp>\n\n ><3:\n\n>[ x]") << "what stands behind the inner one is text again";
  EXPECT_EQ(parts_of(matcher, "a \u3000<l> b"), "[a]<2: \u3000<l>>[ b]");
  EXPECT_EQ(parts_of(matcher, "<sp> <l>"), "<1:<sp> ><2:<l>>");
}

TEST(AddedTokens, ManyTokensInOneRunOfWhiteSpaceTakeTimeInProportion) {
  AddedToken newline = token(1, "\n", false);
  newline.strip_right = true;
  newline.strip_left = true;
  const AddedTokenMatcher matcher({newline});
  const std::string text(400'000, '\n');
  EXPECT_EQ(matcher.cut(text, {}).size(), text.size());
}

TEST(AddedTokens, SingleWordsStandAlone) {
  AddedToken word = token(1, "ab", false);
  word.single_word = true;
  const AddedTokenMatcher matcher({word});
  EXPECT_EQ(parts_of(matcher, "ab xab abx (ab) éab ab_ ab"), "<1:ab>[ xab abx (]<1:ab>[) éab ab_ ]<1:ab>");
}

TEST(AddedTokens, WhereNoneMayCountAControlTokenHidesWhatItHolds) {
  const AddedTokenMatcher matcher({token(1, "<ab>"), token(2, "a", false)});
  EXPECT_EQ(parts_of(matcher, "a<ab>", {false, {}}), "<2:a>[<ab>]");
}

TEST(AddedTokens, ControlTokensHoldNoForeignByte) {
  const AddedTokenMatcher matcher({token(1, "<a>"), token(2, "<a>b"), token(3, "a", false)});
  const std::string text = "<a>b<a>b<a>";
  const auto cut = [&](std::vector<ByteRange> foreign) { return parts_of(matcher, text, {true, foreign}); };
  EXPECT_EQ(cut({}), "<2:<a>b><2:<a>b><1:<a>>");
  EXPECT_EQ(cut({{3, 4}}), "<1:<a>>[b]<2:<a>b><1:<a>>") << "a shorter one that ends before it";
  EXPECT_EQ(cut({{4, 8}}), "<2:<a>b>[<]<3:a>[>b]<1:<a>>") << "added tokens that are not special may be foreign";
  EXPECT_EQ(cut({{0, 1}, {10, 11}}), "[<]<3:a>[>b]<2:<a>b>[<]<3:a>[>]");
  EXPECT_EQ(cut({{0, 11}}), "[<]<3:a>[>b<]<3:a>[>b<]<3:a>[>]");
}

// Random texts and marks against the rule itself, word for word.
TEST(AddedTokens, EqualTheRuleOnRandomMarks) {
  const std::vector<AddedToken> tokens = {token(1, "ab"), token(2, "aba"), token(3, "bb", false), token(4, "b")};
  const AddedTokenMatcher matcher(tokens);
  for (std::uint32_t seed = 0; seed < 5000; ++seed) {
    std::mt19937 random(seed);
    std::string text;
    for (std::size_t i = random() % 12; i > 0; --i) text += static_cast<char>('a' + random() % 3);
    std::vector<bool> marks(text.size());
    for (std::size_t i = 0; i < marks.size(); ++i) marks[i] = random() % 4 == 0;
    std::vector<ByteRange> foreign;
    for (std::size_t i = 0; i < marks.size(); ++i) {
      if (!marks[i]) continue;
      if (!foreign.empty() && foreign.back().end == i) ++foreign.back().end;
      else foreign.push_back({i, i + 1});
    }
    std::vector<TokenId> expected;
    for (std::size_t i = 0; i < text.size();) {
      const AddedToken* best = nullptr;
      for (const AddedToken& each : tokens) {
        if (!text.substr(i).starts_with(each.content)) continue;
        bool own = true;
        for (std::size_t j = 0; j < each.content.size(); ++j) own = own && !marks[i + j];
        if ((own || !each.special) && (best == nullptr || each.content.size() > best->content.size())) best = &each;
      }
      if (best != nullptr) expected.push_back(best->id);
      i += best == nullptr ? 1 : best->content.size();
    }
    std::vector<TokenId> found;
    for (const TextPart& part : matcher.cut(text, {true, foreign})) {
      if (part.token) found.push_back(*part.token);
    }
    ASSERT_EQ(found, expected) << "seed " << seed;
  }
}

TEST(MarkedText, CutsAndRepairsItsMarks) {
  const std::vector<ByteRange> ranges = {{1, 3}, {5, 9}};
  EXPECT_EQ(text::within(ranges, 2, 6), (std::vector<ByteRange>{{0, 1}, {3, 4}}));
  EXPECT_EQ(text::within(ranges, 3, 5), std::vector<ByteRange>{});
  EXPECT_EQ(text::within(ranges, 0, 99), ranges);
  EXPECT_EQ(text::repair("a\xFF\xE2\x82z", std::vector<ByteRange>{{1, 2}, {3, 5}}),
            (text::MarkedText{"a\uFFFD\uFFFDz", {{1, 8}}}));
}

TEST(Tokenizer, ForeignTextSpellsNoControlToken) {
  const Tokenizer tokenizer = small_tokenizer("gpt-2", {{"|", ">"}}, {"<|end|>"});
  const std::string text = "<|end|>a<|end|>";
  const auto with = [&](std::vector<ByteRange> foreign) {
    return texts(tokenizer, text, {.add_bos = false, .parse_special = true, .foreign = foreign});
  };
  EXPECT_EQ(with({}), (Texts{"<|end|>", "a", "<|end|>"}));
  EXPECT_EQ(with({{7, 15}}), (Texts{"<|end|>", "a", "<", "|", "e", "n", "d", "|>"}));
  EXPECT_EQ(with({{6, 9}}), (Texts{"<", "|", "e", "n", "d", "|>", "a", "<", "|", "e", "n", "d", "|>"}));
  EXPECT_EQ(with({{7, 8}}), (Texts{"<|end|>", "a", "<|end|>"}));
  // One string between two recognised tokens: a border of marks is no border of pieces.
  EXPECT_EQ(texts(tokenizer, "|>", {.add_bos = false, .parse_special = true, .foreign = std::vector<ByteRange>{{1, 2}}}), (Texts{"|>"}));
}

TEST(Tokenizer, ForeignMarksSurviveNormalization) {
  TokenizerDefinition definition;
  for (int byte = 0; byte < 256; ++byte) definition.tokens.push_back({std::string(1, static_cast<char>(byte)), TokenKind::kOrdinary});
  definition.tokens.push_back({"<É>", TokenKind::kSpecial});
  AddedToken added = token(256, "<É>");
  added.normalized = true;
  definition.added = {added};
  NormalizerStep lower;
  lower.kind = NormalizerStep::Kind::kLowercase;
  NormalizerStep nfc;
  nfc.kind = NormalizerStep::Kind::kNfc;
  definition.normalizer = {nfc, lower};
  const auto tokenizer = Tokenizer::build(definition);
  ASSERT_TRUE(tokenizer) << tokenizer.error().message();
  const std::string text = "x<E\u0301>";  // the mark composes with the letter before it
  const auto special = [&](std::vector<ByteRange> foreign) {
    const auto ids = tokenizer->encode(text, {.add_bos = false, .parse_special = true, .foreign = foreign});
    return ids.back() == 256;
  };
  EXPECT_TRUE(special({}));
  EXPECT_TRUE(special({{0, 1}}));
  EXPECT_FALSE(special({{3, 5}})) << "only the combining mark is foreign";
  EXPECT_FALSE(special({{5, 6}}));
}

//   parts (m: match)   behaviour              pieces
//   a m m b m          kContiguous            a mm b m
//                      kMergedWithPrevious    am m bm
//                      kMergedWithNext        a m mb m
TEST(SplitBehavior, JoinsMatchesAndGaps) {
  const std::vector<SplitPart> parts = {{0, 1, false}, {1, 2, true}, {2, 3, true}, {3, 4, false}, {4, 5, true}};
  const auto pieces = [&](SplitBehavior behavior) {
    std::vector<SplitPart> copy = parts;
    apply_behavior(behavior, copy);
    std::string out;
    for (const SplitPart& part : copy) out += std::string("ammbm").substr(part.begin, part.end - part.begin) + " ";
    return out;
  };
  EXPECT_EQ(pieces(SplitBehavior::kIsolated), "a m m b m ");
  EXPECT_EQ(pieces(SplitBehavior::kRemoved), "a b ");
  EXPECT_EQ(pieces(SplitBehavior::kContiguous), "a mm b m ");
  EXPECT_EQ(pieces(SplitBehavior::kMergedWithPrevious), "am m bm ");
  EXPECT_EQ(pieces(SplitBehavior::kMergedWithNext), "a m mb m ");
}

TEST(PreTokenizer, APatternThatTakesTooLongLeavesSingleCharacters) {
  const auto built = PreTokenizer::build({PreTokenizerStage::split("(a|a)*b")});
  ASSERT_TRUE(built) << built.error().message();
  const std::string text = std::string(20'000, 'a') + "é";
  Pieces pieces;
  built->split(text, true, pieces);
  EXPECT_EQ(pieces.views.size(), 20'001U);
  EXPECT_EQ(pieces.views.back(), "é");
}

}  // namespace
}  // namespace herd::tokenizer
