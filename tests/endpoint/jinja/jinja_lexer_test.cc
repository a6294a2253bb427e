// White space around tags, literals, comments, raw text.
#include "tests/endpoint/jinja/jinja_fixture.h"

#include <gtest/gtest.h>

namespace herd::jinja {
namespace {

TEST(JinjaLexer, BlocksTakeTheirLineAndOutputsDoNot) {
  EXPECT_EQ(render("a\n  {% if true %}\nb\n  {% endif %}\nc"), "a\nb\nc");
  EXPECT_EQ(render("a\n  {{ name }}\nb"), "a\n  Ada\nb");
  EXPECT_EQ(render("x {% if true %} b {% endif %}\n\ny"), "x  b \ny");
  EXPECT_EQ(render("  {# note #}\nb"), "b");
}

TEST(JinjaLexer, SignsTakeAndKeepWhiteSpace) {
  EXPECT_EQ(render("a \n {%- if true -%} \n b \n {%- endif %} c"), "ab c");
  EXPECT_EQ(render("a\n  {%+ if true +%}\nb{% endif %}"), "a\n  \nb");
  EXPECT_EQ(render("a {{- name -}} b"), "aAdab");
  EXPECT_EQ(render("a\n {#- x -#} \nb"), "ab");
  EXPECT_EQ(render("a {{ -1 }}"), "a -1");
  EXPECT_EQ(render("a {{-1 }}"), "a1");
}

TEST(JinjaLexer, TheLastLineBreakIsDroppedAndTheOthersAreLineFeeds) {
  EXPECT_EQ(render("a\r\nb\rc\n"), "a\nb\nc");
  EXPECT_EQ(render("a\n\n"), "a\n");
}

TEST(JinjaLexer, RawIsText) {
  EXPECT_EQ(render("{% raw %}{{ x }}{% y %}{% endraw %}!"), "{{ x }}{% y %}!");
  EXPECT_EQ(render("a {%- raw -%} b {%- endraw -%} c"), "abc");
}

TEST(JinjaLexer, EscapesAreThoseOfPython) {
  EXPECT_EQ(render(R"({{ 'a\n\t\'\"\\\x41\u00e9\101\q' }})"), "a\n\t'\"\\A\xC3\xA9" "A\\q");
  EXPECT_EQ(render(R"({{ "x" 'y' }})"), "xy");
  EXPECT_EQ(render(R"({{ '\N{BULLET}' }})"), "ERROR line 1, column 4: this escape in a string is not supported");
  EXPECT_EQ(render(R"({{ '\ud83d' }})"), "ERROR line 1, column 4: the escape \\u in a string is not a character");
}

TEST(JinjaLexer, NumbersAreThoseOfPython) {
  EXPECT_EQ(render("{{ 1_000 }} {{ 0x1F }} {{ 0O17 }} {{ 0b1_01 }} {{ 1e3 }} {{ 1.5E-3 }} {{ 00 }}"), "1000 31 15 5 1000.0 0.0015 0");
}

TEST(JinjaLexer, ErrorsNameThePlace) {
  EXPECT_EQ(render("a\nb {{ 'x }}"), "ERROR line 2, column 6: a string is not closed");
  EXPECT_EQ(render("a\n{# b"), "ERROR line 2, column 1: a comment is not closed");
  EXPECT_EQ(render("äö {% if true"), "ERROR line 1, column 4: a tag is not closed");
  EXPECT_EQ(render("{{ 0x }}"), "ERROR line 1, column 4: this spelling of a number is not supported");
  EXPECT_EQ(render("{{ 012 }}"), "ERROR line 1, column 4: this spelling of a number is not supported");
  EXPECT_EQ(render("ä\n {{ 'ä' ? b }}"), "ERROR line 2, column 9: unexpected character in a tag");
  EXPECT_EQ(render("a\r\n\r\n{{ (] }}"), "ERROR line 3, column 5: unexpected \"]\"");
  EXPECT_EQ(render("\n{% raw %}"), "ERROR line 2, column 1: {% raw %} is not closed");
  EXPECT_EQ(render("\xff"), "ERROR not UTF-8");
}

}  // namespace
}  // namespace herd::jinja
