// What counts as JSON at all: encoding, depth, size, keys, everything before a field has a meaning.
#include "endpoint/openai/json_document.h"

#include <vector>

#include "tests/endpoint/openai/openai_fixture.h"

namespace herd::openai {
namespace {

std::string content_body(const std::string& content) {
  return R"({"messages":[{"role":"user","content":")" + content + R"("}]})";
}

TEST(JsonDocument, TextThatIsNoJsonObjectIsRefused) {
  const std::vector<std::string> kBodies = {
      "", " ", "{", "}", "[]", "null", "5", "\"a\"", "true", "{]", "{\"prompt\"}", "{\"prompt\":}",
      "{\"prompt\":\"a\",}",
      "{\"prompt\":[1,]}", "{'prompt':'a'}", "{prompt:\"a\"}", "{\"prompt\":\"a\"} x", "{\"prompt\":\"a\"}{}",
      "{\"prompt\":\"a\" /* c */}", "// c\n{\"prompt\":\"a\"}", "\xEF\xBB\xBF{\"prompt\":\"a\"}", "{\"prompt\":\"a",
      "{\"prompt\":\"a\nb\"}", "{\"prompt\":\"a\tb\"}", "{\"prompt\":\"\\x41\"}", "{\"prompt\":\"\\u12\"}",
      std::string("{\"prompt\":\"a\"}\0", 15), std::string("{\"prompt\":\"a\0b\"}", 16), std::string("\0{}", 3)};
  for (const std::string& body : kBodies) {
    const auto result = parse_completion(body, small_limits());
    ASSERT_FALSE(result) << body;
    EXPECT_EQ(result.error().status, 400) << body;
    EXPECT_FALSE(result.error().message.empty()) << body;
  }
  EXPECT_TRUE(parse_completion(" \r\n\t{ \"prompt\" : \"a\" } \n", small_limits()));
}

TEST(JsonDocument, InvalidUtf8IsRefused) {
  const std::vector<std::string> kBytes = {
      "\x80", "\xBF", "\xC0\x80", "\xC1\xBF", "\xC3", "\xC3(", "\xE2\x82", "\xE0\x80\x80", "\xE0\x9F\xBF",
      "\xED\xA0\x80", "\xED\xBF\xBF", "\xF0\x80\x80\x80", "\xF0\x9F\x98", "\xF4\x90\x80\x80", "\xF5\x80\x80\x80",
      "\xF8\x88\x80\x80\x80", "\xFE", "\xFF", "a\xC3\xA9\xFF"};
  for (const std::string& bytes : kBytes) {
    EXPECT_FALSE(parse_chat(content_body(bytes), small_limits())) << testing::PrintToString(bytes);
    EXPECT_FALSE(parse_chat(chat_body(in_quotes(bytes) + ":1"), small_limits())) << testing::PrintToString(bytes);
    EXPECT_FALSE(parse_chat(chat_body(R"("user":")" + bytes + "\""), small_limits())) << testing::PrintToString(bytes);
  }
  for (const std::string text : {"\xC2\x80", "\xDF\xBF", "\xE0\xA0\x80", "\xED\x9F\xBF", "\xEE\x80\x80", "\xEF\xBF\xBF",
                                 "\xF0\x90\x80\x80", "\xF4\x8F\xBF\xBF"}) {
    EXPECT_EQ(parse_chat(content_body(text), small_limits())->conversation.messages.front().content, text);
  }
}

TEST(JsonDocument, LoneSurrogatesAreRefusedAndPairsJoined) {
  for (const char* escape : {R"(\ud800)", R"(\udc00)", R"(\udfff)", R"(\ud83dx)", R"(\ud83d\n)", R"(\ud83d\u0041)",
                             R"(\ud83d\ud83d)", R"(\ude00\ud83d)", R"(a\uDBFF)"}) {
    EXPECT_FALSE(parse_chat(content_body(escape), small_limits())) << escape;
    EXPECT_FALSE(parse_chat(chat_body(in_quotes(escape) + ":1"), small_limits())) << escape;
  }
  EXPECT_EQ(parse_chat(content_body(R"(\ud83d\ude00\u00e9\u0000)"), small_limits())->conversation.messages.front().content,
            std::string("\xF0\x9F\x98\x80\xC3\xA9\0", 7));
}

TEST(JsonDocument, NestingIsBounded) {
  const auto nested = [](std::size_t depth, const std::string& open, const std::string& close) {
    std::string text;
    for (std::size_t i = 0; i < depth; ++i) text += open;
    text += "1";
    for (std::size_t i = 0; i < depth; ++i) text += close;
    return text;
  };
  // The body is a level of its own.
  EXPECT_TRUE(JsonDocument::parse(R"({"a":)" + nested(31, "[", "]") + "}"));
  const auto deep = JsonDocument::parse(R"({"a":)" + nested(32, "[", "]") + "}");
  ASSERT_FALSE(deep);
  EXPECT_EQ(deep.error().message, "the body is nested deeper than 32 levels");
  EXPECT_EQ(deep.error().param, "a");
  EXPECT_FALSE(JsonDocument::parse(nested(33, R"({"a":)", "}")));
  EXPECT_FALSE(parse_completion(R"({"prompt":)" + nested(100'000, "[", "]") + "}", small_limits()));
  EXPECT_FALSE(parse_completion(R"({"prompt":)" + std::string(1'000'000, '['), small_limits()));
}

TEST(JsonDocument, TheNumberOfValuesIsBounded) {
  const auto with_values = [](std::size_t values) {  // besides the object and the array
    std::string list(2 * values, ',');
    for (std::size_t i = 0; i < values; ++i) list[2 * i] = '1';
    list.pop_back();
    return R"({"a":[)" + list + "]}";
  };
  EXPECT_TRUE(JsonDocument::parse(with_values(kJsonValuesMax - 2)));
  const auto more = JsonDocument::parse(with_values(kJsonValuesMax - 1));
  ASSERT_FALSE(more);
  EXPECT_EQ(more.error().message, "the body holds more than 200000 JSON values");
}

TEST(JsonDocument, TheMembersOfOneObjectAreBounded) {
  const auto with_members = [](std::size_t members) {
    std::string object;
    for (std::size_t i = 0; i < members; ++i) object.append(i == 0 ? "" : ",").append("\"k" + std::to_string(i) + "\":0");
    return R"({"a":{)" + object + "}}";
  };
  EXPECT_TRUE(JsonDocument::parse(with_members(kJsonMembersMax)));
  const auto more = JsonDocument::parse(with_members(kJsonMembersMax + 1));
  ASSERT_FALSE(more);
  EXPECT_EQ(more.error().message, "an object of the body holds more than 4096 members");
  EXPECT_EQ(more.error().param, "a");
  const std::string body = with_members(kJsonMembersMax + 1);
  const auto body_itself = JsonDocument::parse(std::string_view(body).substr(5, body.size() - 6));
  ASSERT_FALSE(body_itself);
  EXPECT_EQ(body_itself.error().param, "");
}

TEST(JsonDocument, AKeyTwiceIsRefusedByName) {
  const std::vector<std::pair<std::string, std::string>> kRows = {
      {R"({"prompt":"a","prompt":"a"})", "prompt"},
      {R"({"prompt":"a","n":1,"\u006e":2})", "n"},
      {R"({"prompt":"a","logit_bias":{"1":1,"2":1,"1":1}})", "1"},
      {R"({"prompt":"a","metadata":{"k":"1","k":"2"}})", "k"},
      {R"({"prompt":"a","user":null,"user":null})", "user"},
      {R"({"prompt":[{"x":1,"x":2}]})", "x"},
  };
  for (const auto& [body, key] : kRows) expect_refused(parse_completion(body, small_limits()), key, body);
  EXPECT_TRUE(JsonDocument::parse(R"({"a":{"k":1},"b":{"k":1},"k":[{"k":1},{"k":2}]})"));
}

TEST(JsonDocument, AKeyOfTheClientIsShownShort) {
  RequestLimits strict = small_limits();
  strict.strict_fields = true;
  std::string key;
  for (int i = 0; i < 1000; ++i) key += "\xC3\xA9";
  const auto result = parse_completion(R"({"prompt":"a",")" + key + "\":1}", strict);
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().param, key.substr(0, 64) + "…");
  EXPECT_LT(to_json(result.error()).size(), 400U);
  const auto odd = parse_completion(R"({"prompt":"a","x)" + key + "\":1}", strict);
  EXPECT_EQ(odd.error().param, std::string("x").append(key, 0, 62).append("…"));  // not half of a code point
}

TEST(JsonDocument, BrokenTextNamesTheFieldItIsIn) {
  EXPECT_EQ(parse_completion(R"({"prompt":"a","seed":0123})", small_limits()).error().param, "seed");
  EXPECT_EQ(parse_completion(R"({"prompt":"a","logit_bias":{"5":nope}})", small_limits()).error().param, "logit_bias");
  EXPECT_EQ(parse_completion("{", small_limits()).error().param, "");
}

TEST(JsonDocument, LongKeysAndStringsAreWhole) {
  // Longer than the parser's own buffers, with an escape in the middle, so that they come in parts.
  const std::string half(10'000, 'k');
  const auto twice = JsonDocument::parse(R"({"a":0,)" + in_quotes(half + "\\n" + half) + ":1," +
                                         in_quotes(half + "\\u000a" + half) + ":2}");
  ASSERT_FALSE(twice);
  EXPECT_EQ(twice.error().param, half.substr(0, 64) + "…");
  RequestLimits limits = small_limits();
  limits.prompt_bytes_max = 1U << 20U;
  EXPECT_EQ(parse_chat(content_body(half + "\\n" + half), limits)->conversation.messages.front().content, half + "\n" + half);
}

}  // namespace
}  // namespace herd::openai
