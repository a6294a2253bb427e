#include "runtime/tokenizer/tokenizer_json.h"

#include "runtime/tokenizer/byte_alphabet.h"
#include "tests/runtime/tokenizer_fixture.h"

#include <gtest/gtest.h>

#include <cstdio>
#include <string>

namespace herd::tokenizer {
namespace {

using Texts = std::vector<std::string>;

constexpr const char* kLlama3Split =
    R"x({"type":"Split","pattern":{"Regex":"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"},"behavior":"Isolated","invert":false})x";
constexpr const char* kBytesOnly = R"({"type":"ByteLevel","add_prefix_space":false,"trim_offsets":true,"use_regex":false})";

// The parts of a file; a test replaces the one it is about.
struct Parts {
  std::string merges = R"(["a b", "ab c"])";
  std::string model_extra = R"("ignore_merges":false,"byte_fallback":false,"unk_token":null,"dropout":null)";
  std::string vocab_extra;  // begins with a comma
  std::string added = R"([{"id":300,"content":"<|end|>","special":true,"lstrip":false,"rstrip":false,"single_word":false,"normalized":false}])";
  std::string normalizer = "null";
  std::string pre = kBytesOnly;
  std::string post = "null";
  std::string decoder = R"({"type":"ByteLevel"})";

  [[nodiscard]] std::string json() const {
    std::string vocab;
    for (int byte = 0; byte < 256; ++byte) {
      const std::string spelled = bytes_to_alphabet(std::string(1, static_cast<char>(byte)));
      vocab += (byte == 0 ? "\"" : ",\"") + (spelled == "\"" || spelled == "\\" ? "\\" + spelled : spelled) +
               "\":" + std::to_string(byte);
    }
    return R"({"version":"1.0","truncation":null,"padding":null,"added_tokens":)" + added + R"(,"normalizer":)" +
           normalizer + R"(,"pre_tokenizer":)" + pre + R"(,"post_processor":)" + post + R"(,"decoder":)" + decoder +
           R"(,"model":{"type":"BPE",)" + model_extra + R"(,"vocab":{)" + vocab + R"(,"ab":256,"abc":257)" +
           vocab_extra + R"(},"merges":)" + merges + "}}";
  }
};

Tokenizer parse(const Parts& parts) {
  auto tokenizer = parse_tokenizer_json(parts.json(), "tokenizer.json");
  if (!tokenizer) {
    ADD_FAILURE() << tokenizer.error().message();
    return small_tokenizer();
  }
  return *tokenizer;
}

std::string refusal(const Parts& parts) {
  const auto tokenizer = parse_tokenizer_json(parts.json(), "tokenizer.json");
  return tokenizer ? "accepted" : tokenizer.error().message();
}

TEST(TokenizerJson, ReadsMergesInBothSpellings) {
  Parts parts;
  EXPECT_EQ(texts(parse(parts), "abcab"), (Texts{"abc", "ab"}));
  parts.merges = R"([["a","b"],["ab","c"]])";
  EXPECT_EQ(texts(parse(parts), "abcab"), (Texts{"abc", "ab"}));
}

TEST(TokenizerJson, PreTokenizersFormAChain) {
  Parts parts;
  parts.merges = R"(["1 2", "12 3", "123 4", "Ġ a"])";
  parts.vocab_extra = R"(,"12":258,"123":259,"1234":260,"Ġa":261)";
  EXPECT_EQ(texts(parse(parts), "12345 a"), (Texts{"1234", "5", " a"}));
  parts.pre = R"({"type":"Sequence","pretokenizers":[)" + std::string(kLlama3Split) + "," + kBytesOnly + "]}";
  EXPECT_EQ(texts(parse(parts), "12345 a"), (Texts{"123", "4", "5", " a"}));
  parts.pre = R"({"type":"Sequence","pretokenizers":[{"type":"Digits","individual_digits":true},{"type":"ByteLevel","add_prefix_space":false,"trim_offsets":true,"use_regex":true}]})";
  EXPECT_EQ(texts(parse(parts), "123 a"), (Texts{"1", "2", "3", " a"}));
  parts.pre = R"({"type":"Sequence","pretokenizers":[{"type":"Digits","individual_digits":false},{"type":"ByteLevel","add_prefix_space":false}]})";
  EXPECT_EQ(texts(parse(parts), "a123"), (Texts{"a", "123"}));
  parts.pre = R"({"type":"Sequence","pretokenizers":[{"type":"Whitespace"},)" + std::string(kBytesOnly) + "]}";
  EXPECT_EQ(texts(parse(parts), "12 3!? 4"), (Texts{"12", "3", "!", "?", "4"}));
  parts.pre = R"({"type":"Sequence","pretokenizers":[{"type":"Punctuation"},)" + std::string(kBytesOnly) + "]}";
  EXPECT_EQ(texts(parse(parts), "12.12+ a"), (Texts{"12", ".", "12", "+", " a"}));
  parts.pre = R"({"type":"ByteLevel"})";  // the defaults: prefix space, pattern
  EXPECT_EQ(texts(parse(parts), "a a"), (Texts{" a", " a"}));
  EXPECT_EQ(texts(parse(parts), ""), Texts{});
}

// Each token would take 2^40 steps; all of them together have one budget.
TEST(TokenizerJson, ADecoderThatTakesTooLongIsRefused) {
  Parts parts;
  parts.decoder = R"({"type":"Sequence","decoders":[{"type":"Replace","pattern":{"Regex":"(a|a)*b"},"content":"x"},{"type":"ByteLevel"}]})";
  EXPECT_EQ(refusal(parts), "accepted");
  for (int id = 258; id < 268; ++id) {
    parts.vocab_extra += ",\"" + std::string(40, 'a') + std::to_string(id) + "\":" + std::to_string(id);
  }
  EXPECT_EQ(refusal(parts), "tokenizer.json: decoder: its regular expressions take too long on this vocabulary");
}

TEST(TokenizerJson, TemplateSaysWhatGoesAroundAText) {
  Parts parts;
  const EncodeOptions bos{.add_bos = true, .parse_special = false};
  EXPECT_EQ(parse(parts).encode("a", bos), (std::vector<TokenId>{'a'}));
  parts.post = R"({"type":"Sequence","processors":[{"type":"ByteLevel","trim_offsets":false},{"type":"TemplateProcessing",
    "single":[{"SpecialToken":{"id":"<|end|>","type_id":0}},{"Sequence":{"id":"A","type_id":0}},{"SpecialToken":{"id":"x","type_id":0}}],
    "pair":[],"special_tokens":{"<|end|>":{"id":"<|end|>","ids":[300],"tokens":["<|end|>"]},"x":{"id":"x","ids":[1],"tokens":["x"]}}}]})";
  const Tokenizer tokenizer = parse(parts);
  EXPECT_EQ(tokenizer.encode("a", bos), (std::vector<TokenId>{300, 'a', 1}));
  EXPECT_EQ(tokenizer.encode("a"), (std::vector<TokenId>{'a'}));
  EXPECT_EQ(tokenizer.bos_id(), TokenId{300});
}

