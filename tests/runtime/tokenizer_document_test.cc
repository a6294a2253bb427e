// A tokenizer.json as JsonDocument reads it is what Boost.JSON's own tree says, with the lists of the model beside it.
#include "runtime/tokenizer/json_document.h"

#include "runtime/tokenizer/json_fields.h"
#include "runtime/tokenizer/tokenizer_definition.h"
#include "runtime/tokenizer/tokenizer_json.h"
#include "runtime/tokenizer/two_halves.h"

#include <boost/json.hpp>
#include <gtest/gtest.h>

#include <random>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace herd::tokenizer {
namespace {

namespace json = boost::json;

std::string_view view(const json::string& text) { return {text.data(), text.size()}; }

// The two lists as the tree of the whole text has them.
using Tokens = std::vector<std::pair<std::string, TokenId>>;
Tokens tokens_of(const json::object& vocabulary) {
  Tokens tokens;
  for (const auto& [key, value] : vocabulary) tokens.emplace_back(key, json_token_id(value).value_or(SpelledToken::kNoId));
  return tokens;
}

using Pairs = std::vector<std::pair<std::string, std::string>>;  // both empty: neither of the two shapes
Pairs pairs_of(const json::array& merges) {
  Pairs pairs;
  for (const json::value& merge : merges) {
    auto& [left, right] = pairs.emplace_back();
    if (const json::string* text = merge.if_string()) {
      const std::string_view both = view(*text);
      if (std::count(both.begin(), both.end(), ' ') != 1) continue;
      left = both.substr(0, both.find(' '));
      right = both.substr(both.find(' ') + 1);
    } else if (const json::array* pair = merge.if_array()) {
      if (pair->size() != 2 || !(*pair)[0].is_string() || !(*pair)[1].is_string()) continue;
      left = view((*pair)[0].get_string());
      right = view((*pair)[1].get_string());
    }
  }
  return pairs;
}

// Compares with the tree of Boost.JSON. Whether the text is a document at all.
bool reads_as_the_tree_does(const std::string& text) {
  json::parse_options options;
  options.max_depth = 32;
  json::error_code error;
  json::value tree = json::parse(text, error, {}, options);
  auto document = JsonDocument::parse(text);
  if (error || !tree.is_object()) {
    EXPECT_FALSE(document) << text;
    if (document) return false;
    EXPECT_EQ(document.error().message(), error ? "not JSON: " + error.message() : "not a JSON object") << text;
    return false;
  }
  EXPECT_TRUE(document) << text << "\n" << document.error().message();
  if (!document) return false;
  if (json::value* model = tree.get_object().if_contains("model"); model != nullptr && model->is_object()) {
    if (json::value* list = model->get_object().if_contains("vocab"); list != nullptr && list->is_object()) {
      Tokens read;
      for (const auto& [spelling, id] : document->vocabulary()) read.emplace_back(spelling, id);
      EXPECT_EQ(read, tokens_of(list->get_object())) << text;
      const TokenMap map = document->take_spellings();
      for (const auto& [spelling, id] : read) EXPECT_EQ(map.find(spelling), id) << text;
      list->get_object().clear();
    }
    if (json::value* list = model->get_object().if_contains("merges"); list != nullptr && list->is_array()) {
      Pairs read;
      for (const auto& [left, right] : document->merges()) read.emplace_back(left, right);
      EXPECT_EQ(read, pairs_of(list->get_array())) << text;
      list->get_array().clear();
    }
  }
  EXPECT_EQ(json::value(document->root()), tree) << text;
  return true;
}

constexpr const char* kSmall =
    R"({"version":"1.0","added_tokens":[{"id":9,"content":"<|e|>"}],"vocab":{"no":1},"model":{"type":"BPE","vocab":{"a":0,"b":1,)"
    R"("\u0120\"\\é":2,"ab":3.0},"other":{"vocab":{"x":1},"merges":["y"]},"merges":["a b",["a","b"],["\u0061","\n"]]},"merges":["z"]})";

TEST(JsonDocument, ListsOfTheModelStandBesideTheTree) {
  auto document = JsonDocument::parse(kSmall);
  ASSERT_TRUE(document) << document.error().message();
  ASSERT_EQ(document->vocabulary().size(), 4U);
  EXPECT_EQ(document->vocabulary()[2].spelling, "Ġ\"\\é");
  EXPECT_EQ(document->vocabulary()[3].id, 3);
  ASSERT_EQ(document->merges().size(), 3U);
  EXPECT_EQ(document->merges()[0].right, "b");
  EXPECT_EQ(document->merges()[2].left, "a");
  EXPECT_EQ(document->merges()[2].right, "\n");
  EXPECT_EQ(document->last_misshapen_merge(), std::nullopt);
  EXPECT_TRUE(reads_as_the_tree_does(kSmall));
}

