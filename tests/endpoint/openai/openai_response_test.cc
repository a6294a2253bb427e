// Whole answers and the small bodies: the shapes of OpenAI and vLLM, read back with a JSON parser.
#include "endpoint/openai/openai_response.h"

#include <limits>

#include <boost/json.hpp>
#include <gtest/gtest.h>

#include "tests/endpoint/openai/toy_tokens.h"

namespace herd::openai {
namespace {

namespace json = boost::json;

AnswerHead demo_head(Endpoint endpoint, std::int32_t logprobs = -1, bool token_ids = false) {
  return {endpoint, endpoint == Endpoint::kChat ? "chatcmpl-1" : "cmpl-1", 1750000000, "demo", logprobs, token_ids};
}

ChoiceReport choice_of(std::uint32_t index, std::string text) {
  ChoiceReport choice;
  choice.index = index;
  choice.text = std::move(text);
  choice.finish_reason = "length";
  return choice;
}

TEST(WholeAnswer, ChatHasMessages) {
  ChoiceReport stopped = choice_of(1, "a\"b\n");
  stopped.finish_reason = "stop";
  stopped.stop_string = "\nUser:";
  const json::value answer =
      json::parse(whole_answer(demo_head(Endpoint::kChat), {choice_of(0, "Hé"), stopped}, {10, 3, 8}, toy_token_bytes));
  EXPECT_EQ(answer, json::parse(R"({
    "id": "chatcmpl-1", "object": "chat.completion", "created": 1750000000, "model": "demo",
    "choices": [
      {"index": 0, "message": {"role": "assistant", "content": "Hé", "refusal": null}, "logprobs": null,
       "finish_reason": "length", "stop_reason": null},
      {"index": 1, "message": {"role": "assistant", "content": "a\"b\n", "refusal": null}, "logprobs": null,
       "finish_reason": "stop", "stop_reason": "\nUser:"}],
    "usage": {"prompt_tokens": 10, "completion_tokens": 3, "total_tokens": 13,
              "prompt_tokens_details": {"cached_tokens": 8}}})"));
}

TEST(WholeAnswer, CompletionHasTexts) {
  ChoiceReport stopped = choice_of(0, "");
  stopped.finish_reason = "stop";
  stopped.stop_token = 7;
  const json::value answer =
      json::parse(whole_answer(demo_head(Endpoint::kCompletion), {stopped}, {1, 0, 0}, toy_token_bytes));
  EXPECT_EQ(answer, json::parse(R"({
    "id": "cmpl-1", "object": "text_completion", "created": 1750000000, "model": "demo",
    "choices": [{"index": 0, "text": "", "logprobs": null, "finish_reason": "stop", "stop_reason": 7}],
    "usage": {"prompt_tokens": 1, "completion_tokens": 0, "total_tokens": 1,
              "prompt_tokens_details": {"cached_tokens": 0}}})"));
}

TEST(WholeAnswer, TokenIdsStandWhereVllmPutsThem) {
  ChoiceReport choice = choice_of(0, "x");
  choice.token_ids = {5, 6};
  choice.prompt_token_ids = {1, 2, 3};
  const json::value chat =
      json::parse(whole_answer(demo_head(Endpoint::kChat, -1, true), {choice}, {3, 2, 0}, toy_token_bytes));
  EXPECT_EQ(chat.at("prompt_token_ids"), json::parse("[1,2,3]"));
  EXPECT_EQ(chat.at("choices").at(0).at("token_ids"), json::parse("[5,6]"));
  const json::value completion =
      json::parse(whole_answer(demo_head(Endpoint::kCompletion, -1, true), {choice}, {3, 2, 0}, toy_token_bytes));
  EXPECT_FALSE(completion.as_object().contains("prompt_token_ids"));
  EXPECT_EQ(completion.at("choices").at(0).at("prompt_token_ids"), json::parse("[1,2,3]"));
  EXPECT_EQ(completion.at("choices").at(0).at("token_ids"), json::parse("[5,6]"));
}

TEST(WholeAnswer, ChatLogprobsCarryExactBytes) {
  ChoiceReport choice = choice_of(0, "x");
  choice.tokens = {{1, -0.5F, {{1, -0.5F}, {2, -1.5F}}, 0},
                   {3, -std::numeric_limits<float>::infinity(), {}, 0}};
  const json::value answer =
      json::parse(whole_answer(demo_head(Endpoint::kChat, 2), {choice}, {1, 2, 0}, toy_token_bytes));
  // Token 1 is "é", 2 its first byte, 3 a quote.
  EXPECT_EQ(answer.at("choices").at(0).at("logprobs"), json::parse(R"({"content": [
    {"token": "é", "logprob": -0.5, "bytes": [195, 169],
     "top_logprobs": [{"token": "é", "logprob": -0.5, "bytes": [195, 169]},
                      {"token": "\ufffd", "logprob": -1.5, "bytes": [195]}]},
    {"token": "\"", "logprob": -9999.0, "bytes": [34], "top_logprobs": []}], "refusal": null})"));
}

TEST(WholeAnswer, CompletionLogprobsAreFourLists) {
  ChoiceReport choice = choice_of(0, "x");
  choice.tokens = {{1, std::nullopt, {}, 0},                         // first prompt token of an echo
                   {3, -0.25F, {{3, -0.25F}, {1, -2.0F}}, 1},
                   {4, -7.0F, {{2, -1.0F}, {5, -1.5F}}, 2}};         // 2 and 5: different bytes, both "\ufffd"
  const json::value answer =
      json::parse(whole_answer(demo_head(Endpoint::kCompletion, 2), {choice}, {1, 2, 0}, toy_token_bytes));
  EXPECT_EQ(answer.at("choices").at(0).at("logprobs"), json::parse(R"({
    "tokens": ["é", "\"", " w"], "token_logprobs": [null, -0.25, -7.0],
    "top_logprobs": [null, {"\"": -0.25, "é": -2.0}, {"\ufffd": -1.0, " w": -7.0}],
    "text_offset": [0, 1, 2]})"));
}

TEST(WholeAnswer, NoLogprobsOfNoTokens) {
  const auto logprobs = [](Endpoint endpoint) {
    return json::parse(whole_answer(demo_head(endpoint, 0), {choice_of(0, "")}, {1, 0, 0}, toy_token_bytes))
        .at("choices").at(0).at("logprobs");
  };
  EXPECT_EQ(logprobs(Endpoint::kChat), json::parse(R"({"content": [], "refusal": null})"));
  EXPECT_EQ(logprobs(Endpoint::kCompletion),
            json::parse(R"({"tokens": [], "token_logprobs": [], "top_logprobs": [], "text_offset": []})"));
}

TEST(WholeAnswer, UsageAddsWithoutOverflow) {
  const std::uint32_t most = std::numeric_limits<std::uint32_t>::max();
  const json::value answer =
      json::parse(whole_answer(demo_head(Endpoint::kChat), {}, {most, most, most}, toy_token_bytes));
  EXPECT_EQ(answer.at("usage").at("total_tokens").to_number<std::uint64_t>(), 2ULL * most);
}

TEST(SmallBodies, HaveVllmsShapes) {
  const std::string models = models_body({"demo", "a\"b"}, "/models/demo", 5, 2048);
  EXPECT_EQ(json::parse(models), json::parse(R"({"object": "list", "data": [
    {"id": "demo", "object": "model", "created": 5, "owned_by": "herd", "root": "/models/demo", "parent": null,
     "max_model_len": 2048, "permission": []},
    {"id": "a\"b", "object": "model", "created": 5, "owned_by": "herd", "root": "/models/demo", "parent": null,
     "max_model_len": 2048, "permission": []}]})"));
  EXPECT_EQ(json::parse(tokenize_body({1, 2}, 99, nullptr)),
            json::parse(R"({"count": 2, "max_model_len": 99, "tokens": [1, 2], "token_strs": null})"));
  const TokenBytes bytes = toy_token_bytes;
  EXPECT_EQ(json::parse(tokenize_body({1, 2}, 99, &bytes)),
            json::parse(R"({"count": 2, "max_model_len": 99, "tokens": [1, 2], "token_strs": ["é", "\ufffd"]})"));
  EXPECT_EQ(json::parse(tokenize_body({}, 99, &bytes)),
            json::parse(R"({"count": 0, "max_model_len": 99, "tokens": [], "token_strs": []})"));
  EXPECT_EQ(json::parse(detokenize_body("a\nb")), json::parse(R"({"prompt": "a\nb"})"));
  EXPECT_EQ(json::parse(version_body("0.1.0")), json::parse(R"({"version": "0.1.0"})"));
  EXPECT_EQ(json::parse(load_body(3, 4, 0.5)),
            json::parse(R"({"server_load": 7, "running": 3, "waiting": 4, "kv_cache_usage": 0.5})"));
}

}  // namespace
}  // namespace herd::openai