TEST(TokenizerJson, AddedTokensMayTakeTheSpaceAroundThem) {
  Parts parts;
  parts.added = R"([{"id":300,"content":"<|l|>","special":true,"lstrip":true},
                    {"id":301,"content":"<|r|>","special":false,"rstrip":true},
                    {"id":302,"content":"two words","special":false,"normalized":true}])";
  const Tokenizer tokenizer = parse(parts);
  const EncodeOptions special{.add_bos = false, .parse_special = true};
  EXPECT_EQ(tokenizer.vocab_size(), 303U);
  EXPECT_EQ(tokenizer.token_bytes(280), "");  // a gap
  EXPECT_EQ(texts(tokenizer, "c <|l|> c", special), (Texts{"c", "<|l|>", " ", "c"}));
  EXPECT_EQ(texts(tokenizer, "c <|r|> c"), (Texts{"c", " ", "<|r|>", "c"}));
  EXPECT_EQ(texts(tokenizer, "<|r|>two words two"), (Texts{"<|r|>", "two words", " ", "t", "w", "o"}));
}

TEST(TokenizerJson, UnknownTokenStandsForBytesWithoutAToken) {
  Parts parts;
  std::string json = parts.json();
  const auto replace = [&json](const std::string& from, const std::string& to) { json.replace(json.find(from), from.size(), to); };
  replace(R"("x":120,)", "");
  replace(R"("y":121,)", "");
  replace(R"("unk_token":null)", R"("unk_token":"?")");
  const auto tokenizer = parse_tokenizer_json(json, "tokenizer.json");
  ASSERT_TRUE(tokenizer) << tokenizer.error().message();
  EXPECT_EQ(texts(*tokenizer, "axyb"), (Texts{"a", "?", "?", "b"}));
  replace(R"("unk_token":"?")", R"("unk_token":"?","fuse_unk":true)");
  EXPECT_EQ(texts(*parse_tokenizer_json(json, "tokenizer.json"), "axyb"), (Texts{"a", "?", "b"}));
}

