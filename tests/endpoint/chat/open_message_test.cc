// Where a prompt ends that goes on with its last message.
#include "endpoint/chat/open_message.h"

#include <gtest/gtest.h>

namespace herd::chat {
namespace {

const std::string kTag = "CONTINUE_FINAL_MESSAGE_TAG";

// What is left of `printed`, whose bytes from `from` on are foreign; "NO" when there is no place.
std::string cut(const std::string& said, const std::string& printed, std::size_t from = 0) {
  text::MarkedText text{printed, {{from, printed.size()}}};
  if (!cut_at_end({"assistant", said}, text)) return "NO";
  for (const text::ByteRange& range : text.foreign) EXPECT_TRUE(range.begin < range.end && range.end <= text.bytes.size());
  return text.bytes;
}

TEST(OpenMessage, EndsWhereTheTagIs) {
  EXPECT_EQ(cut("Well ", "<a>Well " + kTag + " </a>"), "<a>Well ");
  EXPECT_EQ(cut("Well ", "<a>Well " + kTag + "</a>"), "<a>Well") << "a template that trims has trimmed behind the tag";
  EXPECT_EQ(cut("", "<a>" + kTag + " </a>"), "<a>");
  EXPECT_EQ(cut(" \n", "  \n" + kTag), "");
}

TEST(OpenMessage, IsTheLastOfSeveral) {
  EXPECT_EQ(cut("x", "<u>x " + kTag + " </u><a>x" + kTag + " </a>"), "<u>x " + kTag + " </u><a>x");
}

TEST(OpenMessage, MarksEndWithIt) {
  text::MarkedText text{"ab" + kTag + " cd", {{0, 1}, {1, 2 + kTag.size() + 1}, {2 + kTag.size() + 2, 2 + kTag.size() + 3}}};
  ASSERT_TRUE(cut_at_end({"user", "b"}, text));
  EXPECT_EQ(text, (text::MarkedText{"ab", {{0, 1}, {1, 2}}}));
}

TEST(OpenMessage, HasNoPlaceInWhatIsNotPrintedAsItIs) {
  EXPECT_EQ(cut("Well", "<a>WELL" + kTag + " </a>"), "NO");
  EXPECT_EQ(cut("Well", "<a>Well</a>"), "NO");
}

TEST(OpenMessage, TheTagGoesBehindTheText) {
  ChatMessage message{"assistant", "ab", {"a", "b"}, {}};
  mark_end(message);
  EXPECT_EQ(message.content, "ab" + kTag + " ");
  EXPECT_EQ(message.parts, (std::vector<std::string>{"a", "b" + kTag + " "}));
}

}  // namespace
}  // namespace herd::chat
