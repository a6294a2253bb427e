// StreamRecorder: bytes and times in, a record out; and the JSON of single events.

#include "commands/load/stream_recorder.h"

#include <gtest/gtest.h>

#include "commands/load/request_body_json.h"
#include "commands/load/stream_chunk_json.h"
#include "tests/commands/load/fake_endpoint.h"

namespace herd::load {
namespace {

// start 10.0; tokens at 10.5, 10.75, 11.5; usage at 12; [DONE] at 13.
//   expect  ttft 0.5, gaps 0.25 0.75, latency 1.5 (to the last token), tokens by usage
TEST(StreamRecorder, TimesAreThoseOfVllm) {
  RequestRecord record;
  record.start_s = 10.0;
  StreamRecorder recorder(record, false, true);
  record.status = 200;
  EXPECT_TRUE(recorder.on_bytes(": ping\n\n", 10.2));
  EXPECT_TRUE(recorder.on_bytes(token_event("Hel"), 10.5));
  EXPECT_TRUE(recorder.on_bytes(token_event(""), 10.75)) << "a token may release no text";
  EXPECT_TRUE(recorder.on_bytes(token_event("lo"), 11.5));
  EXPECT_TRUE(recorder.on_bytes(usage_event(7, 5), 12.0));
  EXPECT_TRUE(recorder.on_bytes(kDone, 13.0));
  recorder.on_end(13.5, "");
  EXPECT_EQ(record.outcome, Outcome::kCompleted);
  EXPECT_DOUBLE_EQ(record.ttft_s, 0.5);
  ASSERT_EQ(record.gaps_s.size(), 2U);
  EXPECT_DOUBLE_EQ(record.gaps_s[0], 0.25);
  EXPECT_DOUBLE_EQ(record.gaps_s[1], 0.75);
  EXPECT_DOUBLE_EQ(record.latency_s, 1.5);
  EXPECT_EQ(record.chunks, 3U);
  EXPECT_EQ(record.output_tokens, 5U);
  EXPECT_EQ(record.prompt_tokens, 7U);
  EXPECT_EQ(record.text, "Hello");
  EXPECT_EQ(record.error, "");
}

TEST(StreamRecorder, WithoutUsageChunksAreCounted) {
  RequestRecord record;
  record.prompt_tokens = 4;
  StreamRecorder recorder(record, false, false);
  EXPECT_TRUE(recorder.on_bytes(token_event("a") + token_event("b") + kDone, 1.0));
  recorder.on_end(1.0, "");
  EXPECT_EQ(record.output_tokens, 2U);
  EXPECT_EQ(record.prompt_tokens, 4U);
  EXPECT_EQ(record.text, "") << "kept only when asked for";
}

TEST(StreamRecorder, AChatRoleAloneIsNoToken) {
  RequestRecord record;
  StreamRecorder recorder(record, true, true);
  EXPECT_TRUE(recorder.on_bytes(chat_event(R"({"role":"assistant","content":""})"), 1.0));
  EXPECT_TRUE(recorder.on_bytes(chat_event(R"({"content":"Hi"})"), 2.0));
  EXPECT_TRUE(recorder.on_bytes(chat_event(R"({"content":""})"), 3.0));
  EXPECT_TRUE(recorder.on_bytes(chat_event("{}"), 4.0)) << "the finish reason alone";
  EXPECT_TRUE(recorder.on_bytes(kDone, 5.0));
  recorder.on_end(5.0, "");
  EXPECT_EQ(record.outcome, Outcome::kCompleted);
  EXPECT_DOUBLE_EQ(record.ttft_s, 2.0);
  EXPECT_EQ(record.gaps_s, std::vector<double>{1.0});
  EXPECT_DOUBLE_EQ(record.latency_s, 4.0);
  EXPECT_EQ(record.chunks, 2U);
}

TEST(StreamRecorder, AnErrorInTheMiddleIsAFailureEvenBeforeDone) {
  RequestRecord record;
  StreamRecorder recorder(record, false, false);
  EXPECT_TRUE(recorder.on_bytes(token_event("a"), 1.0));
  EXPECT_FALSE(recorder.on_bytes("data: {\"error\":{\"message\":\"rank lost\",\"code\":500}}\n\n" + kDone, 2.0));
  recorder.on_end(3.0, "");
  EXPECT_EQ(record.outcome, Outcome::kFailed);
  EXPECT_EQ(record.error, "the stream reports an error: rank lost");
  EXPECT_EQ(record.output_tokens, 1U);
  EXPECT_DOUBLE_EQ(record.latency_s, 2.0);
}

TEST(StreamRecorder, AStreamWithoutDoneIsAFailure) {
  RequestRecord record;
  StreamRecorder recorder(record, false, false);
  EXPECT_TRUE(recorder.on_bytes(token_event("a") + "data: [DO", 1.0));
  recorder.on_end(2.0, "partial message");
  EXPECT_EQ(record.outcome, Outcome::kFailed);
  EXPECT_EQ(record.error, "the stream ended without [DONE] after 1 chunks: partial message");
}

TEST(StreamRecorder, AStreamWithoutATokenIsAFailure) {
  RequestRecord record;
  StreamRecorder recorder(record, false, false);
  EXPECT_TRUE(recorder.on_bytes(usage_event(3, 0) + kDone, 1.0));
  recorder.on_end(2.0, "");
  EXPECT_EQ(record.outcome, Outcome::kFailed);
  EXPECT_EQ(record.error, "the stream ended without a token");
}

TEST(StreamRecorder, BytesThatAreNoJsonAreAFailure) {
  RequestRecord record;
  StreamRecorder recorder(record, false, false);
  EXPECT_FALSE(recorder.on_bytes("data: {oops\n\n", 1.0));
  EXPECT_EQ(record.outcome, Outcome::kFailed);
  EXPECT_FALSE(recorder.on_bytes(token_event("a"), 2.0)) << "decided is decided";
  EXPECT_EQ(record.chunks, 0U);
}

TEST(StreamRecorder, RefusalsAre429And503Alone) {
  for (const int status : {400, 401, 404, 408, 429, 500, 502, 503}) {
    RequestRecord record;
    record.start_s = 1.0;
    StreamRecorder recorder(record, false, false);
    recorder.on_refusal(status, 2.0, R"({"error":{"message":"full"}})", 1.25);
    EXPECT_EQ(record.outcome, status == 429 || status == 503 ? Outcome::kRefused : Outcome::kFailed) << status;
    EXPECT_EQ(record.status, status);
    EXPECT_DOUBLE_EQ(record.latency_s, 0.25);
    EXPECT_EQ(record.error, "HTTP " + std::to_string(status) + ": full");
  }
}

TEST(StreamRecorder, RetryAfterIsANumberOfSeconds) {
  EXPECT_EQ(parse_retry_after("3"), 3.0);
  EXPECT_EQ(parse_retry_after("0"), 0.0);
  for (const char* text : {"", "-1", "3s", "Wed, 21 Oct 2026 07:28:00 GMT", "nan"})
    EXPECT_LT(parse_retry_after(text), 0.0) << text;
}

TEST(StreamChunk, WhatCountsAsAToken) {
  struct Case {
    const char* json;
    bool chat, choice, token;
  };
  for (const Case& c : std::vector<Case>{
           {R"({"choices":[{"text":"a"}]})", false, true, true},
           {R"({"choices":[{"text":""}]})", false, true, true},
           {R"({"choices":[]})", false, false, false},
           {R"({"choices":null})", false, false, false},
           {R"({})", false, false, false},
           {R"({"error":null,"choices":[{"text":"a"}]})", false, true, true},
           {R"({"choices":[{"delta":{"content":"a"}}]})", true, true, true},
           {R"({"choices":[{"delta":{"role":"assistant","content":"a"}}]})", true, true, true},
           {R"({"choices":[{"delta":{"role":"assistant","content":""}}]})", true, true, false},
           {R"({"choices":[{"delta":{"role":"assistant"}}]})", true, true, false},
           {R"({"choices":[{"delta":{"content":null}}]})", true, true, false},
           {R"({"choices":[{"delta":{"reasoning_content":"a"}}]})", true, true, true},
           {R"({"choices":[{"delta":{"role":"assistant","tool_calls":[{"index":0}]}}]})", true, true, true},
           {R"({"choices":[{"delta":{"tool_calls":[]}}]})", true, true, false},
           {R"({"choices":[{}]})", true, true, false}}) {
    const auto chunk = parse_stream_chunk(c.json, c.chat);
    ASSERT_TRUE(chunk) << c.json;
    EXPECT_EQ(chunk->has_choice, c.choice) << c.json;
    EXPECT_EQ(chunk->has_token, c.token) << c.json;
    EXPECT_EQ(chunk->error, "") << c.json;
  }
}

TEST(StreamChunk, UsageAndErrorsInEveryShape) {
  const auto usage = parse_stream_chunk(
      R"({"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":3,"prompt_tokens_details":{"cached_tokens":8}}})",
      true);
  ASSERT_TRUE(usage && usage->has_usage);
  EXPECT_EQ(usage->prompt_tokens, 9U);
  EXPECT_EQ(usage->completion_tokens, 3U);
  EXPECT_EQ(usage->cached_tokens, 8U);
  EXPECT_EQ(parse_stream_chunk(R"({"error":"bad"})", true)->error, "bad");
  EXPECT_EQ(parse_stream_chunk(R"({"error":{"code":5}})", true)->error, R"({"code":5})");
  EXPECT_EQ(parse_stream_chunk(R"({"usage":{"prompt_tokens":-4,"completion_tokens":"x"}})", true)->prompt_tokens, 0U);
  EXPECT_FALSE(parse_stream_chunk("[]", true));
  EXPECT_FALSE(parse_stream_chunk("", true));
  EXPECT_FALSE(parse_stream_chunk(std::string(1000, '['), true));
  EXPECT_EQ(error_message(R"({"object":"error","message":"old shape"})"), "old shape");
  EXPECT_EQ(error_message("<html>"), "<html>");
  EXPECT_EQ(error_message(std::string(1000, 'x')).size(), 300U);
}

TEST(StreamChunk, ModelsAndTokenizedIds) {
  EXPECT_EQ(*first_model(R"({"data":[{"object":"model"},{"id":"m"},{"id":"n"}]})"), "m");
  for (const char* bad : {R"({"data":[]})", R"({"data":{}})", "[]", "", R"({"data":[{"id":""}]})"})
    EXPECT_EQ(first_model(bad).error().code(), StatusCode::kBadInput) << bad;
  EXPECT_EQ(tokenized_ids(R"({"count":4,"tokens":[5,3,5,1]})"), (std::vector<std::int32_t>{1, 3, 5}));
  for (const char* bad :
       {R"({"tokens":[-1]})", R"({"tokens":[4294967296]})", R"({"tokens":["a"]})", R"({"tokens":3})", "x"})
    EXPECT_TRUE(tokenized_ids(bad).empty()) << bad;
}

TEST(BodyWriter, WritesIdsTextAndMessages) {
  const auto writer = BodyWriter::make({.model = "m", .ignore_eos = true, .temperature = 0.5, .top_k = 3});
  ASSERT_TRUE(writer);
  PlannedRequest request;
  request.token_ids = {1, 20};
  request.output_tokens = 7;
  EXPECT_EQ(
      writer->body(request),
      R"({"model":"m","stream":true,"stream_options":{"include_usage":true},"ignore_eos":true,"temperature":5E-1,)"
      R"("top_k":3,"prompt":[1,20],"max_tokens":7})");
  request.token_ids.clear();
  request.text = "say \"hi\"\n";
  const auto chat = BodyWriter::make({.chat = true, .model = "m"});
  EXPECT_EQ(chat->body(request), R"({"model":"m","stream":true,"stream_options":{"include_usage":true},)"
                                 R"("messages":[{"role":"user","content":"say \"hi\"\n"}],"max_completion_tokens":7})");
}

TEST(BodyWriter, TheExtraBodyWins) {
  PlannedRequest request;
  request.text = "x";
  const auto writer =
      BodyWriter::make({.model = "m", .extra_body = R"({"model":"n","max_tokens":1,"prompt":"mine","min_p":0})"});
  ASSERT_TRUE(writer);
  EXPECT_EQ(
      writer->body(request),
      R"({"model":"n","stream":true,"stream_options":{"include_usage":true},"max_tokens":1,"prompt":"mine",)"
      R"("min_p":0})");
  for (const char* bad : {"[]", "{", "3", "{\"a\":1} x"})
    EXPECT_EQ(BodyWriter::make({.model = "m", .extra_body = bad}).error().code(), StatusCode::kUsage) << bad;
}

}  // namespace
}  // namespace herd::load