// What changes nothing, or has a meaning in the reference, loads.
TEST(TokenizerJson, DefinitionsThatChangeNothingLoad) {
  const auto pieces = [](std::string Parts::*member, std::string value) {
    Parts parts;
    parts.*member = std::move(value);
    return texts(parse(parts), "abcab");
  };
  const Texts same = {"abc", "ab"};
  EXPECT_EQ(pieces(&Parts::normalizer, R"({"type":"Sequence","normalizers":[]})"), same);
  EXPECT_EQ(pieces(&Parts::decoder, R"({"type":"Sequence","decoders":[{"type":"ByteLevel"},{"type":"Fuse"}]})"), same);
  EXPECT_EQ(pieces(&Parts::model_extra, R"("unk_token":"nowhere")"), same) << "no byte needs it";
  EXPECT_EQ(pieces(&Parts::model_extra, R"("unk_token":"")"), same);
  EXPECT_EQ(pieces(&Parts::merges, R"(["a b","ab c","a b"])"), same);
  EXPECT_EQ(pieces(&Parts::added, R"([{"id":257,"content":"abc"}])"), same) << "cut out, or built by merging: the same token";
}

TEST(TokenizerJson, OfEqualMergesTheLastCounts) {
  Parts parts;
  parts.vocab_extra = R"(,"bc":258)";
  parts.merges = R"(["a b","b c","a b"])";
  EXPECT_EQ(texts(parse(parts), "abc"), (Texts{"a", "bc"}));
}

TEST(TokenizerJson, AnUnknownTokenThatBytesNeedMustExist) {
  Parts parts;
  std::string json = parts.json();
  json.replace(json.find(R"("x":120,)"), 8, "");
  json.replace(json.find(R"("unk_token":null)"), 16, R"("unk_token":"nowhere")");
  const auto refused = parse_tokenizer_json(json, "f");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().message(), "f: model.unk_token: not in model.vocab");
}

// Numbered as the library numbers them, whatever the other file says.
TEST(TokenizerJson, AddedTokensOfOtherFilesJoin) {
  Parts parts;
  parts.vocab_extra = R"(,"zz":258)";
  for (const TokenId stated : {301, 5, -1}) {
    const DeclaredAddedTokens declared{{{stated, "<|new|>"}, {999, "<|end|>"}, {77, "zz"}, {-1, "<|later|>"}}, false};
    const auto tokenizer = parse_tokenizer_json(parts.json(), "f", declared);
    ASSERT_TRUE(tokenizer) << tokenizer.error().message();
    EXPECT_EQ(tokenizer->find_special("<|new|>"), TokenId{301});
    EXPECT_EQ(tokenizer->find_special("<|later|>"), TokenId{302});
    EXPECT_EQ(tokenizer->find_special("<|end|>"), TokenId{300}) << "the file itself says so";
    EXPECT_EQ(tokenizer->find_special("zz"), TokenId{258}) << "the vocabulary has it";
  }
}

// Only a decoder of added tokens has the last word on how those of the file are found.
TEST(TokenizerJson, OtherFilesMayRestateAddedTokens) {
  Parts parts;
  parts.vocab_extra = R"(,"zz":258)";
  parts.added = R"([{"id":300,"content":"<E>","special":false},{"id":301,"content":"<S>","special":true},{"id":258,"content":"zz","special":true}])";
  DeclaredAddedTokens declared{{{1, "<E>"}, {-1, "<S>"}, {9, "zz"}}, true};
  declared.tokens[0].strip_right = true;
  declared.tokens[1].strip_right = true;
  declared.tokens[2].special = false;
  const auto as = [&](bool restate) {
    declared.restate = restate;
    const auto tokenizer = parse_tokenizer_json(parts.json(), "f", declared);
    return !tokenizer ? Texts{tokenizer.error().message()} : texts(*tokenizer, "<E> a<S> xzz", {.add_bos = false, .parse_special = true});
  };
  EXPECT_EQ(as(false), (Texts{"<E>", " ", "a", "<S>", " ", "x", "zz"}));
  EXPECT_EQ(as(true), (Texts{"<E>", "a", "<S>", " ", "x", "zz"}));
  const auto restated = parse_tokenizer_json(parts.json(), "f", declared);
  EXPECT_EQ(restated->find_special("<E>"), TokenId{300});
  EXPECT_EQ(restated->find_special("zz"), std::nullopt);
}

