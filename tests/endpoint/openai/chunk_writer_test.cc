// Chunks of a stream: their shape, and that chunks joined are the whole answer.
#include <random>
#include <vector>

#include <boost/json.hpp>
#include <gtest/gtest.h>

#include "endpoint/openai/openai_response.h"
#include "runtime/text/utf8.h"
#include "tests/endpoint/openai/toy_tokens.h"

namespace herd::openai {
namespace {

namespace json = boost::json;

AnswerHead head_of(Endpoint endpoint, std::int32_t logprobs = -1, bool token_ids = false) {
  return {endpoint, endpoint == Endpoint::kChat ? "chatcmpl-1" : "cmpl-1", 1750000000, "de\"mo", logprobs, token_ids};
}

json::value written(const ChunkWriter& writer, const ChunkReport& chunk) {
  std::string out;
  writer.token(chunk, out);
  return json::parse(out);
}

TEST(ChunkWriter, ChatChunksHaveDeltas) {
  const ChunkWriter writer(head_of(Endpoint::kChat), toy_token_bytes);
  std::string out = "data: ";  // it appends
  writer.role(2, nullptr, out);
  ASSERT_TRUE(out.starts_with("data: {"));
  EXPECT_EQ(json::parse(out.substr(6)), json::parse(R"({
    "id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1750000000, "model": "de\"mo",
    "choices": [{"index": 2, "delta": {"role": "assistant", "content": ""}, "logprobs": null,
                 "finish_reason": null}]})"));
  ChunkReport chunk;
  chunk.index = 2;
  chunk.text = "é\n";
  EXPECT_EQ(written(writer, chunk), json::parse(R"({
    "id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1750000000, "model": "de\"mo",
    "choices": [{"index": 2, "delta": {"content": "é\n"}, "logprobs": null, "finish_reason": null}]})"));
}

TEST(ChunkWriter, TheRoleCarriesUsageWhenEveryChunkDoes) {
  const ChunkWriter writer(head_of(Endpoint::kChat), toy_token_bytes);
  const Usage usage{7, 0, 0};
  std::string out;
  writer.role(0, &usage, out);
  const json::value chunk = json::parse(out);
  EXPECT_EQ(chunk.at("usage").at("prompt_tokens"), 7);
  EXPECT_EQ(chunk.at("usage").at("completion_tokens"), 0);
  EXPECT_EQ(chunk.at("choices").at(0).at("delta").at("role"), "assistant");
}

TEST(ChunkWriter, CompletionChunksHaveTexts) {
  ChunkReport chunk;
  chunk.text = "";  // a token that releases no text yet has its frame all the same
  EXPECT_EQ(written(ChunkWriter(head_of(Endpoint::kCompletion), toy_token_bytes), chunk), json::parse(R"({
    "id": "cmpl-1", "object": "text_completion", "created": 1750000000, "model": "de\"mo",
    "choices": [{"index": 0, "text": "", "logprobs": null, "finish_reason": null}]})"));
}

TEST(ChunkWriter, TheLastChunkSaysWhy) {
  const ChunkWriter writer(head_of(Endpoint::kCompletion), toy_token_bytes);
  const auto end = [&writer](std::string_view reason, std::optional<std::string_view> text,
                             std::optional<TokenId> token) {
    ChunkReport chunk;
    chunk.finish_reason = reason;
    chunk.stop_string = text;
    chunk.stop_token = token;
    const json::value choice = written(writer, chunk).at("choices").at(0);
    return std::pair(choice.at("finish_reason"), choice.at("stop_reason"));
  };
  EXPECT_EQ(end("length", {}, {}), std::pair(json::value("length"), json::value(nullptr)));
  EXPECT_EQ(end("stop", "\"\n", {}), std::pair(json::value("stop"), json::value("\"\n")));
  EXPECT_EQ(end("stop", {}, 128009), std::pair(json::value("stop"), json::value(128009)));
}

TEST(ChunkWriter, UsageComesWithoutChoices) {
  std::string out;
  ChunkWriter(head_of(Endpoint::kChat), toy_token_bytes).usage({5, 2, 4}, out);
  EXPECT_EQ(json::parse(out), json::parse(R"({
    "id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1750000000, "model": "de\"mo", "choices": [],
    "usage": {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7,
              "prompt_tokens_details": {"cached_tokens": 4}}})"));
}

TEST(ChunkWriter, WithIncludeUsageEveryChunkButTheLastHasANullUsage) {
  for (const Endpoint endpoint : {Endpoint::kChat, Endpoint::kCompletion}) {
    AnswerHead head = head_of(endpoint);
    head.include_usage = true;
    const ChunkWriter writer(head, toy_token_bytes);
    std::string role;
    writer.role(0, nullptr, role);
    EXPECT_TRUE(json::parse(role).at("usage").is_null());
    EXPECT_TRUE(written(writer, {}).at("usage").is_null());
    const Usage usage{5, 1, 0};
    ChunkReport chunk;
    chunk.usage = &usage;
    EXPECT_EQ(written(writer, chunk).at("usage").at("total_tokens"), 6) << "usage so far is not hidden";
    EXPECT_FALSE(written(ChunkWriter(head_of(endpoint), toy_token_bytes), {}).as_object().contains("usage"));
  }
}

TEST(ChunkWriter, UsageSoFarRidesOnAChunkWhenAskedFor) {
  const Usage usage{5, 1, 0};
  ChunkReport chunk;
  chunk.usage = &usage;
  const json::value value = written(ChunkWriter(head_of(Endpoint::kChat), toy_token_bytes), chunk);
  EXPECT_EQ(value.at("usage").at("total_tokens"), 6);
  EXPECT_EQ(value.at("choices").as_array().size(), 1U);
}

TEST(ChunkWriter, TokenIdsStandWhereVllmPutsThem) {
  const std::vector<TokenId> prompt = {1, 2};
  const std::vector<TokenId> ids = {7};
  ChunkReport chunk;
  chunk.token_ids = ids;
  chunk.prompt_token_ids = &prompt;
  const json::value chat = written(ChunkWriter(head_of(Endpoint::kChat, -1, true), toy_token_bytes), chunk);
  EXPECT_EQ(chat.at("prompt_token_ids"), json::parse("[1,2]"));
  EXPECT_EQ(chat.at("choices").at(0).at("token_ids"), json::parse("[7]"));
  const json::value completion = written(ChunkWriter(head_of(Endpoint::kCompletion, -1, true), toy_token_bytes), chunk);
  EXPECT_EQ(completion.at("choices").at(0).at("prompt_token_ids"), json::parse("[1,2]"));
  const json::value unasked = written(ChunkWriter(head_of(Endpoint::kCompletion), toy_token_bytes), chunk);
  EXPECT_FALSE(unasked.at("choices").at(0).as_object().contains("token_ids"));
}

TEST(ChunkWriter, AFrameIsOneLineWhateverTheText) {
  const ChunkWriter writer(head_of(Endpoint::kChat, 3), toy_token_bytes);
  for (TokenId token = 0; token < 9; ++token) {
    const TokenReport report{token, -1.0F, {{token, -1.0F}, {token + 1, -2.0F}}, 0};
    ChunkReport chunk;
    chunk.text = "\r\n\n\xE2\x80\xA8\x01";
    chunk.tokens = {&report, 1};
    std::string out;
    writer.token(chunk, out);
    EXPECT_EQ(out.find_first_of("\r\n"), std::string::npos);
    EXPECT_TRUE(text::is_valid_utf8(out));
    EXPECT_NO_THROW(std::ignore = json::parse(out));
  }
}

// One choice as tokens with the text each releases, told whole and in chunks.
struct Told {
  ChoiceReport whole;
  std::vector<std::string> texts;
};

Told random_choice(std::mt19937& random, std::uint32_t index) {
  static const std::vector<std::string> kTexts = {"",  "a", " word", "\"",           "\\",    "\n",
                                                  "é", "€", "😀",    "\xEF\xBF\xBD", "\t\x01"};
  Told told;
  told.whole.index = index;
  for (std::size_t tokens = 1 + random() % 12; tokens > 0; --tokens) {
    told.texts.push_back(kTexts[random() % kTexts.size()]);
    TokenReport report;
    report.token = static_cast<TokenId>(random() % 9);
    report.logprob = -static_cast<float>(random() % 1000) / 64.0F;
    for (TokenId top = 0; top < 3; ++top) report.top.push_back({top, -static_cast<float>(top) / 3.0F});
    report.text_offset = static_cast<std::uint32_t>(told.whole.text.size());
    told.whole.tokens.push_back(report);
    told.whole.token_ids.push_back(report.token);
    told.whole.text += told.texts.back();
  }
  told.whole.finish_reason = random() % 2 == 0 ? "stop" : "length";
  if (random() % 3 == 0) told.whole.stop_token = 3;
  return told;
}

// Appends what the arrays of `more` hold to those of `sum`, key by key.
void join_logprobs(json::object& sum, const json::object& more) {
  for (const auto& [key, values] : more) {
    if (values.is_null()) {  // chat's refusal
      sum[key] = nullptr;
      continue;
    }
    json::array& joined = sum[key].is_null() ? sum[key].emplace_array() : sum[key].as_array();
    for (const json::value& value : values.as_array()) joined.push_back(value);
  }
}

TEST(ChunkWriter, ChunksJoinedAreTheWholeAnswer) {
  std::mt19937 random(3);
  for (int round = 0; round < 300; ++round) {
    const Endpoint endpoint = round % 2 == 0 ? Endpoint::kChat : Endpoint::kCompletion;
    const AnswerHead head = head_of(endpoint, 3, true);
    const ChunkWriter writer(head, toy_token_bytes);
    const Told told = random_choice(random, random() % 4);
    const json::value answer = json::parse(whole_answer(head, {told.whole}, {1, 2, 0}, toy_token_bytes));
    const json::value& whole = answer.at("choices").at(0);
    std::string text;
    json::object logprobs;
    json::array ids;
    json::value last;
    for (std::size_t i = 0; i < told.texts.size(); ++i) {
      ChunkReport chunk;
      chunk.index = told.whole.index;
      chunk.text = told.texts[i];
      chunk.tokens = {&told.whole.tokens[i], 1};
      chunk.token_ids = {&told.whole.token_ids[i], 1};
      if (i + 1 == told.texts.size()) {
        chunk.finish_reason = told.whole.finish_reason;
        chunk.stop_token = told.whole.stop_token;
      }
      last = written(writer, chunk).at("choices").at(0);
      EXPECT_EQ(last.at("index"), told.whole.index);
      const json::value& piece = endpoint == Endpoint::kChat ? last.at("delta").at("content") : last.at("text");
      text += std::string(piece.as_string());
      join_logprobs(logprobs, last.at("logprobs").as_object());
      ids.push_back(last.at("token_ids").at(0));
    }
    EXPECT_EQ(endpoint == Endpoint::kChat ? whole.at("message").at("content") : whole.at("text"), json::value(text));
    EXPECT_EQ(whole.at("logprobs"), json::value(logprobs));
    EXPECT_EQ(whole.at("token_ids"), json::value(ids));
    EXPECT_EQ(whole.at("finish_reason"), last.at("finish_reason"));
    EXPECT_EQ(whole.at("stop_reason"), last.at("stop_reason"));
  }
}

}  // namespace
}  // namespace herd::openai
