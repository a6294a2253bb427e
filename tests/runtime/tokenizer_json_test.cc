#include "runtime/tokenizer/tokenizer_json.h"

#include "runtime/tokenizer/byte_alphabet.h"
#include "tests/runtime/tokenizer_fixture.h"

#include <gtest/gtest.h>

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
  parts.pre = R"({"type":"ByteLevel"})";  // the defaults: prefix space, pattern
  EXPECT_EQ(texts(parse(parts), "a a"), (Texts{" a", " a"}));
  EXPECT_EQ(texts(parse(parts), ""), Texts{});
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

TEST(TokenizerJson, RefusalsNameFileAndField) {
  EXPECT_EQ(refusal(Parts{}), "accepted");
  const auto with = [](std::string Parts::*member, std::string value) {
    Parts parts;
    parts.*member = std::move(value);
    return refusal(parts);
  };
  EXPECT_EQ(with(&Parts::normalizer, R"({"type":"NFC"})").find("tokenizer.json: normalizer: 'NFC'"), 0U);
  EXPECT_EQ(with(&Parts::model_extra, R"("byte_fallback":true)").find("tokenizer.json: model.byte_fallback: SentencePiece"), 0U);
  EXPECT_EQ(with(&Parts::model_extra, R"("dropout":0.1)").find("tokenizer.json: model.dropout"), 0U);
  EXPECT_EQ(with(&Parts::model_extra, R"("unk_token":"nowhere")").find("tokenizer.json: model.unk_token"), 0U);
  EXPECT_EQ(with(&Parts::model_extra, R"("end_of_word_suffix":"</w>")").find("tokenizer.json: model.end_of_word_suffix"), 0U);
  EXPECT_EQ(with(&Parts::merges, R"(["a b","a q"])").find("tokenizer.json: model.merges[1]: 'a' and 'q'"), 0U);
  EXPECT_EQ(with(&Parts::merges, R"([["a"]])").find("tokenizer.json: model.merges[0]: neither"), 0U);
  EXPECT_EQ(with(&Parts::merges, R"(["ab"])").find("tokenizer.json: model.merges[0]: not two"), 0U);
  EXPECT_EQ(with(&Parts::merges, R"(["a b","a b"])").find("tokenizer.json: merges: a pair occurs twice"), 0U);
  EXPECT_EQ(with(&Parts::vocab_extra, R"(,"x y":256)").find("tokenizer.json: model.vocab: id 256 occurs twice"), 0U);
  EXPECT_EQ(with(&Parts::vocab_extra, R"(,"zz":-1)").find("tokenizer.json: model.vocab['zz']"), 0U);
  EXPECT_EQ(with(&Parts::vocab_extra, R"(,"zz":1048576)").find("tokenizer.json: model.vocab['zz']"), 0U);
  EXPECT_EQ(with(&Parts::added, R"([{"id":5,"content":"new","special":true}])").find("tokenizer.json: added_tokens[0]: 'new'"), 0U);
  EXPECT_EQ(with(&Parts::added, R"([{"id":300,"content":"w","single_word":true}])").find("tokenizer.json: added_tokens[0].single_word"), 0U);
  EXPECT_NE(with(&Parts::added, R"([{"id":257,"content":"abc","special":true}])").find("must not become by merging"), std::string::npos);
  EXPECT_EQ(with(&Parts::pre, R"({"type":"Metaspace"})").find("tokenizer.json: pre_tokenizer.type: 'Metaspace'"), 0U);
  EXPECT_EQ(with(&Parts::pre, R"({"type":"Digits"})").find("tokenizer.json: pre_tokenizer: no ByteLevel"), 0U);
  EXPECT_EQ(with(&Parts::pre, R"({"type":"Sequence","pretokenizers":[{"type":"ByteLevel"},{"type":"Digits"}]})")
                .find("tokenizer.json: pre_tokenizer.pretokenizers[0]: ByteLevel must be the last"), 0U);
  EXPECT_EQ(with(&Parts::pre, R"({"type":"Split","pattern":{"Regex":"(a+)+$"},"behavior":"Isolated"})")
                .find("tokenizer.json: pre_tokenizer.pattern.Regex: only"), 0U);
  EXPECT_EQ(with(&Parts::post, R"({"type":"BertProcessing"})").find("tokenizer.json: post_processor.type: 'BertProcessing'"), 0U);
  EXPECT_EQ(with(&Parts::decoder, R"({"type":"WordPiece"})").find("tokenizer.json: decoder: 'WordPiece'"), 0U);

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