TEST(TokenizerJson, NormalizesWhatStandsBetweenAddedTokens) {
  Parts parts;
  parts.normalizer = R"({"type":"Sequence","normalizers":[{"type":"Lowercase"},{"type":"Replace","pattern":{"Regex":"b+"},"content":"c"}]})";
  parts.added = R"([{"id":300,"content":"<E>","special":true},{"id":301,"content":"AA","normalized":true}])";
  EXPECT_EQ(texts(parse(parts), "ABB<E>Baab", {.add_bos = false, .parse_special = true}), (Texts{"a", "c", "<E>", "c", "aa", "c"}))
      << "AA is found, and shown, as aa in the normalized text, <E> in the text as it is";
}

// Characters, byte fallback, U+2581 for spaces: as Llama 2's file says it.
TEST(TokenizerJson, ReadsLlama2sWay) {
  std::string vocab = R"("<unk>":0,"<s>":1)";
  for (int byte = 0; byte < 256; ++byte) {
    char text[24];
    std::snprintf(text, sizeof text, R"(,"<0x%02X>":%d)", static_cast<unsigned>(byte), byte + 2);
    vocab += text;
  }
  vocab += R"(,"▁":258,"a":259,"b":260,"▁a":261,"▁ab":262,"ab":263)";
  const std::string json = R"({"added_tokens":[{"id":0,"content":"<unk>","special":true},{"id":1,"content":"<s>","special":true}],
    "normalizer":{"type":"Sequence","normalizers":[{"type":"Prepend","prepend":"▁"},{"type":"Replace","pattern":{"String":" "},"content":"▁"}]},
    "pre_tokenizer":null,
    "post_processor":{"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"<s>","type_id":0}},{"Sequence":{"id":"A","type_id":0}}],
      "pair":[],"special_tokens":{"<s>":{"id":"<s>","ids":[1],"tokens":["<s>"]}}},
    "decoder":{"type":"Sequence","decoders":[{"type":"Replace","pattern":{"String":"▁"},"content":" "},{"type":"ByteFallback"},
      {"type":"Fuse"},{"type":"Strip","content":" ","start":1,"stop":0}]},
    "model":{"type":"BPE","byte_fallback":true,"fuse_unk":true,"unk_token":"<unk>","vocab":{)" + vocab +
                           R"(},"merges":["▁ a","▁a b","a b"]}})";
  const auto loaded = parse_tokenizer_json(json, "f");
  ASSERT_TRUE(loaded) << loaded.error().message();
  EXPECT_EQ(loaded->encode("ab ab"), (std::vector<TokenId>{262, 262}));
  EXPECT_EQ(loaded->encode("aé ", {.add_bos = true}), (std::vector<TokenId>{1, 261, 0xC3 + 2, 0xA9 + 2, 258}));
  EXPECT_EQ(loaded->encode("a<s>b", {.add_bos = false, .parse_special = true}), (std::vector<TokenId>{261, 1, 258, 260}));
  for (const char* text : {"ab ab", "  two", "é\n", "", " "}) {
    EXPECT_EQ(loaded->decode(loaded->encode(text), true), text);
  }
  EXPECT_EQ(loaded->token_bytes(261), " a");
  EXPECT_EQ(loaded->opening_bytes(261), "a");
  EXPECT_EQ(loaded->token_bytes(2 + 0x0A), "\n");
  EXPECT_NE(loaded->encode("<0x0A>"), (std::vector<TokenId>{258, 2 + 0x0A})) << "a byte's spelling is text";
}

// Byte fallback would turn a user's letter into a control token.
TEST(TokenizerJson, AByteIsNoControlToken) {
  const auto refused = parse_tokenizer_json(R"({"added_tokens":[{"id":0,"content":"<0x41>","special":true}],
    "model":{"type":"BPE","byte_fallback":true,"vocab":{"<0x41>":0,"b":1},"merges":[]}})", "f");
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().message().find("is both a control token and that of a byte"), std::string::npos);
}

