// Against what Python's json.dumps prints.
#include "runtime/text/json_string.h"

#include <gtest/gtest.h>

namespace herd::text {
namespace {

using namespace std::string_view_literals;

TEST(JsonString, EscapesAsPythonDoes) {
  EXPECT_EQ(json_string("", false), R"("")");
  EXPECT_EQ(json_string("a\"b\\c/", false), R"("a\"b\\c/")");
  EXPECT_EQ(json_string("\b\f\n\r\t", false), R"("\b\f\n\r\t")");
  EXPECT_EQ(json_string("\0\x1F\x7F"sv, false), "\"\\u0000\\u001f\x7F\"");
}

TEST(JsonString, LeavesOrEscapesWhatIsBeyondAscii) {
  EXPECT_EQ(json_string("h\u00e9 \u2028 \U0001F600", false), "\"h\u00e9 \u2028 \U0001F600\"");
  EXPECT_EQ(json_string("h\u00e9 \u2028 \U0001F600", true), R"("h\u00e9 \u2028 \ud83d\ude00")");
}

}  // namespace
}  // namespace herd::text
