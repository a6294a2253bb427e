#include "runtime/tokenizer/scored_bpe.h"

#include <gtest/gtest.h>

#include <map>
#include <random>
#include <string>
#include <vector>

#include "runtime/text/utf8.h"
#include "runtime/tokenizer/sentencepiece_normalizer.h"

namespace herd::tokenizer {
namespace {

using Ids = std::vector<TokenId>;
using Words = std::vector<std::string>;

// Token 0 is unknown; then the pieces, each better than the next.
TokenizerDefinition definition_of(const Words& pieces) {
  TokenizerDefinition definition;
  definition.model = ModelKind::kScoredBpe;
  definition.tokens.push_back({"<unk>", TokenKind::kSpecial});
  definition.unknown = 0;
  definition.fuse_unknown = true;
  for (const std::string& piece : pieces) {
    VocabularyToken token{piece, TokenKind::kOrdinary};
    token.score = -static_cast<double>(definition.tokens.size());
    definition.tokens.push_back(token);
  }
  return definition;
}

Ids encode(const ScoredBpe& model, std::string_view text) {
  ScoredBpeScratch scratch;
  Ids out;
  model.encode_piece(text, scratch, out);
  return out;
}

Ids encode(const TokenizerDefinition& definition, std::string_view text) {
  return encode(ScoredBpe::build(definition).value(), text);
}

TEST(ScoredBpe, ThePairOfTheHighestScoreMergesFirst) {
  //                 1     2     3    4    5
  const Words words{"bc", "ab", "a", "b", "c"};
  EXPECT_EQ(encode(definition_of(words), "abc"), (Ids{3, 1}));
  EXPECT_EQ(encode(definition_of(words), "ab"), (Ids{2}));
}

TEST(ScoredBpe, OfEqualScoresTheLeftmostPairMerges) {
  TokenizerDefinition definition = definition_of({"aa", "a", "ab", "b"});
  EXPECT_EQ(encode(definition, "aaa"), (Ids{1, 2}));
  for (VocabularyToken& token : definition.tokens) token.score = 1.0;
  EXPECT_EQ(encode(definition, "aab"), (Ids{1, 4}));
}

TEST(ScoredBpe, ACharacterWithoutATokenBecomesItsBytesElseOneUnknownForARunOfThem) {
  TokenizerDefinition definition = definition_of({"a"});
  EXPECT_EQ(encode(definition, "xé\xE2\x96\x81" "aéa"), (Ids{0, 1, 0, 1}));
  for (int byte = 0; byte < 256; ++byte) {
    definition.byte_tokens[static_cast<std::size_t>(byte)] = static_cast<TokenId>(definition.tokens.size());
    definition.tokens.push_back({std::string(1, static_cast<char>(byte))});
  }
  EXPECT_EQ(encode(definition, "aéx"), (Ids{1, 2 + 0xC3, 2 + 0xA9, 2 + 'x'}));
}

// "xy" is a token, "x" and "y" are none.
TEST(ScoredBpe, CharactersMergeThatAreNoTokensThemselves) {
  EXPECT_EQ(encode(definition_of({"xy", "a"}), "xyaxyx"), (Ids{1, 2, 1, 0}));
}

TEST(ScoredBpe, UserDefinedTokensAreWholeAndMergeWithNothing) {
  TokenizerDefinition definition = definition_of({"ab", "abc", "b", "a", "c", "bc", "<sep>"});
  definition.tokens[1].kind = TokenKind::kUserDefined;
  definition.tokens[7].kind = TokenKind::kUserDefined;
  EXPECT_EQ(encode(definition, "abc<sep>bc"), (Ids{1, 5, 7, 6}));
  definition.tokens[2].kind = TokenKind::kUserDefined;
  EXPECT_EQ(encode(definition, "abcab"), (Ids{2, 1}));
}

TEST(ScoredBpe, AnUnusedTokenIsSplitIntoWhatItMergedFrom) {
  TokenizerDefinition definition = definition_of({"abc", "ab", "a", "b", "c", "bc"});
  EXPECT_EQ(encode(definition, "abcb"), (Ids{1, 4}));
  const auto disuse = [&](std::size_t id) {
    definition.tokens[id].kind = TokenKind::kUnused;
    definition.tokens[id].spelling = definition.tokens[id].bytes;
  };
  disuse(1);
  EXPECT_EQ(encode(definition, "abcb"), (Ids{2, 5, 4}));
  disuse(2);
  EXPECT_EQ(encode(definition, "abcb"), (Ids{3, 4, 5, 4}));
}

TEST(ScoredBpe, RefusalsNameTheToken) {
  const auto refusal = [](const TokenizerDefinition& definition) {
    const auto model = ScoredBpe::build(definition);
    return model ? "accepted" : model.error().message();
  };
  EXPECT_EQ(refusal(definition_of({"a", "b"})), "accepted");
  EXPECT_EQ(refusal(definition_of({"a", "a"})), "vocabulary: token 2: 'a' occurs twice");
  EXPECT_EQ(refusal(definition_of({"a", ""})), "vocabulary: token 2: empty");
  EXPECT_EQ(refusal(definition_of({"\xFF"})), "vocabulary: token 1: not UTF-8");
  EXPECT_EQ(refusal(definition_of({std::string(300, 'a')})), "vocabulary: token 1: too long");
  TokenizerDefinition definition = definition_of({"a"});
  definition.tokens.push_back(definition.tokens[1]);
  definition.tokens[2].kind = TokenKind::kUserDefined;
  EXPECT_EQ(refusal(definition), "vocabulary: token 2: 'a' occurs twice");
  definition.tokens[1].score = 0.0 / 0.0;
  EXPECT_EQ(refusal(definition), "vocabulary: token 1: its score is not a number");
}

// SentencePiece's own procedure, one pair a turn, looked for from the left in the whole text.
Ids merged_one_by_one(const TokenizerDefinition& definition, std::string_view text) {
  std::map<std::string, TokenId> ids;
  for (std::size_t i = 1; i < definition.tokens.size(); ++i) ids[definition.tokens[i].bytes] = static_cast<TokenId>(i);
  Words symbols;
  for (std::string_view rest = text; !rest.empty();) {
    const std::size_t size = text::first_code_point(rest).size;
    symbols.emplace_back(rest.substr(0, size));
    rest.remove_prefix(size);
  }
  while (true) {
    std::size_t best = symbols.size();
    double score = 0.0;
    for (std::size_t i = 0; i + 1 < symbols.size(); ++i) {
      const auto token = ids.find(symbols[i] + symbols[i + 1]);
      if (token == ids.end()) continue;
      const double next = definition.tokens[static_cast<std::size_t>(token->second)].score;
      if (best == symbols.size() || next > score) {
        best = i;
        score = next;
      }
    }
    if (best == symbols.size()) break;
    symbols[best] += symbols[best + 1];
    symbols.erase(symbols.begin() + static_cast<std::ptrdiff_t>(best) + 1);
  }
  Ids out;
  for (const std::string& symbol : symbols) {
    const auto token = ids.find(symbol);
    const TokenId id = token == ids.end() ? 0 : token->second;
    if (id != 0 || out.empty() || out.back() != 0) out.push_back(id);
  }
  return out;
}

TEST(ScoredBpe, AgreesWithMergingOnePairATurn) {
  std::mt19937 random(11);
  const Words letters{"a", "b", "c", "é", std::string(kSpaceSymbol), "日"};
  const auto word = [&](std::size_t size_max) {
    std::string out;
    for (std::size_t size = 1 + random() % size_max; size > 0; --size) out += letters[random() % letters.size()];
    return out;
  };
  for (int round = 0; round < 300; ++round) {
    TokenizerDefinition definition = definition_of({});
    std::map<std::string, int> seen;
    for (int i = 0; i < 25; ++i) {
      VocabularyToken token{word(1 + random() % 4), TokenKind::kOrdinary};
      token.score = -static_cast<double>(random() % 8);
      if (seen[token.bytes]++ == 0) definition.tokens.push_back(token);
    }
    const ScoredBpe model = ScoredBpe::build(definition).value();
    for (int i = 0; i < 10; ++i) {
      const std::string text = word(24);
      EXPECT_EQ(encode(model, text), merged_one_by_one(definition, text)) << "round " << round << ": " << text;
    }
  }
}

}  // namespace
}  // namespace herd::tokenizer
