// The tables of Unicode 16: values from the standard's own files, and laws that hold for all of them.
#include "runtime/text/utf8.h"
#include "runtime/unicode/letter_case.h"
#include "runtime/unicode/normal_forms.h"
#include "runtime/unicode/properties.h"

#include <gtest/gtest.h>

#include <string>

namespace herd::unicode {
namespace {

std::string in_form(NormalForm form, std::u32string_view text) {
  std::vector<TaggedPoint> points;
  for (const char32_t point : text) points.push_back({point, false});
  normalize(form, points);
  std::string out;
  for (const TaggedPoint& point : points) text::append_utf8(point.point, out);
  return out;
}

TEST(CodePointSet, IsRangesInOrder) {
  CodePointSet set({{5, 9}, {1, 2}, {3, 3}, {8, 12}});
  EXPECT_EQ(set.ranges(), (std::vector<CodePointRange>{{1, 3}, {5, 12}}));
  EXPECT_EQ(set.size(), 11U);
  EXPECT_TRUE(set.contains(12));
  EXPECT_FALSE(set.contains(4));
  EXPECT_FALSE(set.contains(0));
  EXPECT_EQ(set.complement().complement(), set);
  EXPECT_TRUE(set.intersect(set.complement()).empty());
  EXPECT_EQ(set.intersect(CodePointSet({{2, 6}})).ranges(), (std::vector<CodePointRange>{{2, 3}, {5, 6}}));
  set.add(4, 4);
  EXPECT_EQ(set.ranges(), (std::vector<CodePointRange>{{1, 12}}));
  EXPECT_EQ(CodePointSet({{0, kCodePointMax}}).complement().size(), 0U);
}

// DerivedGeneralCategory.txt of 16.0.0 counts them so.
TEST(Property, HasAsManyCodePointsAsTheStandard) {
  const auto count = [](std::string_view name) { return property(name)->size(); };
  EXPECT_EQ(count("L"), 141'028U);
  EXPECT_EQ(count("Lu"), 1'858U);
  EXPECT_EQ(count("Ll"), 2'258U);
  EXPECT_EQ(count("Nd"), 760U);
  EXPECT_EQ(count("N"), 1'911U);
  EXPECT_EQ(count("Zs"), 17U);
  EXPECT_EQ(count("Han"), 99'030U);
  EXPECT_EQ(white_space().size(), 25U);
  EXPECT_EQ(*property("uppercase_letter"), *property("Lu"));
  EXPECT_EQ(*property("Hani"), *property("han"));
  EXPECT_EQ(*property("Any"), CodePointSet({{0, kCodePointMax}}));
  EXPECT_FALSE(property("Klingon"));
  EXPECT_FALSE(property(""));
}

TEST(Property, CategoriesPartTheCodePoints) {
  std::size_t all = 0;
  for (const char* group : {"L", "M", "N", "P", "S", "Z", "C"}) all += property(group)->size();
  EXPECT_EQ(all, kCodePointMax + 1U);
}

TEST(LetterCase, LowersAndFolds) {
  const auto lower = [](char32_t point) {
    std::u32string out;
    append_lower_case(point, out);
    return out;
  };
  EXPECT_EQ(lower(U'A'), U"a");
  EXPECT_EQ(lower(U'a'), U"a");
  EXPECT_EQ(lower(U'É'), U"é");
  EXPECT_EQ(lower(0x130), U"i\u0307");
  EXPECT_EQ(lower(0x1E9E), U"ß");
  EXPECT_EQ(lower(0x10D50), std::u32string(1, 0x10D70));  // Garay, new in 16
  EXPECT_EQ(lower(0x3A3), U"σ");
  std::size_t pairs = 0;
  for (const auto& [point, other] : case_pairs()) {
    EXPECT_NE(point, other);
    pairs += point == U'k' && (other == U'K' || other == 0x212A) ? 1 : 0;
    EXPECT_FALSE(point == U'i' && other == 0x130);
  }
  EXPECT_EQ(pairs, 2U);
}

TEST(NormalForms, ComposeDecomposeAndReorder) {
  EXPECT_EQ(in_form(NormalForm::kNfc, U"e\u0301"), "é");
  EXPECT_EQ(in_form(NormalForm::kNfd, U"é"), "e\u0301");
  EXPECT_EQ(in_form(NormalForm::kNfkc, U"\uFB01\u00BD\u2460"), "fi1\u20442" "1");
  EXPECT_EQ(in_form(NormalForm::kNfc, U"\uFB01"), "\uFB01");
  EXPECT_EQ(in_form(NormalForm::kNfkd, U"\uFF21"), "A");
  EXPECT_EQ(in_form(NormalForm::kNfc, U"\uD55C"), "\uD55C");
  EXPECT_EQ(in_form(NormalForm::kNfd, U"\uD55C"), "\u1112\u1161\u11AB");
  EXPECT_EQ(in_form(NormalForm::kNfc, U"\u1112\u1161\u11AB"), "\uD55C");
  EXPECT_EQ(in_form(NormalForm::kNfd, U"a\u0315\u0300"), "a\u0300\u0315") << "ordered by combining class";
  EXPECT_EQ(in_form(NormalForm::kNfc, U"a\u0315\u0300"), "\u00E0\u0315");
  EXPECT_EQ(in_form(NormalForm::kNfc, U"\u0344"), "\u0308\u0301") << "excluded from composition";
  EXPECT_EQ(in_form(NormalForm::kNfc, U"a\u0300\u0301"), "\u00E0\u0301") << "the second mark is blocked by nothing, and makes nothing";
  EXPECT_EQ(in_form(NormalForm::kNfc, U"\u0958"), "\u0915\u093C");
}

TEST(NormalForms, AreIdempotentForEveryCodePoint) {
  for (const NormalForm form : {NormalForm::kNfc, NormalForm::kNfd, NormalForm::kNfkc, NormalForm::kNfkd}) {
    for (char32_t point = 0; point <= kCodePointMax; ++point) {
      if (point >= 0xD800 && point < 0xE000) continue;
      std::vector<TaggedPoint> once = {{point, true}};
      normalize(form, once);
      std::vector<TaggedPoint> twice = once;
      normalize(form, twice);
      ASSERT_EQ(once, twice) << static_cast<std::uint32_t>(point);
      for (const TaggedPoint& each : once) ASSERT_TRUE(each.tag);
    }
  }
}

TEST(NormalForms, ACompositionIsTaggedWhenAPartIs) {
  std::vector<TaggedPoint> points = {{U'e', false}, {0x301, true}, {U'x', false}};
  normalize(NormalForm::kNfc, points);
  EXPECT_EQ(points, (std::vector<TaggedPoint>{{U'é', true}, {U'x', false}}));
}

}  // namespace
}  // namespace herd::unicode
