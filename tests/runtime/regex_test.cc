// Patterns against what Oniguruma makes of them (the values were taken from HF `tokenizers`, Split with "Isolated").
#include "runtime/regex/pattern.h"

#include "runtime/tokenizer/pre_tokenizer.h"

#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

namespace herd::regex {
namespace {

using Texts = std::vector<std::string>;

// The matches, each in brackets, with what stands between them.
std::string marked(std::string_view pattern, std::string_view text, std::uint64_t steps = 1'000'000) {
  const auto compiled = Pattern::compile(pattern);
  if (!compiled) return compiled.error().message();
  Search search;
  search.begin(*compiled, text);
  std::string out;
  std::size_t done = 0;
  while (const auto match = search.next(steps)) {
    out.append(text.substr(done, match->begin - done));
    out.append("[").append(text.substr(match->begin, match->end - match->begin)).append("]");
    done = match->end;
  }
  return out.append(text.substr(done));
}

TEST(Pattern, TakesTheFirstAlternativeThatMatches) {
  EXPECT_EQ(marked("ab|a|abc", "abc a"), "[ab]c [a]");
  EXPECT_EQ(marked("a*", "baab"), "[]b[aa]b[]");
  EXPECT_EQ(marked("(?:a|ab)(?:c|bcd)", "abcd"), "[abcd]");
  EXPECT_EQ(marked("(a|b)+c", "ababc"), "[ababc]");
  EXPECT_EQ(marked("x?", ""), "[]");
}

TEST(Pattern, QuantifiersAreGreedyLazyOrPossessive) {
  EXPECT_EQ(marked("a+?b?", "aab"), "[a][ab]");
  EXPECT_EQ(marked("a{2,3}", "aaaaaaa"), "[aaa][aaa]a");
  EXPECT_EQ(marked("a{2}", "aaaaa"), "[aa][aa]a");
  EXPECT_EQ(marked("a{,2}b", "aaab"), "a[aab]");
  EXPECT_EQ(marked("a{2,}?", "aaaaa"), "[aa][aa]a");
  EXPECT_EQ(marked("a++a", "aaa"), "aaa");
  EXPECT_EQ(marked("a+a", "aaa"), "[aaa]");
  EXPECT_EQ(marked("(?>a|ab)c", "abc ac"), "abc [ac]");
  EXPECT_EQ(marked("(?:ab)*+abc", "ababc"), "ababc");
  EXPECT_EQ(marked("(?:ab)*?c", "ababc"), "[ababc]");
  EXPECT_EQ(marked("(?:ab)?+abc", "abc ababc"), "abc [ababc]");
  EXPECT_EQ(marked("(?:(?:ab)?+c)++d", "abccd"), "[abccd]");
  EXPECT_EQ(marked("a{2}?", "aaa"), "[aa]a[]") << "an optional a{2}, not a lazy one";
  EXPECT_EQ(marked("a{,}", "a{,}"), "[a{,}]") << "no interval: text";
  EXPECT_EQ(marked("(?:a?)*b", "aab"), "[aab]") << "a body that matches nothing ends its loop";
  EXPECT_EQ(marked("(?:a|b*)*c", "abbac"), "[abbac]");
}

TEST(Pattern, GroupsMayHaveNames) {
  EXPECT_EQ(marked("(?<one>a)b", "ab"), "[ab]");
  EXPECT_EQ(marked("(?'one'a)b", "ab"), "[ab]");
  EXPECT_EQ(marked("(?'one'a)(?>b)c", "abc bc"), "[abc] bc") << "the name ends at the quote, not at a later bracket";
  EXPECT_EQ(marked("(?'one>a)", "a"), "regular expression, byte 3: a group's name does not end");
}

TEST(Pattern, LooksAround) {
  EXPECT_EQ(marked("a(?=b)", "abac"), "[a]bac");
  EXPECT_EQ(marked("a(?!b)", "abac"), "ab[a]c");
  EXPECT_EQ(marked("(?<=b)a", "aba"), "ab[a]");
  EXPECT_EQ(marked("(?<!b)a", "aba"), "[a]ba");
  EXPECT_EQ(marked("(?<=a|bc)x", "ax bcx cx"), "a[x] bc[x] cx");
  EXPECT_EQ(marked("(?<!a|bc)x", "ax bcx cx"), "ax bcx c[x]");
  EXPECT_EQ(marked("(?=[A-Z])", "aBcD"), "a[]Bc[]D");
  EXPECT_EQ(marked(R"(\s+(?!\S)|\s+)", "a   b "), "a[  ][ ]b[ ]");
  EXPECT_EQ(marked("(?=ab)a", "abac"), "[a]bac");
}

TEST(Pattern, LinesHaveBordersAndDotsStopAtThem) {
  EXPECT_EQ(marked("^.", "ab\ncd\n"), "[a]b\n[c]d\n");
  EXPECT_EQ(marked(".$", "ab\ncd\n"), "a[b]\nc[d]\n");
  EXPECT_EQ(marked("(?m).+", "a\nb"), "[a\nb]") << "m: dots take newlines";
  EXPECT_EQ(marked(R"(\A.|.\z)", "ab\ncd"), "[a]b\nc[d]");
  EXPECT_EQ(marked(R"(.\Z)", "ab\n"), "a[b]\n");
  EXPECT_EQ(marked(R"(\R)", "a\r\nb\nc\u2028"), "a[\r\n]b[\n]c[\u2028]");
  EXPECT_EQ(marked(R"(\b)", "ab, c"), "[]ab[], []c[]");
  EXPECT_EQ(marked(R"(\Bb)", "ab b"), "a[b] b");
}

TEST(Pattern, ClassesNestAndIntersect) {
  EXPECT_EQ(marked("[a-c]+", "abcd"), "[abc]d");
  EXPECT_EQ(marked("[^a-c]+", "abcd"), "abc[d]");
  EXPECT_EQ(marked("[a-w&&[^c-g]z]+", "abcdghz"), "[ab]cdg[h]z");
  EXPECT_EQ(marked("[a[bc]]+", "abcd"), "[abc]d");
  EXPECT_EQ(marked("[]a]+", "]a["), "[]a][");
  EXPECT_EQ(marked(R"([\]\-x]+)", "a]-x"), "a[]-x]");
  EXPECT_EQ(marked("[a-]+", "a-b"), "[a-]b");
  EXPECT_EQ(marked("[[:digit:]x]+", "1x2y"), "[1x2]y");
  EXPECT_EQ(marked("[[:^digit:]]+", "ab1"), "[ab]1");
  EXPECT_EQ(marked(R"([\p{L}\d]+)", "aé1-"), "[aé1]-");
  EXPECT_EQ(marked(R"([^\r\n\p{L}\p{N}]?\p{L}+)", "-ab 1c"), "[-ab] 1[c]");
  EXPECT_EQ(marked(R"(\x{4e00}|\u4e8c|\x41|\t)", "一二A\t"), "[一][二][A][\t]");
  EXPECT_EQ(marked(R"(\h+)", "xfA0g"), "x[fA0]g");
}

TEST(Pattern, PropertiesAreUnicodes) {
  EXPECT_EQ(marked(R"(\p{Han}+)", "ab漢字かな"), "ab[漢字]かな");
  EXPECT_EQ(marked(R"(\p{Hiragana}+|\p{Katakana}+)", "漢かなカナ"), "漢[かな][カナ]");
  EXPECT_EQ(marked(R"(\p{Lu}\p{Ll}+)", "Ab ÉcX"), "[Ab] [Éc]X");
  EXPECT_EQ(marked(R"(\P{L}+)", "ab12c"), "ab[12]c");
  EXPECT_EQ(marked(R"(\p{^L}+)", "ab12c"), "ab[12]c");
  EXPECT_EQ(marked(R"(\w+)", "e\u0301_1-\u2167"), "[e\u0301_1]-[\u2167]") << "letter numbers are alphabetic";
  EXPECT_EQ(marked(R"(\w|\b.)", "½"), "[½]") << "outside a class Latin-1's fractions are words …";
  EXPECT_EQ(marked(R"([\w])", "½"), "½") << "… and inside they are not";
  EXPECT_EQ(marked(R"([[:punct:]]|\p{Punct})", "-+"), "[-][+]");
  EXPECT_EQ(marked(R"(\p{Punct})", "-+"), "[-]+");
  EXPECT_EQ(marked(R"(\d+)", "12\u0663\u00BD"), "[12\u0663]\u00BD");
  EXPECT_EQ(marked(R"(\s+)", "a\u0085\u3000\u180Eb"), "a[\u0085\u3000]\u180Eb");
  EXPECT_EQ(marked(R"(\p{L})", "\U00010D4A\U00031350"), "[\U00010D4A][\U00031350]") << "letters of Unicode 15 and 16";
}

TEST(Pattern, CaseIsIgnoredBySimpleFolding) {
  EXPECT_EQ(marked("(?i:'s|'t)", "it's IT'T 'ſ"), "it['s] IT['T] ['ſ]");
  EXPECT_EQ(marked("(?i)k", "kK\u212A"), "[k][K][\u212A]");
  EXPECT_EQ(marked("(?i:a)b", "Ab AB"), "[Ab] AB");
  EXPECT_EQ(marked("a(?i)b|c", "aB C"), "[aB] C") << "the option holds for the alternatives behind it, inside the a";
  EXPECT_EQ(marked("(?i:[^a])", "aAb"), "aA[b]");
  EXPECT_EQ(marked("(?i-i:a)", "aA"), "[a]A");
  EXPECT_EQ(marked("(?x) a b # comment\n c", "abc"), "[abc]");
}

TEST(Pattern, RefusalsSayWhere) {
  const auto refused = [](std::string_view pattern) {
    const auto compiled = Pattern::compile(pattern);
    return compiled ? std::string("compiled") : compiled.error().message();
  };
  EXPECT_EQ(refused("(a"), "regular expression, byte 2: ( without )");
  EXPECT_EQ(refused("a)"), "regular expression, byte 1: unmatched )");
  EXPECT_EQ(refused("[a"), "regular expression, byte 2: [ without ]");
  EXPECT_EQ(refused("*a"), "regular expression, byte 0: nothing stands before the quantifier");
  EXPECT_EQ(refused(R"((a)\1)"), R"(regular expression, byte 4: \1 is not supported)");
  for (const char* pattern : {R"(\G)", R"(\K)", R"(\X)", R"(\k<a>)", "(?<=a+)", "(?~a)", "(?(1)a)", "(*FAIL)", "[z-a]", R"(\p{Klingon})",
                              "a{5,2}", "a{1001}", "(?i:ss)", "(?i)ß", "(?i:[a", R"(\x{110000})", "a\\", "(?=a)+", "a**********"}) {
    EXPECT_NE(refused(pattern), "compiled") << pattern;
  }
  EXPECT_EQ(refused(std::string(1 << 15, 'a')).find("regular expression longer"), 0U);
  EXPECT_EQ(refused("a\xFF"), "regular expression: not UTF-8");
  std::string nested;
  for (int i = 0; i < 200; ++i) nested += "(";
  EXPECT_NE(refused(nested).find("nested too deeply"), std::string::npos);
  EXPECT_NE(refused("(?:(?:(?:){1000}){1000}){1000}").find("too large"), std::string::npos);
  EXPECT_NE(refused("(?:(?:a{2}b{2}){1000}){1000}").find("too large"), std::string::npos);
}

// A search that runs out of steps says so and finds nothing more; one that has enough is not touched by the limit.
TEST(Search, EndsWithinItsSteps) {
  for (const char* pattern : {"(a+)+$b", "(a|a)*b", "(?:a*)*b", "a?a*?b", "(?:a|aa)+(?<=b)"}) {
    const auto compiled = Pattern::compile(pattern);
    ASSERT_TRUE(compiled) << compiled.error().message();
    const std::string text(100'000, 'a');
    Search search;
    search.begin(*compiled, text);
    std::uint64_t steps = 5'000'000;
    EXPECT_FALSE(search.next(steps)) << pattern;
    EXPECT_TRUE(search.out_of_steps()) << pattern;
    EXPECT_EQ(steps, 0U) << pattern;
  }
}

TEST(Search, PatternsOfTheFamilyTakeStepsInProportion) {
  const auto llama3 = Pattern::compile(tokenizer::kLlama3Pattern);
  const auto gpt2 = Pattern::compile(tokenizer::kGpt2Pattern);
  ASSERT_TRUE(llama3 && gpt2);
  for (const Pattern& pattern : {*llama3, *gpt2}) {
    for (const std::string& text : {std::string(300'000, ' '), std::string(300'000, ' ') + "x", std::string(300'000, 'a'),
                                    std::string(300'000, '\n'), std::string(300'000, '1'), std::string(300'000, '\'')}) {
      Search search;
      search.begin(pattern, text);
      std::uint64_t steps = 16 * text.size();
      while (search.next(steps)) {
      }
      EXPECT_FALSE(search.out_of_steps()) << text.substr(0, 3);
    }
  }
}

// A run that leads nowhere is not tried again from each of its places.
TEST(Search, ARepeatInFrontIsTriedOncePerRun) {
  const auto pattern = Pattern::compile(R"(\s+$)");
  ASSERT_TRUE(pattern);
  const std::string text = std::string(100'000, ' ') + "1";
  Search search;
  search.begin(*pattern, text);
  std::uint64_t steps = 16 * text.size();
  EXPECT_FALSE(search.next(steps));
  EXPECT_FALSE(search.out_of_steps());
  EXPECT_EQ(marked(R"(\s+$)", "a  b  \n c "), "a  b[  ]\n c[ ]");
}

TEST(Search, ARepeatInFrontFindsWhatEveryPlaceWouldFind) {
  std::mt19937 random(7);
  for (int round = 0; round < 300; ++round) {
    std::string text;
    for (int i = 0; i < 20; ++i) text += "abc"[random() % 3];
    for (const char* pattern : {"a+b", "a*b", "[ab]+?bc", "[ab]++c", "[ab]{2,}b", "(?:[ab]+c)+a", "[ab]+(?<=ab)c", "a+(?:b|(?=c))", "a*"}) {
      EXPECT_EQ(marked(pattern, text), marked(std::string("(?=)") + pattern, text)) << pattern;  // begins with a look-ahead
    }
  }
}

TEST(Search, OneObjectGoesThroughManyTexts) {
  const auto pattern = Pattern::compile("(?:a?b?)*c");
  ASSERT_TRUE(pattern);
  Search search;
  for (int i = 0; i < 3; ++i) {
    std::uint64_t steps = 1000;
    search.begin(*pattern, "abéabc");
    EXPECT_EQ(search.next(steps), (Match{4, 7}));
    EXPECT_FALSE(search.next(steps));
    EXPECT_FALSE(search.out_of_steps());
  }
}

}  // namespace
}  // namespace herd::regex
