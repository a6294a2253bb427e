#include "actors/children/output_lines.h"

#include <gtest/gtest.h>

namespace herd::children {
namespace {

using Lines = std::vector<std::string>;

TEST(OutputLines, AreWholeHoweverTheBytesCome) {
  OutputLines lines;
  EXPECT_EQ(lines.add("on"), Lines{});
  EXPECT_EQ(lines.add("e\n\ntwo\nthr"), (Lines{"one", "", "two"}));
  EXPECT_EQ(lines.add("ee\n"), Lines{"three"});
  EXPECT_EQ(lines.finish(), Lines{});
}

TEST(OutputLines, TheLastOneNeedsNoLineFeed) {
  OutputLines lines;
  EXPECT_EQ(lines.add("one\ntw"), Lines{"one"});
  EXPECT_EQ(lines.add("o"), Lines{});
  EXPECT_EQ(lines.finish(), Lines{"two"});
  EXPECT_EQ(lines.finish(), Lines{});
  EXPECT_EQ(lines.last_words(), "one\ntwo\n");
}

TEST(OutputLines, ALineThatIsTooLongLosesItsEndAndNoOtherLine) {
  OutputLines lines;
  for (int i = 0; i < 5; ++i) EXPECT_EQ(lines.add(std::string(kLineBytesMax / 2, 'a')), Lines{});
  EXPECT_EQ(lines.add("b\nnext\n"), (Lines{std::string(kLineBytesMax, 'a'), "next"}));
}

TEST(OutputLines, LastWordsAreTheLastWholeLinesThatFit) {
  OutputLines lines;
  std::string all;
  for (int i = 0; i < 20'000; ++i) {
    const std::string line = "line " + std::to_string(i) + "\n";
    all += line;
    (void)lines.add(line);
  }
  const std::string words = lines.last_words();
  EXPECT_LE(words.size(), kLastWordsBytesMax);
  EXPECT_GT(words.size(), kLastWordsBytesMax - 20);
  EXPECT_TRUE(words.starts_with("line "));
  EXPECT_TRUE(all.ends_with("\n" + words));
}

}  // namespace
}  // namespace herd::children
