// What clients send, on its way into a log line or a label.
#include "observability/clean_text.h"

#include <gtest/gtest.h>

namespace herd::observability {
namespace {

std::string escaped(std::string_view text) {
  std::string out;
  append_escaped(out, text);
  return out;
}

std::string text_value(std::string_view text) {
  std::string out;
  append_text_value(out, text);
  return out;
}

// One U+FFFD per maximal run that could have begun a character (Unicode 15, section 3.9).
TEST(CleanText, BytesThatAreNoUtf8BecomeReplacementCharacters) {
  const struct {
    std::string_view in, out;
  } rows[] = {
      {"", ""},
      {"plain", "plain"},
      {"h\u00e9rd \u20ac \U0001F600", "h\u00e9rd \u20ac \U0001F600"},
      {"\xF4\x8F\xBF\xBF", "\xF4\x8F\xBF\xBF"},  // U+10FFFF
      {"a\xFFz", "a\uFFFDz"},
      {"\x80", "\uFFFD"},                                // a continuation alone
      {"\xC0\xAF", "\uFFFD\uFFFD"},                      // overlong
      {"\xE0\x80\x80", "\uFFFD\uFFFD\uFFFD"},            // overlong
      {"\xED\xA0\x80", "\uFFFD\uFFFD\uFFFD"},            // a surrogate
      {"\xF4\x90\x80\x80", "\uFFFD\uFFFD\uFFFD\uFFFD"},  // above U+10FFFF
      {"\xE2\x82", "\uFFFD"},                            // cut short
      {"\xE2\x82z", "\uFFFDz"},
      {"\xF0\x9F\x98", "\uFFFD"},
      {"\xF0\x9F\x98\xF0\x9F\x98\x80", "\uFFFD\U0001F600"},
  };
  for (const auto& row : rows) EXPECT_EQ(escaped(row.in), row.out) << testing::PrintToString(row.in);
}

TEST(CleanText, ControlCharactersAndQuotesAreEscapedAsInJson) {
  using namespace std::string_view_literals;
  EXPECT_EQ(escaped("a\"b\\c\n\r\t"), R"(a\"b\\c\n\r\t)");
  EXPECT_EQ(escaped("\0\x01\x1B[31m\x7F"sv), R"(\u0000\u0001\u001b[31m\u007f)");
  EXPECT_EQ(escaped("\xC2\x9B"
                    "31m"),
            R"(\u009b31m)");  // CSI, which terminals obey as well
  EXPECT_EQ(escaped("\xC2\xA0"), "\xC2\xA0");
  EXPECT_EQ(escaped("x\xFFy"), "x\uFFFDy");
}

TEST(CleanText, LongValuesAreCutBetweenCharacters) {
  const std::string full(kLogValueBytesMax, 'a');
  EXPECT_EQ(escaped(full), full);
  EXPECT_EQ(escaped(full + "b"), full + "…");
  const std::string almost(kLogValueBytesMax - 1, 'a');
  EXPECT_EQ(escaped(almost + "\u20ac"), almost + "…");
}

TEST(CleanText, TextValuesAreQuotedWhenAReaderCouldBeMisled) {
  EXPECT_EQ(text_value("chatcmpl-1"), "chatcmpl-1");
  EXPECT_EQ(text_value(""), R"("")");
  EXPECT_EQ(text_value("two words"), R"("two words")");
  EXPECT_EQ(text_value("a=b"), R"("a=b")");
  EXPECT_EQ(text_value("say \"hi\""), R"("say \"hi\"")");
  EXPECT_EQ(text_value("a\nlevel=ERROR"), R"("a\nlevel=ERROR")");
  EXPECT_EQ(text_value("h\u00e9rd"), "\"h\u00e9rd\"");
  EXPECT_EQ(text_value(std::string(kLogValueBytesMax + 1, 'a')), "\"" + std::string(kLogValueBytesMax, 'a') + "…\"");
}

}  // namespace
}  // namespace herd::observability