TEST(TokenizerJson, MetaspaceOfTheFirstPieceOnly) {
  const auto with_scheme = [](const char* scheme) {
    const std::string metaspace = std::string(R"({"type":"Metaspace","replacement":"▁","split":true,"prepend_scheme":")") + scheme + "\"}";
    const auto loaded = parse_tokenizer_json(
        R"({"added_tokens":[{"id":4,"content":"<s>","special":true}],"pre_tokenizer":)" + metaspace + R"(,"decoder":)" + metaspace +
            R"(,"model":{"type":"BPE","vocab":{"▁":0,"a":1,"▁a":2,"aa":3},"merges":["▁ a","a a"]}})", "f");
    EXPECT_TRUE(loaded) << loaded.error().message();
    return loaded->encode("a<s>a a", {.add_bos = false, .parse_special = true});
  };
  EXPECT_EQ(with_scheme("always"), (std::vector<TokenId>{2, 4, 2, 2}));
  EXPECT_EQ(with_scheme("first"), (std::vector<TokenId>{2, 4, 1, 2}));
  EXPECT_EQ(with_scheme("never"), (std::vector<TokenId>{1, 4, 1, 2}));
}

TEST(TokenizerJson, AMapOfCharactersMustBeOne) {
  Parts parts;
  parts.normalizer = R"({"type":"Precompiled","precompiled_charsmap":"!"})";
  EXPECT_EQ(refusal(parts), "tokenizer.json: normalizer.precompiled_charsmap: not base64");
  parts.normalizer = R"({"type":"Precompiled","precompiled_charsmap":"AAAA"})";
  EXPECT_EQ(refusal(parts).find("tokenizer.json: normalizer: "), 0U);
}

TEST(TokenizerJson, ByteLevelBeforeOtherStagesWritesItsAlphabet) {
  Parts parts;
  parts.pre = R"({"type":"Sequence","pretokenizers":[{"type":"ByteLevel","add_prefix_space":false,"use_regex":false},
    {"type":"Split","pattern":{"String":"Ġ"},"behavior":"MergedWithNext","invert":false}]})";
  parts.merges = R"(["Ġ a","a b"])";
  parts.vocab_extra = R"(,"Ġa":258)";
  EXPECT_EQ(texts(parse(parts), "ab ab"), (Texts{"ab", " a", "b"}));
}