TEST(JsonDocument, KeysOfEveryLevelMayStandTwice) {
  for (const char* text : {
           R"({"model":{"vocab":{"a":1}},"model":{"vocab":{"b":2}}})",
           R"({"model":{"vocab":{"a":1},"merges":["a b"]},"model":{}})",
           R"({"model":{"vocab":{"a":1}},"model":[{"vocab":{"b":2}}]})",
           R"({"model":{"vocab":{"a":1}},"model":["vocab",{"b":2},["c d"]]})",
           R"({"model":{"vocab":1,"vocab":{"a":1},"vocab":{"b":2}}})",
           R"({"model":{"vocab":{"a":1},"vocab":7}})",
           R"({"model":{"vocab":7},"model":[{"b":2}]})",
           R"({"model":{"merges":7},"model":[["b c"]]})",
           R"({"model":{"merges":["a b","c"],"merges":["d e"]}})",
           R"({"model":{"merges":["a b"],"merges":{"c":["d e"]}}})",
           R"({"model":{"merges":{"vocab":{"a":1}},"vocab":["a b"]}})",
           R"({"model":{"vocab":{"a":1,"b":2,"a":3,"c":4,"b":"x"}}})",
           R"({"model":{"vocab":{"a":"x","a":3}}})",
           R"({"x":{"vocab":{"a":1}},"model":{"model":{"vocab":{"b":2}}}})",
           R"({"mod\u0065l":{"v\u006fcab":{"\u0061":1,"a":2}}})",
           R"([{"model":{"vocab":{"a":1}}}])",
           R"({"model":{"vocab":{},"merges":[]}})",
       }) {
    reads_as_the_tree_does(text);
  }
}

TEST(JsonDocument, WhateverIsNoIdAndNoMergeIsKnownAsSuch) {
  for (const char* value : {"1.0", "1e3", "1.5", "-1", "-0", "1048575", "1048576", "9223372036854775807", "18446744073709551615",
                            "1e300", "1e-300", "true", "null", "\"1\"", "[]", "[1,[\"a\"]]", "{}", R"({"a":{"b":2},"c\n":3})"}) {
    EXPECT_TRUE(reads_as_the_tree_does(std::string(R"({"model":{"vocab":{"x":0,"y":)") + value + R"(,"z":2},"merges":["a b",)" + value +
                                       R"(,["a",)" + value + R"(],[)" + value + R"(,"b"],["c","d"]]}})"));
  }
  EXPECT_TRUE(reads_as_the_tree_does(R"({"model":{"merges":["a","a b c"," ","a ",["a"],["a","b","c"],[["a","b"]],[{},"a","b"],["a b","c"]]}})"));
}

// Cut at every byte, and with every byte replaced, removed or doubled.
TEST(JsonDocument, HarmAtEveryPlaceIsToldAsTheTreeTellsIt) {
  const std::string whole = kSmall;
  for (std::size_t i = 0; i < whole.size(); ++i) {
    EXPECT_FALSE(reads_as_the_tree_does(whole.substr(0, i)));
    for (const char* instead : {"", "\"", "\\", "{", "}", "[", "]", ",", ":", "0", "\x01", "\x80", "\xC3", "é", "\\u00", "1e5", " "}) {
      reads_as_the_tree_does(whole.substr(0, i) + instead + whole.substr(i + 1));
      reads_as_the_tree_does(whole.substr(0, i) + instead + whole.substr(i));
    }
  }
}

// Documents of few keys, deep enough to meet the list's names everywhere.
TEST(JsonDocument, EqualsTheTreeOnRandomDocuments) {
  std::mt19937 random(7);
  const auto pick = [&](std::initializer_list<const char*> of) { return std::string(of.begin()[random() % of.size()]); };
  const auto value = [&](const auto& self, int depth) -> std::string {
    const std::size_t kind = depth >= 5 ? random() % 4 : random() % 10;
    if (kind < 2) return pick({"0", "7", "2.0", "1e9", "true", "null"});
    if (kind < 4) return pick({R"("a b")", R"("")", R"("a")", R"("\u0061 \n")", R"("x y z")"});
    const bool object = kind < 8;
    std::string text(1, object ? '{' : '[');
    for (std::size_t i = random() % 4; i > 0; --i) {
      if (text.size() > 1) text += ',';
      if (object) text += pick({R"("model")", R"("vocab")", R"("merges")", R"("a")", R"("m\u006fdel")"}) + ":";
      text += self(self, depth + 1);
    }
    return text + (object ? '}' : ']');
  };
  std::size_t with_lists = 0;
  for (int i = 0; i < 20'000; ++i) {
    std::string text = R"({"model":)" + value(value, 1) + R"(,"model":{"vocab":)" + value(value, 2) + R"(,"merges":)" + value(value, 2) + "}";
    if (i % 3 == 0) text += R"(,"model":)" + value(value, 1);
    ASSERT_TRUE(reads_as_the_tree_does(text + "}"));
    const auto document = JsonDocument::parse(text + "}");
    if (!document->vocabulary().empty() && !document->merges().empty()) ++with_lists;
    if (testing::Test::HasFailure()) return;
  }
  EXPECT_GT(with_lists, 500U);
}

