#include "runtime/tokenizer/normalizer.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace herd::tokenizer {
namespace {

using Kind = NormalizerStep::Kind;
using text::MarkedText;

NormalizerStep step(Kind kind, std::string pattern = {}, std::string content = {}) {
  NormalizerStep made;
  made.kind = kind;
  made.pattern = std::move(pattern);
  made.content = std::move(content);
  return made;
}

MarkedText normalized(const std::vector<NormalizerStep>& steps, MarkedText text) {
  const auto normalizer = Normalizer::build(steps);
  if (!normalizer) return {normalizer.error().message(), {}};
  return normalizer->apply(std::move(text));
}

std::string normalized(const std::vector<NormalizerStep>& steps, std::string text) {
  return normalized(steps, MarkedText{std::move(text), {}}).bytes;
}

TEST(Normalizer, StepsFollowOneAnother) {
  EXPECT_EQ(normalized({}, "Ab"), "Ab");
  EXPECT_EQ(normalized({step(Kind::kPrepend, {}, "▁"), step(Kind::kReplace, " ", "▁")}, "a b"), "▁a▁b");
  EXPECT_EQ(normalized({step(Kind::kPrepend, {}, "▁")}, ""), "") << "nothing stands before an empty text";
  EXPECT_EQ(normalized({step(Kind::kNfd), step(Kind::kLowercase)}, "É"), "e\u0301");
  EXPECT_EQ(normalized({step(Kind::kNfkc)}, "x ﬁ½ x\u0301ＡＢ"), "x fi1\u2044" "2 x\u0301AB");
  EXPECT_EQ(normalized({step(Kind::kNfc)}, "ae\u0301e\u0301 z"), "aéé z");
}

TEST(Normalizer, ReplacesTextsAndMatches) {
  EXPECT_EQ(normalized({step(Kind::kReplace, "aa", "b")}, "aaaXaa"), "baXb");
  EXPECT_EQ(normalized({step(Kind::kReplace, "", "b")}, "aa"), "aa");
  EXPECT_EQ(normalized({step(Kind::kReplace, "a", "")}, "aba"), "b");
  NormalizerStep regex = step(Kind::kReplace, R"(\s+)", " ");
  regex.is_regex = true;
  EXPECT_EQ(normalized({regex}, "a \n b\u3000c"), "a b c");
  regex.pattern = "x*";
  EXPECT_EQ(normalized({regex}, "axb"), " a b ");
  regex.pattern = "(";
  EXPECT_NE(normalized({regex}, "a").find("normalizer: pattern '('"), std::string::npos);
}

// Sixteen steps that each write ten letters for one would make 10^16 of a single one.
TEST(Normalizer, StepsThatMultiplyATextAreRefused) {
  const NormalizerStep ten = step(Kind::kReplace, "a", std::string(10, 'a'));
  EXPECT_EQ(normalized({ten, ten, ten}, "a"), std::string(1000, 'a'));
  EXPECT_EQ(normalized({ten, ten, ten, ten}, "a"), "normalizer: its steps may make a text more than 4096 times as long");
  EXPECT_NE(normalized({step(Kind::kPrepend, {}, std::string(4096, 'a'))}, "a").find("normalizer: its steps"), std::string::npos);
  NormalizerStep everywhere = step(Kind::kReplace, "x*", "ab");
  everywhere.is_regex = true;
  EXPECT_NE(normalized(std::vector(16, everywhere), "a").find("normalizer: its steps"), std::string::npos);
  everywhere.pattern = "x+";
  everywhere.content = " ";
  EXPECT_EQ(normalized(std::vector(16, everywhere), "axx"), "a ") << "one byte for at least one";
}

TEST(Normalizer, StripsWhiteSpace) {
  NormalizerStep strip = step(Kind::kStrip);
  EXPECT_EQ(normalized({strip}, " a "), " a ");
  strip.left = true;
  EXPECT_EQ(normalized({strip}, " \u3000a "), "a ");
  strip.right = true;
  EXPECT_EQ(normalized({strip}, " \u3000a \n"), "a");
  EXPECT_EQ(normalized({strip}, " \n"), "");
}

//   step                 text        foreign       result     foreign
//   Prepend ▁            ab          b             ▁ab        b
//   Replace b by xx      abc         b             axxc       xx
//   Replace bc by x      abc         c             ax         x
//   NFC                  e◌́a        ◌́            éa         é
//   Lowercase            AÉ          É             aé         é
//   Strip                " a "       first two     a          a
TEST(Normalizer, MarksFollowTheirText) {
  EXPECT_EQ(normalized({step(Kind::kPrepend, {}, "▁")}, {"ab", {{1, 2}}}), (MarkedText{"▁ab", {{4, 5}}}));
  EXPECT_EQ(normalized({step(Kind::kReplace, "b", "xx")}, {"abc", {{1, 2}}}), (MarkedText{"axxc", {{1, 3}}}));
  EXPECT_EQ(normalized({step(Kind::kReplace, "bc", "x")}, {"abc", {{2, 3}}}), (MarkedText{"ax", {{1, 2}}}));
  EXPECT_EQ(normalized({step(Kind::kReplace, "b", "")}, {"abc", {{0, 3}}}), (MarkedText{"ac", {{0, 2}}}));
  EXPECT_EQ(normalized({step(Kind::kNfc)}, {"e\u0301a", {{1, 3}}}), (MarkedText{"éa", {{0, 2}}}));
  EXPECT_EQ(normalized({step(Kind::kLowercase)}, {"AÉ", {{1, 3}}}), (MarkedText{"aé", {{1, 3}}}));
  NormalizerStep strip = step(Kind::kStrip);
  strip.left = strip.right = true;
  EXPECT_EQ(normalized({strip}, {" a ", {{0, 2}}}), (MarkedText{"a", {{0, 1}}}));
}

}  // namespace
}  // namespace herd::tokenizer