TEST(TokenizerJson, RefusalsNameFileAndField) {
  EXPECT_EQ(refusal(Parts{}), "accepted");
  const auto with = [](std::string Parts::*member, std::string value) {
    Parts parts;
    parts.*member = std::move(value);
    return refusal(parts);
  };
  EXPECT_EQ(with(&Parts::normalizer, R"({"type":"BertNormalizer"})").find("tokenizer.json: normalizer.type: 'BertNormalizer'"), 0U);
  EXPECT_EQ(with(&Parts::normalizer, R"({"type":"Sequence","normalizers":[{"type":"NFC"},{"type":"Nmt"}]})")
                .find("tokenizer.json: normalizer.normalizers[1].type: 'Nmt'"), 0U);
  EXPECT_EQ(with(&Parts::normalizer, R"x({"type":"Replace","pattern":{"Regex":"(a)"},"content":"$1"})x")
                .find("tokenizer.json: normalizer.content: groups"), 0U);
  EXPECT_EQ(with(&Parts::model_extra, R"("dropout":0.1)").find("tokenizer.json: model.dropout"), 0U);
  EXPECT_EQ(with(&Parts::model_extra, R"("end_of_word_suffix":"</w>")").find("tokenizer.json: model.end_of_word_suffix"), 0U);
  EXPECT_EQ(with(&Parts::merges, R"(["a b","a q"])").find("tokenizer.json: model.merges[1]: 'a' and 'q'"), 0U);
  EXPECT_EQ(with(&Parts::merges, R"([["a"]])").find("tokenizer.json: model.merges[0]: not two"), 0U);
  EXPECT_EQ(with(&Parts::merges, R"(["ab"])").find("tokenizer.json: model.merges[0]: not two"), 0U);
  EXPECT_EQ(with(&Parts::vocab_extra, R"(,"x y":256)").find("tokenizer.json: model.vocab: id 256 occurs twice"), 0U);
  EXPECT_EQ(with(&Parts::vocab_extra, R"(,"zz":-1)").find("tokenizer.json: model.vocab['zz']"), 0U);
  EXPECT_EQ(with(&Parts::vocab_extra, R"(,"zz":1048576)").find("tokenizer.json: model.vocab['zz']"), 0U);
  EXPECT_EQ(with(&Parts::added, R"([{"id":5,"content":"new","special":true}])").find("tokenizer.json: added_tokens[0]: 'new'"), 0U);
  EXPECT_EQ(with(&Parts::added, R"([{"id":300,"content":"w1"},{"id":300,"content":"w2"}])").find("tokenizer.json: added_tokens[1]: 'w2'"), 0U);
  EXPECT_EQ(with(&Parts::added, R"([{"id":300,"content":"w1"},{"id":301,"content":"w1"}])").find("tokenizer.json: added token 'w1': occurs twice"), 0U);
  EXPECT_NE(with(&Parts::added, R"([{"id":257,"content":"abc","special":true}])").find("must not become by merging"), std::string::npos);
  EXPECT_EQ(with(&Parts::pre, R"({"type":"UnicodeScripts"})").find("tokenizer.json: pre_tokenizer.type: 'UnicodeScripts'"), 0U);
  EXPECT_EQ(with(&Parts::pre, R"({"type":"Sequence","pretokenizers":[{"type":"ByteLevel"},{"type":"ByteLevel"}]})")
                .find("tokenizer.json: pre_tokenizer.pretokenizers[1]: a second ByteLevel"), 0U);
  EXPECT_EQ(with(&Parts::pre, R"({"type":"Split","pattern":{"Regex":"(a)\\1"},"behavior":"Isolated"})")
                .find(R"(tokenizer.json: split pattern '(a)\1': regular expression, byte 4: \1)"), 0U);
  EXPECT_EQ(with(&Parts::pre, R"({"type":"Split","pattern":{"Regex":"a"},"behavior":"isolated"})")
                .find("tokenizer.json: pre_tokenizer.behavior: 'isolated'"), 0U);
  EXPECT_EQ(with(&Parts::post, R"({"type":"PairwiseProcessing"})").find("tokenizer.json: post_processor.type: 'PairwiseProcessing'"), 0U);
  EXPECT_EQ(with(&Parts::decoder, R"({"type":"WordPiece"})").find("tokenizer.json: decoder.type: 'WordPiece'"), 0U);
  EXPECT_EQ(with(&Parts::decoder, R"({"type":"Sequence","decoders":[{"type":"Fuse"},{"type":"Strip","content":"x","start":1,"stop":0}]})")
                .find("tokenizer.json: decoder.decoders[1]: of a whole text"), 0U);

  EXPECT_EQ(with(&Parts::decoder, R"({"type":"Sequence","decoders":[
                  {"type":"Replace","pattern":{"String":"a"},"content":"aaaaaaaaaa"},{"type":"Replace","pattern":{"String":"a"},"content":"aaaaaaaaaa"}]})"),
            "tokenizer.json: decoder.decoders[1].content: may make a token more than 64 times as long");
  EXPECT_EQ(with(&Parts::normalizer, R"({"type":"Replace","pattern":{"String":")" + std::string(1025, 'a') + R"("},"content":"a"})"),
            "tokenizer.json: normalizer.pattern.String: longer than 1024 bytes");
  EXPECT_EQ(with(&Parts::added, R"([{"id":300,"content":")" + std::string(1025, 'a') + R"("}])"),
            "tokenizer.json: added_tokens[0]: longer than 1024 bytes");

  const auto text_refusal = [](std::string_view text) { return parse_tokenizer_json(text, "f").error().message(); };
  EXPECT_EQ(text_refusal("{").find("f: not JSON"), 0U);
  EXPECT_EQ(text_refusal("[]"), "f: not a JSON object");
  EXPECT_EQ(text_refusal("{}"), "f: model: missing");
  EXPECT_EQ(text_refusal(std::string(100'000, '[')).find("f: not JSON"), 0U);
  EXPECT_EQ(text_refusal(std::string((32U << 20) + 1, ' ')).find("f: larger than"), 0U);
  EXPECT_EQ(load_tokenizer_json("/nonexistent/tokenizer.json").error().code(), StatusCode::kMissing);
}

}  // namespace
}  // namespace herd::tokenizer