// Larger than what one thread reads alone.
TEST(JsonDocument, LargeListsAreReadOnSeveralThreads) {
  for (const bool twice : {false, true}) {
    std::string vocab;
    std::string merges;
    constexpr int kTokens = 3 * static_cast<int>(kWorthAThread);
    for (int i = 0; i < kTokens; ++i) vocab += (i > 0 ? ",\"" : "\"") + std::to_string(i) + "x\":" + std::to_string(i);
    if (twice) vocab += R"(,"5x":5,"7x":7)";
    for (int i = 0; i < kTokens; ++i) merges += (i > 0 ? ",\"" : "\"") + std::to_string(i) + " x\"";
    const std::string text = R"({"model":{"vocab":{)" + vocab + R"(},"merges":[)" + merges + "]}}";
    EXPECT_TRUE(reads_as_the_tree_does(text));
    EXPECT_FALSE(reads_as_the_tree_does(text.substr(0, text.size() - 1)));
    EXPECT_FALSE(reads_as_the_tree_does(text.substr(0, text.size() / 3)));
    EXPECT_TRUE(reads_as_the_tree_does(R"({"model":{"vocab":{)" + vocab + R"(},"vocab":{)" + vocab + R"(},"merges":[)" + merges + "]}}"));
  }
}

std::string json_refusal(const std::string& text) {
  const auto tokenizer = parse_tokenizer_json(text, "f");
  return tokenizer ? "accepted" : tokenizer.error().message();
}

TEST(JsonDocument, HugeCountsAreRefused) {
  std::string vocab = R"("a":0)";
  for (std::size_t i = 0; i < kVocabularySizeMax; ++i) vocab += R"(,"":0)";
  EXPECT_EQ(json_refusal(R"({"model":{"type":"BPE","vocab":{)" + vocab + R"(},"merges":[]}})"), "f: model.vocab: more than 1048576 tokens");
  std::string merges = "0";
  for (std::size_t i = 0; i < 3 * kMergesMax; ++i) merges += ",0";
  EXPECT_EQ(json_refusal(R"({"model":{"type":"BPE","vocab":{"a":0},"merges":[)" + merges + "]}}"), "f: model.merges: more than 2097152");
}

TEST(JsonDocument, OfSeveralFaultsOfMergesTheLastIsTold) {
  const auto with = [](const std::string& merges) {
    return json_refusal(R"({"model":{"type":"BPE","vocab":{"a":0,"b":1,"ab":2},"merges":[)" + merges + "]}}");
  };
  EXPECT_EQ(with(R"("a b")"), "accepted");
  EXPECT_EQ(with(R"("a b",7,"a b")"), "f: model.merges[1]: not two tokens, in one text with a space between them or in two");
  EXPECT_EQ(with(R"("a c","ab","a b")"), "f: model.merges[1]: not two tokens, in one text with a space between them or in two");
  EXPECT_EQ(with(R"("ab","a c","a b")"), "f: model.merges[1]: 'a' and 'c' or what they make is not in model.vocab");
  EXPECT_EQ(with(R"("b a")"), "f: model.merges[0]: 'b' and 'a' or what they make is not in model.vocab");
  EXPECT_EQ(with(R"(["a","b","c"])"), "f: model.merges[0]: not two tokens, in one text with a space between them or in two");
  EXPECT_EQ(json_refusal(R"({"model":{"vocab":{"a":0},"merges":{}}})"), "f: model.merges: missing");
  EXPECT_EQ(json_refusal(R"({"model":{"vocab":{"a":"x"},"merges":{}}})"), "f: model.vocab['a']: not a token id") << "the vocabulary comes first";
  EXPECT_EQ(json_refusal(R"({"model":{"vocab":["a"],"merges":[]}})"), "f: model.vocab: missing");
  EXPECT_EQ(json_refusal(R"({"model":{"vocab":{"a":"x","b":1,"a":0},"merges":[]}})"), "accepted") << "of equal keys the last one counts";
}

}  // namespace
}  // namespace herd::tokenizer
