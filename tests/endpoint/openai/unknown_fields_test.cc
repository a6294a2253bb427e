// Fields that no API knows: they pass and are named, or are refused where fields are strict.
#include <algorithm>
#include <string>
#include <vector>

#include "endpoint/openai/json_fields.h"
#include "tests/endpoint/openai/openai_fixture.h"

namespace herd::openai {
namespace {

using Names = std::vector<std::string>;

RequestLimits strict_limits() {
  RequestLimits limits = small_limits();
  limits.strict_fields = true;
  return limits;
}

Names ignored(const std::string& body) { return accepted(parse_chat(body, small_limits()), body).ignored_fields; }

std::string message(const std::string& more) {
  return R"({"messages":[{"role":"user","content":"a"},{"role":"user",)" + more + "}]}";
}

TEST(UnknownFields, PassAndAreNamed) {
  EXPECT_EQ(ignored(chat_body()), Names{});
  EXPECT_EQ(ignored(chat_body(R"("frequncy_penalty":1)")), Names{"frequncy_penalty"});
  EXPECT_EQ(ignored(chat_body(R"("b":{"c":1},"a":[])")), (Names{"b", "a"})) << "as written";
  EXPECT_EQ(accepted(parse_completion(completion_body(R"("messages":[],"tools":[{}])"), small_limits()), "").ignored_fields,
            (Names{"messages", "tools"})) << "another endpoint's";
  EXPECT_EQ(accepted(parse_tokenize(R"({"prompt":"a","n":1})", small_limits()), "").ignored_fields, Names{"n"});
  EXPECT_EQ(accepted(parse_detokenize(R"({"tokens":[1],"prompt":"a"})", small_limits()), "").ignored_fields,
            Names{"prompt"});
}

TEST(UnknownFields, InsideOfOthersAreNamedWithoutTheirPlace) {
  EXPECT_EQ(ignored(message(R"("content":"b","nme":1)")), Names{"messages[].nme"});
  EXPECT_EQ(ignored(message(R"("content":[{"type":"text","text":"b","cache_control":{}},{"type":"text","text":"c","x":1}])")),
            (Names{"messages[].content[].cache_control", "messages[].content[].x"}));
  EXPECT_EQ(ignored(chat_body(R"("stream":true,"stream_options":{"include_usage":true,"x":1})")),
            Names{"stream_options.x"});
  EXPECT_EQ(ignored(chat_body(R"("response_format":{"type":"text","x":1})")), Names{"response_format.x"});
  const std::string twice = R"({"messages":[{"role":"user","content":"a","x":1},{"role":"user","content":"b","x":2}]})";
  EXPECT_EQ(ignored(twice), Names{"messages[].x"}) << "each once";
}

TEST(UnknownFields, OfNullAreAbsent) {
  const std::string body = chat_body(R"("x":null,"stream_options":null,"":null)");
  EXPECT_EQ(ignored(body), Names{});
  EXPECT_TRUE(parse_chat(body, strict_limits()));
  EXPECT_EQ(ignored(message(R"("content":"b","x":null)")), Names{});
}

TEST(UnknownFields, OfStrictServersAreRefusedByName) {
  const std::vector<std::pair<std::string, const char*>> kRows = {
      {chat_body(R"("x":1)"), "x"},
      {chat_body(R"("":1)"), "\"\""},
      {message(R"("content":"b","nme":1)"), "messages[1].nme"},
      {message(R"("content":[{"type":"text","text":"b","x":1}])"), "messages[1].content[0].x"},
      {chat_body(R"("stream":true,"stream_options":{"x":1})"), "stream_options.x"},
      {chat_body(R"("response_format":{"type":"text","x":1})"), "response_format.x"},
      {chat_body(R"("prompt":"a")"), "prompt"},
  };
  for (const auto& [body, param] : kRows) expect_refused(parse_chat(body, strict_limits()), param, body);
  expect_refused(parse_completion(completion_body(R"("top_logprobs":1)"), strict_limits()), "top_logprobs", "");
  expect_refused(parse_tokenize(R"({"prompt":"a","n":1})", strict_limits()), "n", "");
  expect_refused(parse_detokenize(R"({"tokens":[1],"prompt":"a"})", strict_limits()), "prompt", "");
  EXPECT_TRUE(parse_chat(chat_body(R"("user":"a","session_id":"b","verbosity":"medium")"), strict_limits()));
}

TEST(UnknownFields, HaveNamesThatFitAHeader) {
  EXPECT_EQ(ignored(chat_body(R"("a\r\nSet-Cookie: b":1)")), Names{"a__Set-Cookie__b"});
  EXPECT_EQ(ignored(chat_body(R"("é😀\u0000,":1)")), Names{"____"}) << "one for each code point";
  EXPECT_EQ(ignored(chat_body(R"("":1)")), Names{"__"});
  EXPECT_EQ(ignored(chat_body(R"("a[0]":1)")), Names{"a_0_"});
  EXPECT_EQ(ignored(chat_body("\"" + std::string(300, 'x') + "\":1")), Names{std::string(kFieldNameMax, 'x')});
  std::string accents;
  for (int i = 0; i < 100; ++i) accents += "\xC3\xA9";
  EXPECT_EQ(ignored(chat_body("\"" + accents + "\":1")), Names{std::string(kFieldNameMax, '_')});
  EXPECT_EQ(ignored(message(R"("content":"b",")" + std::string(60, 'x') + "\":1")),
            Names{"messages[]." + std::string(kFieldNameMax - 11, 'x')});
}

TEST(UnknownFields, AreNamedUpToALimit) {
  std::string more = R"("f0":1)";
  for (int i = 1; i < 40; ++i) more += ",\"f" + std::to_string(i) + "\":1";
  const Names names = ignored(chat_body(more));
  ASSERT_EQ(names.size(), kIgnoredFieldsMax);
  EXPECT_EQ(names.front(), "f0");
  EXPECT_EQ(names.back(), "f15");
}

}  // namespace
}  // namespace herd::openai
