#include "runtime/tokenizer/sentencepiece_model.h"

#include "tests/runtime/sentencepiece_fixture.h"
#include "tests/runtime/tokenizer_fixture.h"

#include <gtest/gtest.h>

#include <string>

#include "runtime/tokenizer/byte_spelling.h"
#include "runtime/tokenizer/incremental_decoder.h"

namespace herd::tokenizer {
namespace {

using Ids = std::vector<TokenId>;
using Type = SentencePiece::Type;

std::string normalized_by(const SentencePieceRules& rules, std::string_view text, bool begins_text = true,
                          std::vector<PieceTrie::Entry> kept = {}) {
  std::string out;
  SentencePieceNormalizer::build(rules, std::move(kept)).value().normalize(text, begins_text, out);
  return out;
}

TEST(SentencePieceNormalizer, SpacesAreAddedRemovedAndSpelledAsTheRulesSay) {
  EXPECT_EQ(normalized_by({}, "a  b "), kS + "a" + kS + kS + "b" + kS);
  EXPECT_EQ(normalized_by({}, ""), "");
  EXPECT_EQ(normalized_by({}, " "), kS + kS);
  EXPECT_EQ(normalized_by({.dummy_prefix = false}, "a b"), "a" + kS + "b");
  EXPECT_EQ(normalized_by({.escape_spaces = false}, "a b"), " a b");
  EXPECT_EQ(normalized_by({.space_as_suffix = true}, "a b"), "a" + kS + "b" + kS);
  const SentencePieceRules removing{.remove_extra_spaces = true};
  EXPECT_EQ(normalized_by(removing, "  a   b  "), kS + "a" + kS + "b");
  EXPECT_EQ(normalized_by(removing, "   "), "");
  EXPECT_EQ(normalized_by({.prefix_every_stretch = false}, "a", true), kS + "a");
  EXPECT_EQ(normalized_by({.prefix_every_stretch = false}, "a", false), "a");
  EXPECT_EQ(normalized_by({}, "a", false), kS + "a");
}

TEST(SentencePieceNormalizer, CharactersAreReplacedButNotInWhatIsKept) {
  SentencePieceRules rules;
  rules.charsmap = one_byte_charsmap("AB\t", {"a", "", " "});
  EXPECT_EQ(normalized_by(rules, "AxB\tA"), kS + "ax" + kS + "a");
  EXPECT_EQ(normalized_by(rules, "ABBA A", true, {{"BBA", 7}}), kS + "aBBA" + kS + "a");
  rules.remove_extra_spaces = true;
  EXPECT_EQ(normalized_by(rules, "\t A\t\t \tA\t"), kS + "a" + kS + "a");
}

TEST(SentencePieceModel, EncodesWithTheSpaceInFrontAndDecodesWithoutIt) {
  //                                                  3      4       5    6    7
  const Tokenizer tokenizer = *parse_sentencepiece_model(model_bytes(small_model({kS + "a", kS + "ab", kS, "a", "b"})), "m");
  EXPECT_EQ(tokenizer.encode("ab a b"), (Ids{4, 3, 5, 7}));
  EXPECT_EQ(tokenizer.encode("ab", {.add_bos = true}), (Ids{1, 4}));
  EXPECT_EQ(tokenizer.decode(Ids{1, 4, 3, 5, 7}, true), "ab a b");
  EXPECT_EQ(tokenizer.bos_id(), TokenId{1});
  EXPECT_EQ(tokenizer.eos_ids().size(), 1U);
  EXPECT_EQ(tokenizer.encode(""), Ids{});
}

TEST(SentencePieceModel, ControlTokensAreFoundOnlyWhereTheCallerAllowsIt) {
  const std::string model = model_bytes(small_model({kS + "a", kS, "a", "<", "s", ">"}));
  const Tokenizer tokenizer = *parse_sentencepiece_model(model, "m");
  EXPECT_EQ(tokenizer.encode("<s>a"), (Ids{4, 6, 7, 8, 5}));
  EXPECT_EQ(tokenizer.encode("<s>a", {.parse_special = true}), (Ids{1, 3}));
  const Tokenizer later = *parse_sentencepiece_model(model, "m", {.legacy = false});
  EXPECT_EQ(later.encode("a<s>a", {.parse_special = true}), (Ids{3, 1, 5}));
  EXPECT_EQ(later.encode("<s>a", {.parse_special = true}), (Ids{1, 5}));
}

TEST(SentencePieceModel, OptionsSayWhatStandsAroundAText) {
  const std::string model = model_bytes(small_model({kS + "a", kS, "a"}));
  const EncodeOptions around{.add_bos = true};
  EXPECT_EQ(parse_sentencepiece_model(model, "m", {.add_bos_token = false})->encode("a", around), (Ids{3}));
  EXPECT_EQ(parse_sentencepiece_model(model, "m", {.add_eos_token = true})->encode("a", around), (Ids{1, 3, 2}));
  const Tokenizer bare = *parse_sentencepiece_model(model, "m", {.add_prefix_space = false});
  EXPECT_EQ(bare.encode("a"), (Ids{5}));
  EXPECT_EQ(bare.decode(Ids{3}, true), " a");
}

TEST(SentencePieceModel, BytesStandForCharactersWithoutAPiece) {
  ModelParts parts = small_model({kS, "a"});
  parts.byte_fallback = true;
  for (int byte = 0; byte < 256; ++byte) {
    parts.pieces.push_back({spelling_of_byte(static_cast<std::uint8_t>(byte)), 0.0F, Type::kByte});
  }
  const Tokenizer tokenizer = *parse_sentencepiece_model(model_bytes(parts), "m");
  const Ids ids = tokenizer.encode("aé");
  EXPECT_EQ(ids, (Ids{3, 4, 5 + 0xC3, 5 + 0xA9}));
  EXPECT_EQ(tokenizer.decode(ids, true), "aé");
  EXPECT_EQ(tokenizer.encode("<0x41>").size(), 7U);  // each character of it, never the byte's token
  IncrementalDecoder decoder(tokenizer, {}, {.begins_text = true});
  std::string streamed;
  for (const TokenId id : ids) streamed += decoder.push(id);
  EXPECT_EQ(streamed + decoder.flush(), "aé");
  parts.pieces.pop_back();
  EXPECT_EQ(parse_sentencepiece_model(model_bytes(parts), "m").error().message(),
            "m: no piece for byte 255, although the model says that it has them (byte_fallback)");
}

TEST(SentencePieceModel, UserDefinedPiecesAreFoundInEveryTextAndAreNoControlTokens) {
  ModelParts parts = small_model({kS + "a", kS, "a", "b"});
  parts.pieces.push_back({"<sep>", 0.0F, Type::kUserDefined});
  const Tokenizer tokenizer = *parse_sentencepiece_model(model_bytes(parts), "m");
  EXPECT_EQ(tokenizer.encode("a<sep>b<sep>"), (Ids{3, 7, 6, 7}));  // no space comes in behind it
  EXPECT_FALSE(tokenizer.is_special(7));
  EXPECT_EQ(tokenizer.decode(Ids{3, 7, 6}, true), "a<sep>b");
  parts.model = SentencePieceFile::Model::kUnigram;
  EXPECT_EQ(parse_sentencepiece_model(model_bytes(parts), "m")->encode("a<sep>b<sep>"), (Ids{3, 7, 6, 7}));
}

TEST(SentencePieceModel, OtherFilesAddTokensAndNameThoseItHas) {
  const std::string model = model_bytes(small_model({kS + "a", kS, "a", "hi"}));
  SentencePieceOptions options;
  options.declared.tokens = {{9, "<pad>", true}, {2, "</s>", true, true}, {-1, "hi", false}, {0, "<unk>", true}, {8, kS + "a", false}};
  EXPECT_EQ(parse_sentencepiece_model(model, "m", options)->encode("a </s>", {.parse_special = true}), (Ids{4, 5, 4, 2}));
  options.declared.restate = true;
  const Tokenizer tokenizer = *parse_sentencepiece_model(model, "m", options);
  EXPECT_EQ(tokenizer.encode("<pad>a </s>", {.parse_special = true}), (Ids{7, 4, 5, 2}));  // </s> takes the space before it
  EXPECT_EQ(tokenizer.vocab_size(), 8U);
  EXPECT_TRUE(tokenizer.is_special(7));
  EXPECT_EQ(tokenizer.encode("ahi"), (Ids{4, 5, 6}));
  EXPECT_FALSE(tokenizer.is_special(6));
  EXPECT_EQ(tokenizer.encode(kS + "a"), (Ids{3}));  // as it is spelled, not as it decodes
}

TEST(SentencePieceModel, RefusalsNameTheFileAndThePiece) {
  const auto refusal = [](const std::string& content) {
    const auto tokenizer = parse_sentencepiece_model(content, "m");
    return tokenizer ? "accepted" : tokenizer.error().message();
  };
  const ModelParts good = small_model({"a"});
  EXPECT_EQ(refusal(model_bytes(good)), "accepted");
  ModelParts bad = good;
  bad.pieces.push_back({"a", 0.0F, Type::kNormal});
  EXPECT_EQ(refusal(model_bytes(bad)), "m: vocabulary: token 4: 'a' occurs twice");
  bad.pieces.back() = {"<sep>", 0.0F, Type::kUserDefined};
  bad.pieces.push_back(bad.pieces.back());
  EXPECT_EQ(refusal(model_bytes(bad)), "m: vocabulary: token 5: '<sep>' occurs twice");
  bad.pieces.pop_back();
  bad.pieces.back() = {"", 0.0F, Type::kNormal};
  EXPECT_EQ(refusal(model_bytes(bad)), "m: piece 4 (''): empty");
  bad.pieces.back() = {"<0x4>", 0.0F, Type::kByte};
  EXPECT_EQ(refusal(model_bytes(bad)), "m: piece 4 ('<0x4>'): not <0x00> … <0xFF>, the spelling of a byte");
  bad.pieces.back() = {"<0x41>", 0.0F, Type::kByte};
  EXPECT_EQ(refusal(model_bytes(bad)), "m: piece 4 ('<0x41>'): a byte, although the model says that it has none (byte_fallback)");
  bad.pieces.back() = {"\xE2", 0.0F, Type::kControl};
  EXPECT_EQ(refusal(model_bytes(bad)), "m: added token 4: not UTF-8");
  bad.pieces.back() = {"?", 0.0F, Type::kUnknown};
  EXPECT_EQ(refusal(model_bytes(bad)), "m: piece 4 ('?'): a second unknown token");
  bad = good;
  bad.pieces.erase(bad.pieces.begin());
  EXPECT_EQ(refusal(model_bytes(bad)), "m: no unknown token among 3 pieces");
  bad = good;
  bad.model = SentencePieceFile::Model::kWord;
  EXPECT_EQ(refusal(model_bytes(bad)), "m: a model of words ('word'): bpe and unigram are supported");
  bad.model = SentencePieceFile::Model::kCharacter;
  EXPECT_EQ(refusal(model_bytes(bad)), "m: a model of characters ('char'): bpe and unigram are supported");
  bad = good;
  bad.charsmap = "x";
  EXPECT_EQ(refusal(model_bytes(bad)), "m: map of characters: shorter than its header");
  const std::string whole = model_bytes(good);
  EXPECT_EQ(refusal(whole + proto_bytes(5, proto_bytes(2, one_byte_charsmap("A", {"a"})))),
            "m: replaces characters of decoded text (denormalizer_spec), which is not supported");
}

TEST(SentencePieceFile, FieldsItDoesNotKnowAreSkippedAndABrokenMessageIsRefused) {
  const std::string good = model_bytes(small_model({"a", "b"}));
  EXPECT_EQ(read_sentencepiece_file(good, "m")->pieces.size(), 5U);
  EXPECT_EQ(read_sentencepiece_file(good + proto_number(200, 1) + proto_bytes(201, "x") + proto_float(202, 1.0F), "m")->pieces.size(), 5U);
  EXPECT_EQ(read_sentencepiece_file("", "m")->pieces.size(), 0U);
  int refused = 0;
  for (std::size_t size = 1; size < good.size(); ++size) refused += read_sentencepiece_file(good.substr(0, size), "m") ? 0 : 1;
  EXPECT_EQ(refused, static_cast<int>(good.size()) - 1 - 6);  // whole behind each of the five pieces and the trainer's part
  EXPECT_EQ(read_sentencepiece_file(good.substr(0, 9), "m").error().message(),
            "m: not a whole SentencePiece model: it breaks off or is damaged behind piece 0");
  EXPECT_FALSE(read_sentencepiece_file(proto_bytes(1, proto_number(3, 7)), "m"));   // a type that there is not
  EXPECT_FALSE(read_sentencepiece_file(proto_bytes(1, proto_number(1, 7)), "m"));   // a text that is a number
  EXPECT_FALSE(read_sentencepiece_file(proto_number(1, 7), "m"));                   // a piece that is a number
  EXPECT_FALSE(read_sentencepiece_file("\x0F", "m"));                               // no such kind of field
  EXPECT_FALSE(read_sentencepiece_file(std::string(12, '\xFF'), "m"));              // a number without end
}

TEST(SentencePieceFile, IsToldFromLinesOfTextByItsFirstByte) {
  EXPECT_TRUE(is_sentencepiece_file(model_bytes(small_model({"a"}))));
  EXPECT_TRUE(is_sentencepiece_file(proto_bytes(2, "")));
  EXPECT_FALSE(is_sentencepiece_file("IQ== 0\n"));
  EXPECT_FALSE(is_sentencepiece_file("# text"));
  EXPECT_FALSE(is_sentencepiece_file(""));
}

TEST(SentencePieceModel, PiecesSpellSpaces) {
  EXPECT_EQ(text_of_piece(kS + "a" + kS + kS), " a  ");
  EXPECT_EQ(text_of_piece(""), "");
}

}  // namespace
}  // namespace herd::tokenizer
