// Strings and numbers as JSON text, read back by another implementation.
#include "endpoint/openai/json_text.h"

#include <bit>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <random>

#include <boost/json.hpp>
#include <gtest/gtest.h>

namespace herd::openai {
namespace {

std::string as_json(std::string_view text) {
  std::string out;
  append_quoted(text, out);
  return out;
}

std::string float_text(float number) {
  std::string out;
  append_float(number, out);
  return out;
}

void append_utf8(char32_t point, std::string& text) {
  const auto tail = [point](unsigned shift) { return static_cast<char>(0x80U | (point >> shift & 0x3fU)); };
  if (point < 0x80) text += static_cast<char>(point);
  else if (point < 0x800) text += {static_cast<char>(0xC0U | point >> 6U), tail(0)};
  else if (point < 0x10000) text += {static_cast<char>(0xE0U | point >> 12U), tail(6), tail(0)};
  else text += {static_cast<char>(0xF0U | point >> 18U), tail(12), tail(6), tail(0)};
}

TEST(JsonText, EscapesWhatJsonAsksForAndDel) {
  EXPECT_EQ(as_json("a\"b\\c/d"), R"("a\"b\\c/d")");
  EXPECT_EQ(as_json("\b\t\n\f\r"), R"("\b\t\n\f\r")");
  EXPECT_EQ(as_json(std::string_view("\0\x01\x1f\x20\x7f", 5)), "\"\\u0000\\u0001\\u001f \\u007f\"");
  EXPECT_EQ(as_json("é€😀"), "\"é€😀\"");
  EXPECT_EQ(as_json(""), "\"\"");
}

TEST(JsonText, EveryByteAtEveryPlaceOfAWordIsEscapedAlike) {
  for (int byte = 0; byte < 0x80; ++byte) {
    const std::string one = as_json(std::string(1, static_cast<char>(byte)));
    for (std::size_t place = 0; place < 20; ++place) {
      std::string text(20, 'x');
      text[place] = static_cast<char>(byte);
      std::string expected(place + 1, 'x');
      expected.front() = '"';
      expected.append(one, 1, one.size() - 2).append(19 - place, 'x').append("\"");
      EXPECT_EQ(as_json(text), expected) << byte << " at " << place;
    }
  }
}

// What Python's splitlines() takes for the end of a line must not stand in an event: clients would cut it in two.
TEST(JsonText, NoCharacterEndsALineForAnyReader) {
  EXPECT_EQ(as_json("a\u0085b\u2028c\u2029"), R"("a\u0085b\u2028c\u2029")");
  EXPECT_EQ(as_json("\u0084\u0086\u2027\u202a\u00e9 “…”"), "\"\u0084\u0086\u2027\u202a\u00e9 “…”\"");
  for (const char* end : {"\u0085", "\u2028", "\u2029"}) {
    for (std::size_t place = 0; place < 20; ++place) {
      const std::string text = std::string(place, 'x') + end + std::string(19 - place, 'y');
      const std::string json = as_json(text);
      EXPECT_EQ(json.find(end), std::string::npos) << place;
      EXPECT_EQ(std::string(boost::json::parse(json).as_string()), text);
    }
  }
}

TEST(JsonText, AnyTextReadsBackAsItWas) {
  std::mt19937 random(7);
  for (int round = 0; round < 2000; ++round) {
    constexpr char32_t kFirsts[] = {0, 0x20, 0x80, 0x800, 0xE000, 0x10000};
    constexpr char32_t kEnds[] = {0x20, 0x80, 0x800, 0xD800, 0x10000, 0x110000};
    std::string text;
    for (std::size_t size = random() % 40; size > 0; --size) {
      const std::size_t range = random() % 6;
      append_utf8(kFirsts[range] + static_cast<char32_t>(random() % (kEnds[range] - kFirsts[range])), text);
    }
    const std::string json = as_json(text);
    EXPECT_EQ(json.find_first_of("\n\r"), std::string::npos);  // a frame of a stream is one line
    EXPECT_EQ(std::string(boost::json::parse(json).as_string()), text);
  }
}

TEST(JsonText, FloatsAreShortAndReadBackAsTheSameFloat) {
  EXPECT_EQ(float_text(0.0F), "0.0");
  EXPECT_EQ(float_text(-0.0F), "-0.0");
  EXPECT_EQ(float_text(-0.1F), "-0.1");
  EXPECT_EQ(float_text(-2.0F), "-2.0");
  EXPECT_EQ(float_text(-1e-7F), "-1e-07");
  EXPECT_EQ(float_text(-std::numeric_limits<float>::infinity()), "-9999.0");
  EXPECT_EQ(float_text(std::numeric_limits<float>::quiet_NaN()), "-9999.0");
  std::mt19937 random(11);
  for (int round = 0; round < 20'000; ++round) {
    const auto number = std::bit_cast<float>(static_cast<std::uint32_t>(random()));
    if (!std::isfinite(number)) continue;
    const std::string text = float_text(number);
    const boost::json::value value = boost::json::parse(text);
    ASSERT_TRUE(value.is_double()) << text;
    ASSERT_EQ(std::strtof(text.c_str(), nullptr), number) << text;
  }
}

TEST(JsonText, NumbersOfEveryWidthFit) {
  std::string out;
  append_number(std::numeric_limits<std::int64_t>::min(), out);
  append_number(std::numeric_limits<std::uint64_t>::max(), out);
  EXPECT_EQ(out, "-922337203685477580818446744073709551615");
  out.clear();
  append_ids(std::vector<int>{}, out);
  append_ids(std::vector<int>{-1, 0, 7}, out);
  EXPECT_EQ(out, "[][-1,0,7]");
  out.clear();
  append_double(0.5, out);
  append_double(std::nan(""), out);
  EXPECT_EQ(out, "0.50.0");
}

}  // namespace
}  // namespace herd::openai
