// Statements, scopes, functions.
#include "tests/endpoint/jinja/jinja_fixture.h"

#include <gtest/gtest.h>

namespace herd::jinja {
namespace {

TEST(JinjaStatement, LoopsKnowWhereTheyAre) {
  EXPECT_EQ(render("{% for x in items %}{{ loop.index }}{{ x }}{{ ',' if not loop.last }}{% endfor %}"), "1b,2a,3c");
  EXPECT_EQ(render("{% for x in items if x != 'a' %}{{ x }}{{ loop.length }}{% else %}none{% endfor %}"), "b2c2");
  EXPECT_EQ(render("{% for x in [] %}a{% else %}none{% endfor %}"), "none");
  EXPECT_EQ(render("{% for k, v in message.items() %}{{ k }}={{ v }};{% endfor %}"), "role=user;content= Hi ;");
  EXPECT_EQ(render("{% for x in items %}{{ loop.previtem }}{{ loop.nextitem }}{{ loop.cycle('+', '-') }} {% endfor %}"), "a+ bc- a+ ");
  EXPECT_EQ(render("{% for x in 'äb' %}[{{ x }}]{% endfor %}"), "[ä][b]");
}

TEST(JinjaStatement, BreakAndContinueLeaveTheInnermostLoop) {
  EXPECT_EQ(render("{% for x in items %}{% if x == 'a' %}{% continue %}{% endif %}{{ x }}{% endfor %}"), "bc");
  EXPECT_EQ(render("{% for x in items %}{% for y in items %}{% if y == 'a' %}{% break %}{% endif %}{{ y }}{% endfor %}{{ x }}{% endfor %}"), "bbbabc");
  EXPECT_EQ(render("{% break %}"), "ERROR line 1, column 10: {% break %} outside a loop, or where it would leave another block");
}

TEST(JinjaStatement, ElseIsForLoopsNoTurnOfWhichCameToItsEnd) {
  EXPECT_EQ(render("{% for x in items %}{{ x }}{% break %}{% else %}none{% endfor %}"), "bnone");
  EXPECT_EQ(render("{% for x in items %}{{ x }}{% continue %}{% else %}none{% endfor %}"), "bacnone");
  EXPECT_EQ(render("{% for x in items %}{{ x }}{% if loop.last %}{% break %}{% endif %}{% else %}none{% endfor %}"), "bac");
}

TEST(JinjaStatement, WhatALoopSetsStaysInIt) {
  EXPECT_EQ(render("{% set n = 0 %}{% for x in items %}{% set n = n + 1 %}{{ n }}{% endfor %}{{ n }}"), "1110");
  EXPECT_EQ(render("{% set ns = namespace(n=0) %}{% for x in items %}{% set ns.n = ns.n + 1 %}{% endfor %}{{ ns.n }}"), "3");
  EXPECT_EQ(render("{% if true %}{% set n = 1 %}{% endif %}{{ n }}"), "1");
  EXPECT_EQ(render("{% with a = 1, b = name %}{{ a }}{{ b }}{% endwith %}{{ a }}"), "1Ada");
  EXPECT_EQ(render("{% set a, b = [1, 2] %}{{ b }}{{ a }}"), "21");
  EXPECT_EQ(render("{% set message.x = 1 %}"), "ERROR line 1: only a namespace has attributes that can be set, not a dict");
}

TEST(JinjaStatement, BlocksOfTextAreValues) {
  EXPECT_EQ(render("{% set x %} {{ name }} {% endset %}[{{ x }}]"), "[ Ada ]");
  EXPECT_EQ(render("{% set x | trim | upper %} {{ name }} {% endset %}[{{ x }}]"), "[ADA]");
  EXPECT_EQ(render("{% filter upper %}a{{ name }}{% endfilter %}"), "AADA");
  EXPECT_EQ(render("{% generation %}{% set q = 1 %}a{% endgeneration %}{{ q }}"), "a");
}

TEST(JinjaStatement, MacrosSeeTheTopAndTheirArguments) {
  EXPECT_EQ(render("{% macro m(a, b='x') %}{{ a }}{{ b }}{{ name }}{% endmacro %}{{ m(1) }}{{ m(1, b=2) }}"), "1xAda12Ada");
  EXPECT_EQ(render("{% macro m(n) %}{{ n }}{% if n > 0 %}{{ m(n - 1) }}{% endif %}{% endmacro %}{{ m(3) }}"), "3210");
  EXPECT_EQ(render("{% macro m() %}{{ x }}{% endmacro %}{% for x in items %}[{{ m() }}]{% endfor %}"), "[][][]");
  EXPECT_EQ(render("{% macro m(a) %}{% endmacro %}{{ m(1, 2) }}"), "ERROR line 1: macro m: too many arguments");
  EXPECT_EQ(render("{% for x in items %}{% macro m(a) %}{{ x }}{{ a }}{{ loop.index }}{% endmacro %}{{ m('-') }}{% endfor %}"), "b-1a-2c-3");
  EXPECT_EQ(render("{% macro m() %}{{ late }}{% endmacro %}{{ m() }}{% set late = 1 %}{{ m() }}"), "1");
}

TEST(JinjaStatement, MacrosAreGivenWhatTheyRead) {
  EXPECT_EQ(render("{% macro m(a) %}{{ a }}{{ varargs }}{{ kwargs }}{% endmacro %}{{ m(1, 2, 3, x='y') }}"), "1(2, 3){'x': 'y'}");
  EXPECT_EQ(render("{% macro m(a) %}{{ a }}{% endmacro %}{{ m(x=1) }}"), "ERROR line 1: macro m: there is no parameter x");
  EXPECT_EQ(render("{% macro m(a, b, c) %}{{ a }}{{ b }}{{ c }}{% endmacro %}{{ m(*items) }}{{ m(1, **{'c': 3, 'b': 2}) }}"), "bac123");
  EXPECT_EQ(render("{% macro m(a, b=c, c=a, name=name) %}{{ b }}{{ c }}{{ name }}{% endmacro %}{{ m(1) }}{{ m(1, c=2) }}"), "122");
  EXPECT_EQ(render("{{ dict(a=1, **{'a': 2}) }}"), "ERROR line 1: an argument is given twice");
}

TEST(JinjaStatement, CallBlocksGiveTheirBodyToAMacro) {
  EXPECT_EQ(render("{% macro m(a) %}<{{ a }}{{ caller() }}>{% endmacro %}{% for x in items %}{% call m(x) %}({{ x }}{{ name }}){% endcall %}{% endfor %}"),
            "<b(bAda)><a(aAda)><c(cAda)>");
  EXPECT_EQ(render("{% macro m() %}{{ caller(1, b=2) }}{% endmacro %}{% call(a, b, c=3) m() %}{{ a }}{{ b }}{{ c }}{% endcall %}"), "123");
  EXPECT_EQ(render("{% macro m() %}{{ caller is defined }}{% endmacro %}{{ m() }}"), "False");
  EXPECT_EQ(render("{% macro m() %}{% endmacro %}{% call m() %}{% endcall %}"), "ERROR line 1: macro m: there is no parameter caller");
  EXPECT_EQ(render("{% call name %}{% endcall %}"), "ERROR line 1, column 9: {% call %} needs the call of a macro");
}

TEST(JinjaStatement, LoopsThatAreRecursiveCanBeCalled) {
  const std::string tree = "{% set tree = [{'n': 1, 'c': [{'n': 2, 'c': []}]}, {'n': 3, 'c': []}] %}";
  EXPECT_EQ(render(tree + "{% for t in tree recursive %}{{ loop.depth }}:{{ t.n }}({{ loop(t.c) }}){% endfor %}"), "1:1(2:2())1:3()");
  EXPECT_EQ(render("{% for t in items %}{{ loop(items) }}{% endfor %}"), "ERROR line 1: only the loop of a {% for … recursive %} can be called");
  EXPECT_EQ(render("{% for t in [items] recursive %}{{ loop([t]) }}{% endfor %}"), "ERROR line 1: the template nests too deeply");
  EXPECT_EQ(render("{% for x in [1, 1, 2] %}{{ x if loop.changed(x) }}{% endfor %}"), "12");
}

TEST(JinjaStatement, PrintPrintsEachOfItsValues) { EXPECT_EQ(render("{% print name, 1 %}{% print %}"), "Ada1"); }

// As in Jinja2, a filter that there is not matters where the template asks first only when it is reached.
TEST(JinjaStatement, WhatIsNotThereMattersWhenATemplateReachesIt) {
  EXPECT_EQ(render("{% if empty %}{{ name | shuffle }}{% endif %}a"), "a");
  EXPECT_EQ(render("{% if name %}{{ name | shuffle }}{% endif %}a"), "ERROR line 1: the filter \"shuffle\" is not supported");
  EXPECT_EQ(render("{{ name | shuffle if empty else (name is odder) if empty else 'a' }}"), "a");
  EXPECT_EQ(render("{% if empty %}{% for x in items %}{{ x | shuffle }}{% endfor %}{% endif %}"),
            "ERROR line 1, column 42: the filter \"shuffle\" is not supported");
  EXPECT_EQ(render("{{ name is odder }}"), "ERROR line 1, column 12: the test \"odder\" is not supported");
}

TEST(JinjaStatement, FunctionsAreThoseOfHuggingFace) {
  EXPECT_EQ(render("\n{{ raise_exception('no ' ~ name) }}"), "ERROR line 2: the template refuses: no Ada");
  EXPECT_EQ(render("{{ range(3) | list }}{{ dict(a=1) }}"), "[0, 1, 2]{'a': 1}");
  EXPECT_EQ(render("{{ strftime_now('%Y') }}"), "ERROR line 1: strftime_now: herd gives templates no clock");
  const auto compiled = Template::compile("{{ strftime_now('%d %b %Y, %A %H:%M:%S %j %p %I %y %m %B %a %%') }}").value();
  EXPECT_EQ(compiled.render({}, CivilTime{2025, 3, 7, 15, 4, 5, 5, 66}).value().bytes, "07 Mar 2025, Friday 15:04:05 066 PM 03 25 03 March Fri %");
}

TEST(JinjaStatement, StatementsItDoesNotKnowAreNamed) {
  for (const char* name : {"include", "extends", "import", "block", "autoescape", "do", "endif"})
    EXPECT_EQ(render("{% " + std::string(name) + " x %}"), "ERROR line 1, column 4: the statement {% " + std::string(name) + " %} is not supported here");
  EXPECT_EQ(render("{% if true %}"), "ERROR line 1, column 14: the template ends where {% endif %} is expected");
}

TEST(JinjaStatement, NamesThatATemplateLooksUpAreListed) {
  const auto compiled = Template::compile("{% for m in messages %}{{ m.role | default(x) }}{% endfor %}{{ f(y=z) }}").value();
  EXPECT_EQ(compiled.names(), (std::vector<std::string>{"messages", "m", "x", "f", "z"}));
}

}  // namespace
}  // namespace herd::jinja
