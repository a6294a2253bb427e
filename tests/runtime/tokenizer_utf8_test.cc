#include "runtime/text/utf8.h"

#include "runtime/tokenizer/byte_alphabet.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <string>

namespace herd::tokenizer {
namespace {

// Right column: Python's bytes.decode("utf-8", "replace"), with ? for U+FFFD.
//   bytes                    text
//   FF                       ?
//   C3                       ?            (ends inside a character)
//   C3 28                    ?(
//   E2 82                    ?            (one maximal part, not two)
//   E2 82 41                 ?A
//   E0 80 80                 ???          (E0 80 can begin nothing)
//   ED A0 80                 ???          (surrogate)
//   F0 9F 98                 ?
//   F0 9F 98 F0 9F 98 80     ?😀
//   F4 90 80 80              ????         (above U+10FFFF)
//   C0 AF                    ??           (overlong)
//   41 80 42                 A?B
TEST(Utf8, MaximalInvalidPartsBecomeReplacementCharacters) {
  const std::string r(text::kReplacementUtf8);
  const std::pair<std::string, std::string> cases[] = {
      {"\xFF", r},
      {"\xC3", r},
      {"\xC3(", r + "("},
      {"\xE2\x82", r},
      {"\xE2\x82" "A", r + "A"},
      {"\xE0\x80\x80", r + r + r},
      {"\xED\xA0\x80", r + r + r},
      {"\xF0\x9F\x98", r},
      {"\xF0\x9F\x98\xF0\x9F\x98\x80", r + "\xF0\x9F\x98\x80"},
      {"\xF4\x90\x80\x80", r + r + r + r},
      {"\xC0\xAF", r + r},
      {"A\x80" "B", "A" + r + "B"},
      {"twelve ASCII\xFF and more ASCII", "twelve ASCII" + r + " and more ASCII"},
  };
  for (const auto& [bytes, text] : cases) {
    EXPECT_EQ(text::replace_invalid_utf8(bytes), text);
    EXPECT_FALSE(text::is_valid_utf8(bytes));
    EXPECT_TRUE(text::is_valid_utf8(text));
    EXPECT_EQ(text::replace_invalid_utf8(text), text);
  }
  EXPECT_TRUE(text::is_valid_utf8(""));
}

std::string by_hand(char32_t c) {
  std::string text;
  const auto continuation = [&](unsigned shift) { text.push_back(static_cast<char>(0x80 | ((c >> shift) & 63))); };
  if (c < 0x80) {
    text.push_back(static_cast<char>(c));
  } else if (c < 0x800) {
    text.push_back(static_cast<char>(0xC0 | (c >> 6)));
  } else if (c < 0x10000) {
    text.push_back(static_cast<char>(0xE0 | (c >> 12)));
    continuation(6);
  } else {
    text.push_back(static_cast<char>(0xF0 | (c >> 18)));
    continuation(12);
    continuation(6);
  }
  if (c >= 0x80) continuation(0);
  return text;
}

TEST(Utf8, EveryScalarValueIsValidAndSurrogatesAreNot) {
  for (char32_t c = 1; c <= 0x10FFFF; c += c < 0x3000 ? 1 : 61) {
    const std::string text = by_hand(c);
    const bool surrogate = c >= 0xD800 && c <= 0xDFFF;
    ASSERT_EQ(text::is_valid_utf8(text), !surrogate) << std::hex << static_cast<unsigned>(c);
    if (surrogate) continue;
    const text::CodePoint point = text::first_code_point(text);
    ASSERT_EQ(point.value, c);
    ASSERT_EQ(point.size, text.size());
    for (std::size_t size = 1; size < text.size(); ++size) {
      const text::CodePoint part = text::first_code_point(std::string_view(text).substr(0, size));
      ASSERT_TRUE(part.incomplete);
      ASSERT_EQ(part.size, size);
    }
  }
}

TEST(Utf8, StripTakesPythonWhiteSpaceOnly) {
  EXPECT_EQ(text::strip(" \t\r\n a b\xC2\xA0\xE3\x80\x80\x1F"), "a b");
  EXPECT_EQ(text::strip("\xE2\x80\x8B" "a"), "\xE2\x80\x8B" "a");  // zero-width space is not white space
  EXPECT_EQ(text::strip(" \n "), "");
  EXPECT_EQ(text::strip(""), "");
}

TEST(ByteAlphabet, SpellsEveryByteAndBack) {
  for (int byte = 0; byte < 256; ++byte) {
    const std::string bytes(1, static_cast<char>(byte));
    EXPECT_EQ(bytes_from_alphabet(bytes_to_alphabet(bytes)), bytes);
  }
  EXPECT_EQ(bytes_to_alphabet(" the\n\t"), "\xC4\xA0the\xC4\x8A\xC4\x89");
  EXPECT_FALSE(bytes_from_alphabet("a b"));
  EXPECT_FALSE(bytes_from_alphabet("\xE2\x96\x81"));
}

TEST(Utf8, AppendsWhatTheDecoderReads) {
  for (const std::uint32_t point : {0x0U, 0x41U, 0x7FU, 0x80U, 0x7FFU, 0x800U, 0xD7FFU, 0xE000U, 0xFFFFU, 0x10000U, 0x10FFFFU}) {
    std::string out = "x";
    text::append_utf8(point, out);
    const text::CodePoint read = text::first_code_point(std::string_view(out).substr(1));
    EXPECT_TRUE(read.valid) << point;
    EXPECT_EQ(static_cast<std::uint32_t>(read.value), point);
    EXPECT_EQ(read.size, out.size() - 1);
  }
}

}  // namespace
}  // namespace herd::tokenizer
