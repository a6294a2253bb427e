#include "runtime/tokenizer/unigram.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "runtime/text/utf8.h"
#include "runtime/tokenizer/tokenizer.h"
#include "runtime/tokenizer/tokenizer_json.h"

namespace herd::tokenizer {
namespace {

using Ids = std::vector<TokenId>;

struct Scored {
  std::string text;
  double score;
};

// Token 0 is unknown.
TokenizerDefinition unigram_of(const std::vector<Scored>& pieces) {
  TokenizerDefinition definition;
  definition.model = ModelKind::kUnigram;
  definition.tokens.push_back({"<unk>", TokenKind::kSpecial});
  definition.unknown = 0;
  definition.fuse_unknown = true;
  for (const Scored& piece : pieces) {
    VocabularyToken token{piece.text, TokenKind::kOrdinary};
    token.score = piece.score;
    definition.tokens.push_back(token);
  }
  return definition;
}

Ids best_split(const TokenizerDefinition& definition, std::string_view text) {
  UnigramScratch scratch;
  Ids out;
  Unigram::build(definition).value().encode_piece(text, scratch, out);
  return out;
}

TEST(Unigram, TheGreatestSumWinsNotTheLongestToken) {
  const auto definition = unigram_of({{"ab", -1.0}, {"abc", -5.0}, {"c", -2.0}, {"a", -9.0}});
  EXPECT_EQ(best_split(definition, "abc"), (Ids{1, 3}));
  EXPECT_EQ(best_split(definition, ""), Ids{});
}

TEST(Unigram, OfEqualSumsTheOneFoundFirstStays) {
  const auto definition = unigram_of({{"a", -1.0}, {"aa", -2.0}});
  EXPECT_EQ(best_split(definition, "aaa"), (Ids{1, 2}));  // "aa" behind "a" is tried before "a" behind "aa"
}

TEST(Unigram, ACharacterWithoutATokenBecomesItsBytesElseOneUnknownForARunOfThem) {
  auto definition = unigram_of({{"a", -1.0}, {"éx", -1.0}});
  EXPECT_EQ(best_split(definition, "éya" "éx"), (Ids{0, 1, 2}));
  for (int byte = 0; byte < 256; ++byte) {
    definition.byte_tokens[static_cast<std::size_t>(byte)] = static_cast<TokenId>(definition.tokens.size());
    definition.tokens.push_back({std::string(1, static_cast<char>(byte))});
  }
  EXPECT_EQ(best_split(definition, "aéa"), (Ids{1, 3 + 0xC3, 3 + 0xA9, 1}));
}

TEST(Unigram, UserDefinedTokensAreChosenWhateverOthersScore) {
  auto definition = unigram_of({{"a", -1.0}, {"b", -1.0}, {"ab", -50.0}, {"abc", -0.5}, {"c", -3.0}});
  EXPECT_EQ(best_split(definition, "abb"), (Ids{1, 2, 2}));
  definition.tokens[3].kind = TokenKind::kUserDefined;
  EXPECT_EQ(best_split(definition, "cabb"), (Ids{5, 3, 2}));
}

TEST(Unigram, UnusedTokensAreNeverChosen) {
  auto definition = unigram_of({{"a", -1.0}, {"aa", -0.5}});
  definition.tokens[2].kind = TokenKind::kUnused;
  definition.tokens[2].spelling = "aa";
  EXPECT_EQ(best_split(definition, "aa"), (Ids{1, 1}));
}

// 0.1f + 0.2f is less than 0.3f in double and equal to it once it is rounded to float.
TEST(Unigram, SumsAreRoundedAsTheReferenceRoundsThem) {
  auto definition = unigram_of({{"xyz", -static_cast<double>(0.3F)},
                                {"x", -static_cast<double>(0.1F)},
                                {"y", -static_cast<double>(0.2F)},
                                {"z", 0.0}});
  EXPECT_EQ(best_split(definition, "xyz"), (Ids{1}));
  definition.sums_in_double = true;
  EXPECT_EQ(best_split(definition, "xyz"), (Ids{2, 3, 4}));
}

// tokenizer.json holds scores as doubles, and its library adds them as such.
TEST(Unigram, IsReadFromTokenizerJson) {
  const std::string vocabulary = R"(["<unk>",0.0],["\u2581a",-1.5],["\u2581",-2.0],["b",-3])";
  const auto file = [](const std::string& vocab, const std::string& more) {
    return R"({"model":{"type":"Unigram","vocab":[)" + vocab + "]" + more +
           R"(},"pre_tokenizer":{"type":"Metaspace","replacement":"\u2581","prepend_scheme":"always","split":true},)"
           R"("decoder":{"type":"Metaspace","replacement":"\u2581","prepend_scheme":"always","split":true}})";
  };
  const Tokenizer tokenizer = *parse_tokenizer_json(file(vocabulary, R"(,"unk_id":0)"), "t");
  EXPECT_EQ(tokenizer.encode("a b?? a"), (Ids{1, 2, 3, 0, 1}));
  EXPECT_EQ(tokenizer.decode(Ids{1, 2, 3}, true), "a b");
  const std::string bytes = R"(,["<0x3F>",-9.0])";
  EXPECT_EQ(parse_tokenizer_json(file(vocabulary + bytes, R"(,"unk_id":0,"byte_fallback":true)"), "t")->encode("?a"), (Ids{2, 4, 0}));
  const auto refusal = [&](const std::string& vocab, const std::string& more) {
    const auto refused = parse_tokenizer_json(file(vocab, more), "t");
    return refused ? "accepted" : refused.error().message();
  };
  EXPECT_EQ(refusal(R"(["a"])", ""), "t: model.vocab[0]: not a token and its score");
  EXPECT_EQ(refusal(R"(["a",1],["a",2])", ""), "t: model.vocab[1]: 'a' occurs twice");
  EXPECT_EQ(refusal(R"(["a",1])", R"(,"unk_id":-1)"), "t: model.unk_id: not a token id");
  EXPECT_EQ(refusal(R"(["a",1])", R"(,"unk_id":7)"), "t: prefix, suffix or unknown token 7: outside the vocabulary");
}

// The best sum over all ways to cut, tried one by one.
double best_sum(const std::map<std::string, double>& scores, std::string_view text, double unknown) {
  if (text.empty()) return 0.0;
  double best = -std::numeric_limits<double>::infinity();
  const std::size_t character = text::first_code_point(text).size;
  for (std::size_t size = 1; size <= text.size(); ++size) {
    const auto token = scores.find(std::string(text.substr(0, size)));
    if (token == scores.end() && size != character) continue;
    best = std::max(best, (token == scores.end() ? unknown : token->second) + best_sum(scores, text.substr(size), unknown));
  }
  return best;
}

TEST(Unigram, NoOtherWayToCutScoresHigher) {
  std::mt19937 random(13);
  const std::vector<std::string> letters{"a", "b", "é", "日"};
  const auto word = [&](std::size_t size_max) {
    std::string out;
    for (std::size_t size = 1 + random() % size_max; size > 0; --size) out += letters[random() % letters.size()];
    return out;
  };
  for (int round = 0; round < 300; ++round) {
    std::map<std::string, double> scores;
    for (int i = 0; i < 12; ++i) scores[word(3)] = -static_cast<double>(random() % 64) / 4.0;  // sums are exact
    std::vector<Scored> pieces;
    double least = 0.0;
    for (const auto& [text, score] : scores) {
      pieces.push_back({text, score});
      least = std::min(least, score);
    }
    auto definition = unigram_of(pieces);
    definition.fuse_unknown = false;
    const std::string text = word(10);
    double sum = 0.0;
    for (const TokenId id : best_split(definition, text)) sum += id == 0 ? least - 10.0 : pieces[static_cast<std::size_t>(id) - 1].score;
    EXPECT_EQ(sum, best_sum(scores, text, least - 10.0)) << "round " << round << ": " << text;
  }
}

// Where all ways to cut meet, what lies before is settled: a long text costs no memory of its length.
TEST(Unigram, LongTextsAreCutWhereAllWaysMeet) {
  const auto definition = unigram_of({{"ab", -1.0}, {"c", -1.0}, {"a", -2.0}, {"b", -2.0}});
  std::string text;
  Ids expected;
  for (int i = 0; i < 100'000; ++i) {
    text += "abc";
    expected.insert(expected.end(), {1, 2});
  }
  UnigramScratch scratch;
  Ids out;
  Unigram::build(definition).value().encode_piece(text, scratch, out);
  EXPECT_EQ(out, expected);
  EXPECT_LT(scratch.ends.capacity(), 64U);
}

}  // namespace
}  // namespace herd::tokenizer
