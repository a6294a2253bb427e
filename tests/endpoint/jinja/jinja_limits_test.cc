// Hostile templates end within their limits, with an error.
#include "tests/endpoint/jinja/jinja_fixture.h"

#include <gtest/gtest.h>

namespace herd::jinja {
namespace {

std::string times(int count, const std::string& text) {
  std::string out;
  for (int i = 0; i < count; ++i) out += text;
  return out;
}

bool ends_with_error(const std::string& source, const std::string& part) {
  const std::string printed = render(source);
  EXPECT_TRUE(printed.starts_with("ERROR") && printed.find(part) != std::string::npos) << printed.substr(0, 200);
  return true;
}

TEST(JinjaLimits, LoopsInLoopsRunOutOfSteps) {
  ends_with_error("{% for a in range(100000) %}{% for b in range(100000) %}{% endfor %}{% endfor %}", "more than");
  ends_with_error("{% for a in range(9999) %}{{ range(99999) | list | length }}{% endfor %}", "ERROR");
}

TEST(JinjaLimits, TextThatGrowsRunsOutOfBytes) {
  ends_with_error("{% set ns = namespace(s='x') %}{% for i in range(60) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}", "more than");
  ends_with_error("{% set ns = namespace(s='x') %}{% for i in range(60) %}{% set ns.s = ns.s.replace('x', 'xx') %}{% endfor %}", "more than");
  ends_with_error("{{ 'x' * 999999999 }}", "more than");
  ends_with_error("{{ [1] * 999999999 }}", "more than");
  ends_with_error("{% set s = 'x' * 4000 %}{% for i in range(99999) %}{{ s }}{% endfor %}", "ERROR");
  ends_with_error("{{ {'a': ['x'] * 1000} | tojson(indent=1000) }}{{ ('\n' * 100000) | indent(1000, blank=true) }}", "more than");
}

// Each of these took minutes or gigabytes when its cost was not counted.
TEST(JinjaLimits, SearchingTextsTakesTheTimeOfReadingThem) {
  const std::string long_texts = "{% set a = 'a' * 200000 %}";
  EXPECT_EQ(render(long_texts + "{{ (a + 'b') in (a + a) }}"), "False");
  EXPECT_EQ(render(long_texts + "{{ (a + a).find(a + 'b') }}"), "-1");
  EXPECT_EQ(render(long_texts + "{{ (a + a).count(a + 'b') }}"), "0");
  EXPECT_EQ(render(long_texts + "{{ (a + a) | replace(a + 'b', '') | length }}"), "400000");
  EXPECT_EQ(render(long_texts + "{{ (a + a).split(a + 'b') | length }}"), "1");
  ends_with_error(long_texts + "{{ a.strip('b' * 900000 + 'a') }}", "steps");
  ends_with_error("{% set a = 'a' * 100000 %}{{ (a + 'c').startswith((a + 'b',) * 20000) }}", "steps");
}

TEST(JinjaLimits, RepeatedKeysAndSeparatorsRunOutOfBytes) {
  ends_with_error("{% set d = {('k' * 1000000): 1} %}{{ ([d] * 100000) | tojson }}", "more than");
  ends_with_error("{{ ([1] * 100000) | tojson(separators=('x' * 1000000, ':')) }}", "more than");
  ends_with_error("{% set d = dict(a=1, b=2) %}{{ ([d] * 50000) | tojson(separators=(',', 'x' * 1000000)) }}", "more than");
}

TEST(JinjaLimits, ManyNamesRunOutOfSteps) {
  std::string names = "a0", sets;
  for (int i = 1; i < 9000; ++i) names += ",a" + std::to_string(i);
  for (int i = 0; i < 7000; ++i) sets += "{%set a" + std::to_string(i) + "=1%}";
  EXPECT_EQ(render("{% if false %}{{ [" + names + "] }}{% endif %}"), "");
  ends_with_error("{% macro m(" + names + ") %}{% endmacro %}{{ m() }}", "more than");
  ends_with_error(sets, "more than");
}

TEST(JinjaLimits, MapsInsideMapsAreFew) {
  ends_with_error("{{ 'a' | map('map'" + times(9000, ", 'map'") + ") | list }}", "map: too many arguments");
  EXPECT_EQ(render("{{ [['a', 'b'], ['c']] | map('map', 'upper') | map('join', '+') | join(' ') }}"), "A+B C");
}

TEST(JinjaLimits, RecursionRunsOutOfDepth) {
  ends_with_error("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", "nests too deeply");
  ends_with_error("{% set ns = namespace(l=[]) %}{% for i in range(1000) %}{% set ns.l = [ns.l] %}{% endfor %}", "nested too deeply");
  ends_with_error("{% set ns = namespace() %}{% set ns.self = ns %}", "inside a namespace is not supported");
  ends_with_error("{{ [namespace()] }}", "inside a list is not supported");
}

TEST(JinjaLimits, SyntaxRunsOutOfDepth) {
  ends_with_error("{{ " + times(5000, "(") + "1" + times(5000, ")") + " }}", "too deeply");
  ends_with_error("{{ " + times(5000, "[") + times(5000, "]") + " }}", "too deeply");
  ends_with_error("{{ 1" + times(5000, " + 1") + " }}", "too deeply");
  ends_with_error("{{ x" + times(5000, ".y") + " }}", "too deeply");
  ends_with_error("{{ x" + times(5000, " | trim") + " }}", "too deeply");
  ends_with_error("{{ " + times(5000, "not ") + "1 }}", "too deeply");
  ends_with_error("{{ " + times(5000, "- ") + "1 }}", "too deeply");
  ends_with_error(times(5000, "{% if x %}"), "too deeply");
  ends_with_error("{{ 1" + times(5000, " if 1 else 2") + " }}", "too deeply");
}

TEST(JinjaLimits, LongIsNotDeep) {
  EXPECT_EQ(render("{{ 'a'" + times(3000, " ~ 'b'") + " }}").size(), 3001U);
  EXPECT_EQ(render("{% if false %}" + times(3000, "{% elif false %}") + "{% else %}x{% endif %}"), "x");
  EXPECT_EQ(render(times(3000, "{{ 1 }}")).size(), 3000U);
}

// Texts of which every second character is foreign have as many marks.
TEST(JinjaLimits, MarksRunOutOfBytes) {
  Limits limits;
  limits.value_bytes_max = 2'000'000;
  const auto once = Template::compile("{{ ('x' ~ m) * 90000 }}", limits).value();
  EXPECT_TRUE(once.render({{"m", Value::text("y")}}).has_value());
  EXPECT_FALSE(once.render({{"m", Value::foreign_text("y")}}).has_value());
}

TEST(JinjaLimits, StarsAndFormatsRunOutOfBytes) {
  ends_with_error("{% macro m() %}{{ varargs | length }}{% endmacro %}{% for i in range(999) %}{{ m(*range(99999)) }}{% endfor %}", "more than");
  ends_with_error("{% for i in range(9999) %}{{ '%9999s' % i }}{% endfor %}", "more than");
  ends_with_error("{{ '%99999s' % 1 }}", "this width is not supported");
  ends_with_error("{{ 'a'.center(99999) }}", "is not supported");
  ends_with_error("{{ '{:99999}'.format(1) }}", "is not supported");
}

TEST(JinjaLimits, TheTemplateItselfIsBounded) {
  Limits limits;
  limits.template_bytes_max = 10;
  EXPECT_EQ(render("12345678901", limits), "ERROR longer than 10 bytes");
  limits = Limits();
  limits.tokens_max = 6;
  EXPECT_EQ(render("{{ 1 }}{{ 2 }}", limits), "12");
  EXPECT_EQ(render("{{ 1 }}\n{{ 2 }}", limits), "ERROR line 2, column 6: more than 6 words and signs");
  limits = Limits();
  limits.output_bytes_max = 5;
  EXPECT_EQ(render("123456", limits), "ERROR line 1: the template prints more than 5 bytes");
}

}  // namespace
}  // namespace herd::jinja
