// Expressions with Python's semantics, filters, tests, methods.
#include "tests/endpoint/jinja/jinja_fixture.h"

#include <gtest/gtest.h>

namespace herd::jinja {
namespace {

void expect_rows(std::initializer_list<std::pair<const char*, const char*>> rows) {
  for (const auto& [expression, printed] : rows)
    EXPECT_EQ(render("{{ " + std::string(expression) + " }}"), printed) << expression;
}

TEST(JinjaExpression, PrintsAsPythonDoes) {
  expect_rows({{"none", "None"}, {"true", "True"}, {"missing", ""}, {"1.0", "1.0"}, {"10 / 4", "2.5"}, {"1 / 3", "0.3333333333333333"},
               {"10.0 * 100000000000000000", "1e+18"}, {"['a', none, 1.5, 'it\\'s']", "['a', None, 1.5, \"it's\"]"},
               {"{'a': ('b',)}", "{'a': ('b',)}"}, {"items", "['b', 'a', 'c']"}});
}

TEST(JinjaExpression, ArithmeticIsPythons) {
  expect_rows({{"7 // 2", "3"}, {"-7 // 2", "-4"}, {"-7 % 3", "2"}, {"2 ** 10", "1024"}, {"1 + 2 * 3", "7"}, {"-2 ** 2", "4"},
               {"true + 1", "2"}, {"'ab' * 2", "abab"}, {"[1] + [2]", "[1, 2]"}, {"1 ~ 'a' ~ none", "1aNone"},
               {"'a' + 1", "ERROR line 1: \"+\" between str and int is not supported"}, {"1 // 0", "ERROR line 1: division by zero"}, {"0 ** -1", "ERROR line 1: division by zero"},
               {"9223372036854775807 + 1", "ERROR line 1: a whole number beyond 64 bits"},
               {"missing + 'a'", "ERROR line 1: \"+\" between Undefined and str is not supported"}});
}

TEST(JinjaExpression, ComparisonsChainAndTruthIsPythons) {
  expect_rows({{"1 < 2 < 3", "True"}, {"1 < 3 < 2", "False"}, {"1 == 1.0", "True"}, {"'a' < 'b'", "True"}, {"'x' in message", "False"},
               {"'role' in message", "True"}, {"'H' in message.content", "True"}, {"2 not in [1]", "True"}, {"not empty", "True"},
               {"empty or 'x'", "x"}, {"name and 0", "0"}, {"missing == nothing", "False"}, {"'a' if empty else 'b'", "b"},
               {"'a' if empty", ""}, {"[] == [] and {} == {}", "True"}});
}

TEST(JinjaExpression, SubscriptsAndAttributesFallBackOnEachOther) {
  expect_rows({{"message.role", "user"}, {"message['role']", "user"}, {"items[-1]", "c"}, {"items.0", "b"}, {"items[9]", ""},
               {"message.missing", ""}, {"items[1:]", "['a', 'c']"}, {"items[::-1]", "['c', 'a', 'b']"}, {"count[1:]", "ERROR line 1: a slice of a int is not supported"}, {"range(5)[1:4:2] | list", "[1, 3]"}, {"name[:2]", "Ad"},
               {"name[-2:]", "da"}, {"'\\u00e4\\u00f6\\u00fc'[1]", "\xC3\xB6"}, {"missing.x", "ERROR line 1: \"missing\" is undefined and has no \"x\""},
               {"name.__class__", "ERROR line 1: attributes that begin with an underscore are not allowed"}});
}

TEST(JinjaExpression, KeysAreTextsNumbersAndNone) {
  expect_rows({{"{1: 'a', none: 'b', 'c': 2, true: 'd'}", "{1: 'd', None: 'b', 'c': 2}"}, {"{1: 'a'}[1.0] ~ {none: 'b'}[none]", "ab"}, {"{1: 'a'}['1'] is defined", "False"},
               {"1 in {1: 2}", "True"}, {"{1: 2, none: 3, true: 4, 0.5: 5} | tojson", R"({"1": 4, "null": 3, "0.5": 5})"}, {"{2: 1, 10: 2} | dictsort", "[(2, 1), (10, 2)]"}});
}

TEST(JinjaExpression, MethodsAreThoseThatChangeNothing) {
  expect_rows({{"' a '.strip()", "a"}, {"'xax'.strip('x')", "a"}, {"'a,b,c'.split(',', 1)", "['a', 'b,c']"}, {"' a  b '.split()", "['a', 'b']"},
               {"'ab'.startswith('a')", "True"}, {"'ab'.endswith(('x', 'b'))", "True"}, {"'aXa'.replace('a', 'b')", "bXb"},
               {"'hello world'.title()", "Hello World"}, {"'Ab'.upper() ~ 'Ab'.lower()", "ABab"}, {"message.get('x', 'y')", "y"},
               {"message.keys() | list", "['role', 'content']"}, {"', '.join(items)", "b, a, c"}, {"'abcabc'.count('bc')", "2"},
               {"'a b c'.rsplit(' ', 1)", "['a b', 'c']"}, {"'a b  c '.rsplit(none, 1)", "['a b', 'c']"}, {"'aaa'.rsplit('aa')", "['a', '']"}, {"'a=b=c'.partition('=')", "('a', '=', 'b=c')"},
               {"'a=b=c'.rpartition('=')", "('a=b', '=', 'c')"}, {"'abc'.removeprefix('ab') ~ 'abc'.removesuffix('c')", "cab"}, {"'a\\nb'.splitlines()", "['a', 'b']"},
               {"'ab'.center(5, '*') ~ 'ab'.center(4) ~ 'a'.ljust(2) ~ '-7'.zfill(4)", "**ab* ab a -007"}, {"'abab'.rfind('b') ~ 'ab'.find('z')", "3-1"}, {"'ab'.index('z')", "ERROR line 1: index: the text is not there"},
               {"items.index('c') ~ items.count('b')", "21"},
               {"items.append('x')", "ERROR line 1: the method append of a list is not supported"}});
}

TEST(JinjaExpression, CaseIsUnicodes) {
  expect_rows({{"'äß ŉ ǆ ﬁ' | upper", "ÄSS ʼN Ǆ FI"}, {"'ÄΣ ΑΣ. ΣΑ' | lower", "äς ας. σα"}, {"'ÄÉ ǆa ßa'.title()", "Äé ǅa Ssa"}, {"'ǆa-ßΣ <ä' | title", "Ǆa-SSσ <Ä"},
               {"'ßÄ' | capitalize", "Ssä"}, {"'İ' | lower | length", "2"}, {"'Ⴀა'.upper() ~ 'ა'.title()", "ႠᲐა"}, {"['Ä', 'ä', 'b'] | unique | join", "Äb"}});
}

TEST(JinjaExpression, ReprEscapesWhatHasNoSign) {
  expect_rows({{"['ä日😀']", "['ä日😀']"}, {"['\\x07\\x7f\\u00ad\\u200d\\u3000\\ue000\\U000e0001']", "['\\x07\\x7f\\xad\\u200d\\u3000\\ue000\\U000e0001']"}});
}

TEST(JinjaExpression, FiltersAreJinjas) {
  expect_rows({{"' a ' | trim", "a"}, {"items | join('-')", "b-a-c"}, {"items | first ~ items | last", "bc"}, {"name | length", "3"},
               {"missing | default('d')", "d"}, {"empty | default('d')", ""}, {"empty | default('d', true)", "d"}, {"'7' | int + 1", "8"},
               {"'x' | int(5)", "5"}, {"missing | int", "ERROR line 1: int: of an undefined value"}, {"'ab' | upper", "AB"}, {"items | sort | join", "abc"}, {"[1, 2, 3] | sum", "6"},
               {"'a\nb' | indent(2)", "a\n  b"}, {"1 | indent", "ERROR line 1: indent: of a int"}, {"[message] | map(attribute='role') | join", "user"},
               {"[1, 2, 3] | select('odd') | list", "[1, 3]"}, {"[message] | selectattr('role', 'equalto', 'user') | list | length", "1"},
               {"message | dictsort | first | first", "content"}, {"[1, 2] | map('string') | list", "['1', '2']"},
               {"name | safe", "Ada"}, {"[3, 1, 2] | batch(2) | list", "[[3, 1], [2]]"}, {"'a b-c' | wordcount", "3"}, {"2.5 | round", "2.0"},
               {"{'b': 1, 'a': 2} | dictsort(by='value')", "[('b', 1), ('a', 2)]"}, {"message | attr('role') is defined", "False"}, {"none | map('upper') | list", "[]"}});
}

TEST(JinjaExpression, FormatsArePythons) {
  expect_rows({{"'%s: %5d|%-5s|%05.1f %x%%' % ('a', 12, 'b', 2.25, 255)", "a:    12|b    |002.2 ff%"}, {"'%(a)s' % {'a': 1}", "1"}, {"'%s' % items", "['b', 'a', 'c']"},
               {"'%s' | format(name)", "Ada"}, {"'%s' % ('a', 'b')", "ERROR line 1: %: not all values are used by the format"},
               {"'%s %s' % name", "ERROR line 1: %: there are not enough values for the format"}, {"'%c' % 1", "ERROR line 1: %: the conversion \"c\" of a int is not supported"},
               {"'{}{{}}{}'.format(1, name)", "1{}Ada"}, {"'{0}{x.role}{x[role]}{0!r}'.format('a', x=message)", "auseruser'a'"}, {"'{:>4}|{:*^5}|{:<3}|{:04d}|{:,}'.format('a', 'b', 'c', 7, 1234)", "   a|**b**|c  |0007|1,234"},
               {"'{:.2f} {:e} {:%}'.format(2.5, 3.0, 0.25)", "2.50 3.000000e+00 25.000000%"}, {"'{}{0}'.format(1)", "ERROR line 1: format: fields with and without numbers"}, {"'{'.format()", "ERROR line 1: format: a brace stands alone"},
               {"'{}'.format()", "ERROR line 1: format: a value is missing"}, {"'{:q}'.format(1)", "ERROR line 1: format: this specification is not supported"},
               {"'{0.__class__}'.format(1)", "ERROR line 1: attributes that begin with an underscore are not allowed"}});
}

TEST(JinjaExpression, MarkupEscapesWhatIsAddedToIt) {
  expect_rows({{"('<' | safe) + '<'", "<&lt;"}, {"'<' + ('<' | safe)", "&lt;<"}, {"('<' | safe) ~ '<'", "<<"}, {"'<&>\"\\'' | e", "&lt;&amp;&gt;&#34;&#39;"},
               {"'<' | e | e", "&lt;"}, {"'<' | e | forceescape", "&amp;lt;"}, {"['<' | safe]", "[Markup('<')]"}, {"('<%s>' | safe) % '<'", "<&lt;>"},
               {"('a' | safe).replace('a', '<')", "&lt;"}, {"('a' | safe) | replace('a', '<')", "<"}, {"('<' | safe).join(['>', 'a'])", "&gt;<a"},
               {"('a' | safe).upper() + '<'", "A&lt;"}, {"('ab' | safe)[0] + '<'", "a&lt;"}, {"('a-b' | safe).split('-')[1] + '<'", "b&lt;"}});
}

TEST(JinjaExpression, JsonIsHuggingFaces) {
  expect_rows({{"{'a': ['x', 1.0, none, true]} | tojson", R"({"a": ["x", 1.0, null, true]})"},
               {"'\\u00e4<&\"\\n\\x01' | tojson", "\"\xC3\xA4<&\\\"\\n\\u0001\""}, {"{'a': [1]} | tojson(indent=2)", "{\n  \"a\": [\n    1\n  ]\n}"},
               {"{'b': 1, 'a': 2} | tojson(separators=(',', ':'), sort_keys=true)", R"({"a":2,"b":1})"},
               {"missing | tojson", "ERROR line 1: tojson: a Undefined cannot be JSON"}});
}

TEST(JinjaExpression, TestsAreJinjas) {
  expect_rows({{"missing is defined", "False"}, {"missing is undefined", "True"}, {"nothing is none", "True"}, {"name is string", "True"},
               {"message is mapping", "True"}, {"items is iterable and items is sequence", "True"}, {"true is number", "True"},
               {"true is integer", "False"}, {"count is odd", "True"}, {"'%s' is odd", "False"}, {"count is divisibleby 3", "True"}, {"name is not none", "True"},
               {"'a' is in items", "True"}, {"count is eq(3)", "True"}, {"range is callable and missing is callable", "True"}, {"none is sameas none", "True"}, {"'AB' is upper", "True"}, {"'tojson' is filter", "True"},
               {"[1, 2] | select('>', 1) | list", "[2]"}});
}

TEST(JinjaExpression, WhatItDoesNotKnowIsNamed) {
  expect_rows({{"name | shuffle", "ERROR line 1, column 11: the filter \"shuffle\" is not supported"}, {"cycler('a')", "ERROR line 1: the name \"cycler\" is not supported"},
               {"missing()", "ERROR line 1: \"missing\" cannot be called"}, {"f(**name, 1)", "ERROR line 1, column 14: an argument behind **"}, {"{(1, 2): 2}", "ERROR line 1: a tuple as the key of a dict is not supported"},
               {"range(200000)", "ERROR line 1: range: more than 100000 numbers"}, {"1 +", "ERROR line 1, column 8: an expression is missing"}});
}

}  // namespace
}  // namespace herd::jinja
