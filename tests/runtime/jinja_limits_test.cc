// Hostile templates end within their limits, with an error.
#include "tests/runtime/jinja_fixture.h"

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

TEST(JinjaLimits, TheTemplateItselfIsBounded) {
  Limits limits;
  limits.template_bytes_max = 10;
  EXPECT_EQ(render("12345678901", limits), "ERROR longer than 10 bytes");
  limits = Limits();
  limits.output_bytes_max = 5;
  EXPECT_EQ(render("123456", limits), "ERROR line 1: the template prints more than 5 bytes");
}

}  // namespace
}  // namespace herd::jinja
