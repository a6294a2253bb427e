// Whose text it is: what came with a message keeps its mark through every operation, and nothing else gets one.
#include "endpoint/jinja/template.h"
#include "endpoint/jinja/text_part.h"

#include <gtest/gtest.h>

namespace herd::jinja {
namespace {

// Foreign runs stand between « and ».
std::string shown(const text::MarkedText& text) {
  std::string out;
  TextPart(text).each_run([&out](std::string_view run, bool foreign) {
    out += foreign ? "«" + std::string(run) + "»" : std::string(run);
  });
  return out;
}

std::string marked(const std::string& source) {
  const auto compiled = Template::compile(source);
  if (!compiled) return "ERROR " + compiled.error().message();
  const Value call = make_foreign_dict({{"key", Value::foreign_text("<a>")}, {"limit", Value::integer(2)}});
  const Variables variables = {
      {"bos_token", Value::text("<s>")},
      {"x", Value::foreign_text(" Hi, you \n")},
      {"u", Value::foreign_text("ä<|b|>ß")},
      {"messages", make_list({make_dict({{"role", Value::text("user")}, {"content", Value::foreign_text("a,b")}, {"call", call}})})},
      {"parts", make_list({Value::foreign_text("p"), Value::text("q"), Value::foreign_text("'r'")})}};
  const auto text = compiled->render(variables);
  return text ? shown(*text) : "ERROR " + text.error().message();
}

void marks_equal(std::initializer_list<std::pair<const char*, const char*>> rows) {
  for (const auto& [expression, printed] : rows) EXPECT_EQ(marked("{{ " + std::string(expression) + " }}"), printed) << expression;
}

TEST(JinjaMarks, WhatIsPrintedKeepsItsOrigin) {
  EXPECT_EQ(marked("{{ bos_token }}{% for m in messages %}<|{{ m.role }}|>{{ m.content }}<|end|>{% endfor %}"),
            "<s><|user|>«a,b»<|end|>");
  EXPECT_EQ(marked("{{ x }}{{ u }}|{{ missing }}{{ 12 }}{{ none }}{{ 1.5 }}"), "« Hi, you \nä<|b|>ß»|12None1.5");
}

TEST(JinjaMarks, TextsPutTogetherKeepTheirParts) {
  marks_equal({{"'<' + x + '>'", "<« Hi, you \n»>"}, {"'<' ~ u ~ 1 ~ u ~ '>'", "<«ä<|b|>ß»1«ä<|b|>ß»>"}, {"parts[0] * 3", "«ppp»"},
               {"('a' ~ parts[0]) * 2", "a«p»a«p»"}, {"parts | join", "«p»q«'r'»"}, {"parts | join(parts[0])", "«pp»q«p'r'»"},
               {"', '.join(parts)", "«p», q, «'r'»"}, {"parts[0].join(['a', 'b'])", "a«p»b"}, {"[1, u] | join('-')", "1-«ä<|b|>ß»"}});
}

TEST(JinjaMarks, PartsOfTextsKeepTheirs) {
  marks_equal({{"x | trim", "«Hi, you»"}, {"('[' ~ x ~ ']').strip('[')", "« Hi, you \n»]"}, {"x.split(',')[0] ~ '.'", "« Hi»."},
               {"('a ' ~ x ~ ' b').split() | join('|')", "a|«Hi,»|«you»|b"}, {"u[0] ~ u[-1]", "«äß»"}, {"('<' ~ u ~ '>')[:2]", "<«ä»"},
               {"('<' ~ u ~ '>')[-2:]", "«ß»>"}, {"('<' ~ parts[0] ~ '>')[::-1]", ">«p»<"}, {"('a' ~ parts[0]) | list | last", "«p»"},
               {"('a' ~ parts[0]) | first", "a"}, {"('a' ~ parts[0]) | reverse", "«p»a"}});
  EXPECT_EQ(marked("{% for c in 'a' ~ u[0] %}({{ c }}){% endfor %}"), "(a)(«ä»)");
}

TEST(JinjaMarks, ReplacedTextIsOfWhoeverWroteWhatStandsThere) {
  marks_equal({{"'a-b' | replace('-', x)", "a« Hi, you \n»b"}, {"x.replace('Hi', 'Ho')", "« »Ho«, you \n»"}, {"x.replace('z', 'y')", "« Hi, you \n»"},
               {"u.replace(parts[0], 'y')", "«ä<|b|>ß»"}, {"parts[0].replace('', '.')", ".«p»."}, {"'ab'.replace('', parts[0], 2)", "«p»a«p»b"}});
}

TEST(JinjaMarks, CaseAndIndentionChangeNothingOfIt) {
  marks_equal({{"('a' ~ parts[0]) | upper", "A«P»"}, {"(parts[0] ~ ' ab c') | title", "«P» Ab C"}, {"('x' ~ parts[0] ~ 'Y').capitalize()", "X«p»y"},
               {"(u ~ 'ß') | upper", "«Ä<|B|>SS»SS"}, {"('Α' ~ 'Σ' ~ parts[0]) | lower", "ασ«p»"},
               {"('a\n' ~ parts[0]) | indent(2)", "a\n  «p»"}, {"('a\n' ~ parts[0]) | indent(parts[0])", "a\n«pp»"}});
}

TEST(JinjaMarks, QuotesAreTheTemplatesAndEscapesAreOfWhatTheyStandFor) {
  marks_equal({{"u | tojson", "\"«ä<|b|>ß»\""}, {"u | tojson(ensure_ascii=true)", "\"«\\u00e4<|b|>\\u00df»\""}, {"x | tojson", "\"« Hi, you \\n»\""},
               {"messages[0] | tojson", "{\"role\": \"user\", \"content\": \"«a,b»\", \"call\": {\"«key»\": \"«<a>»\", \"«limit»\": 2}}"},
               {"parts", "['«p»', 'q', \"«'r'»\"]"}, {"[x] | string", "['« Hi, you \\n»']"}, {"messages[0].call", "{'«key»': '«<a>»', '«limit»': 2}"},
               {"parts | tojson(separators=(parts[0], ':'))", "[\"«p»\"«p»\"q\"«p»\"«'r'»\"]"}, {"[1] | tojson(indent=parts[0])", "[\n«p»1\n]"}});
}

TEST(JinjaMarks, FormatsPutMarkedTextsIn) {
  marks_equal({{"'<%s|%s>' % (parts[0], 1)", "<«p»|1>"}, {"parts[0] ~ '%s' % parts[0]", "«pp»"}, {"'<%3s|%-3s|%.1s>' % (parts[0], parts[0], u)", "<  «p»|«p»  |«ä»>"},
               {"'<{}|{x}>'.format(parts[0], x=u)", "<«p»|«ä<|b|>ß»>"}, {"'{:>3}|{!r}'.format(parts[0], parts[0])", "  «p»|'«p»'"}, {"'{}{{'.format(parts[0])", "«p»{"},
               {"parts[0].center(3, '-')", "-«p»-"}, {"'a'.center(3, parts[0])", "«p»a«p»"}, {"('<' | safe) + u", "<«ä&lt;|b|&gt;ß»"}, {"u | e", "«ä&lt;|b|&gt;ß»"},
               {"x.partition(',')[2]", "« you \n»"}, {"('a-' ~ x).rsplit('-', 1) | last", "« Hi, you \n»"}});
}

TEST(JinjaMarks, NamesGivenWithStarsAreForeign) {
  EXPECT_EQ(marked("{% macro m() %}{{ kwargs }}{% endmacro %}{{ m(**messages[0].call) }}"), "{'«key»': '«<a>»', '«limit»': 2}");
  EXPECT_EQ(marked("{{ dict(**messages[0].call) | list | first }}"), "«key»");
}

TEST(JinjaMarks, NamesOfForeignDictsAreForeign) {
  EXPECT_EQ(marked("{% for k, v in messages[0].call.items() %}{{ k }}={{ v }};{% endfor %}"), "«key»=«<a>»;«limit»=2;");
  EXPECT_EQ(marked("{% for k in messages[0].call %}{{ k }};{% endfor %}"), "«key»;«limit»;");
  EXPECT_EQ(marked("{{ messages[0].call | dictsort | first | first }}{{ messages[0].call | items | list }}"), "«key»[('«key»', '«<a>»'), ('«limit»', 2)]");
  EXPECT_EQ(marked("{% set d = {parts[0]: 1, 'b': parts[0]} %}{{ d }}{{ dict(d, c=2).keys() | join }}"), "{'«p»': 1, 'b': '«p»'}«p»bc");
}

TEST(JinjaMarks, VariablesAndBlocksKeepIt) {
  EXPECT_EQ(marked("{% set ns = namespace(t='') %}{% for p in parts %}{% set ns.t = ns.t ~ p %}{% endfor %}{{ ns.t }}"), "«p»q«'r'»");
  EXPECT_EQ(marked("{% macro m(t) %}[{{ t }}]{% endmacro %}{{ m(x | trim) }}{{ m('a') }}"), "[«Hi, you»][a]");
  EXPECT_EQ(marked("{% set b | upper %}a{{ parts[0] }}{% endset %}{{ b }}{% filter trim %} {{ x }} {% endfilter %}"), "A«PHi, you»");
  EXPECT_EQ(marked("{{ x | trim | default('d') }}{{ missing | default(u) }}{{ ['b', parts[0]] | sort | join }}"), "«Hi, youä<|b|>ß»b«p»");
}

TEST(JinjaMarks, ControlTokensOfMessagesAreToldFromThoseOfTheTemplate) {
  EXPECT_EQ(marked("<|b|>{{ u }}{% if '<|b|>' in u %}{{ u.split('<|b|>')[1] }}<|b|>{% endif %}"), "<|b|>«ä<|b|>ßß»<|b|>");
}

TEST(JinjaMarks, RunsThatTouchAreOne) {
  const auto text = Template::compile("{{ x }}{{ x }}.{{ x[:1] }}{{ x[1:] }}").value().render({{"x", Value::foreign_text("äb")}}).value();
  EXPECT_EQ(text.bytes, "äbäb.äb");
  EXPECT_EQ(text.foreign, (std::vector<text::ByteRange>{{0, 6}, {7, 10}}));
}

}  // namespace
}  // namespace herd::jinja
