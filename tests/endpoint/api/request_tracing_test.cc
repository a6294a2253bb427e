// What a traced job's server span says, from its request, its record and its end.

#include "endpoint/api/request_tracing.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>

#include "tests/endpoint/api/running_job.h"

namespace herd::api {
namespace {

using gateway::RequestEnd;
using trace::AttributeValue;

class KeptSpans final : public trace::SpanSink {
 public:
  void take(trace::Spans spans) override { all = std::move(spans); }
  [[nodiscard]] trace::SpanCounts counts() const override { return {}; }
  trace::Spans all;
};

// A traced job of one or more choices, driven by hand: it arrives at 1 s, is read at 1.5 s, starts at 2 s.
struct TracedJob {
  explicit TracedJob(GenerationRequest request)
      : job((surroundings.environment.spans = &spans, RequestId(1)), std::move(request), responder, surroundings.environment, at(1)) {
    trace::RequestTraceBegin begin;
    begin.context = *trace::read_trace_context("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "");
    begin.arrived = at(1);
    auto trace = std::make_unique<trace::RequestTrace>(std::move(begin));
    trace->on_read(at(1.5));
    job.set_trace(std::move(trace));
  }
  static Instant at(double seconds) { return seconds_after({}, seconds); }
  void start(std::uint32_t choices = 1) {
    (void)job.start(at(2));
    for (std::uint32_t choice = 0; choice < choices; ++choice) job.on_attempt({.to = {}, .submission = {}, .request = {}, .choice = choice}, at(2));
  }
  actors::RequestStream::Taken say(char byte, double seconds, step::FinishReason finish = step::FinishReason::kNone) {
    step::TokenDelta delta = token_delta(0, static_cast<std::uint8_t>(byte), finish);
    delta.cached_tokens = 4;
    delta.prefill_s = 0.5F;
    return job.deliver(0, delta, at(seconds));
  }
  void end(RequestEnd::Kind kind, double seconds, Status why = {}) { job.end({.kind = kind, .why = std::move(why)}, at(seconds)); }

  [[nodiscard]] const AttributeValue* said(std::string_view name) const {
    const auto& attributes = spans.all.at(0).attributes;
    const auto found = std::ranges::find(attributes, name, &trace::Attribute::name);
    return found == attributes.end() ? nullptr : &found->value;
  }
  void expect(std::string_view name, const AttributeValue& value) const {
    ASSERT_NE(said(name), nullptr) << name;
    if (const auto* wanted = std::get_if<double>(&value)) {
      ASSERT_TRUE(std::holds_alternative<double>(*said(name))) << name;
      EXPECT_DOUBLE_EQ(std::get<double>(*said(name)), *wanted) << name;
    } else {
      EXPECT_EQ(*said(name), value) << name;
    }
  }
  [[nodiscard]] std::string attempt_outcome() const {
    for (const trace::Attribute& attribute : spans.all.back().attributes)
      if (attribute.name == "herd.attempt.outcome") return std::get<std::string>(attribute.value);
    return "";
  }

  KeptSpans spans;
  std::shared_ptr<FakeResponder> responder = std::make_shared<FakeResponder>();
  JobSurroundings surroundings;
  GenerationJob job;
};

GenerationRequest chat() {
  GenerationRequest request = toy_request(openai::Endpoint::kChat, true, 8, 3);
  request.fields.seed = 9;
  request.fields.stop = {"zz"};
  request.sampling.temperature = 0.9F;
  request.sampling.top_p = 0.95F;
  request.sampling.top_k = 40;
  request.tenant_name = "alice";
  return request;
}

TEST(RequestTracing, AServerSpanSaysWhatOpenTelemetryAndVllmCallIt) {
  TracedJob traced(chat());
  traced.start();
  traced.say('a', 4);
  traced.say('b', 5);
  traced.say('c', 6, step::FinishReason::kLength);
  traced.end(RequestEnd::Kind::kFinished, 7);
  ASSERT_EQ(traced.spans.all.size(), 6U);
  EXPECT_EQ(traced.spans.all[0].name, "chat toy");
  EXPECT_EQ(traced.spans.all[0].status, trace::SpanStatus::kUnset);
  const std::vector<std::pair<const char*, AttributeValue>> rows{
      {"gen_ai.operation.name", "chat"}, {"gen_ai.provider.name", "herd"}, {"gen_ai.request.model", "toy"},
      {"gen_ai.request.id", "request-1"}, {"gen_ai.request.n", std::int64_t{1}}, {"gen_ai.request.choice.count", std::int64_t{1}},
      {"gen_ai.request.max_tokens", std::int64_t{3}}, {"gen_ai.request.temperature", 0.9}, {"gen_ai.request.top_p", 0.95},
      {"gen_ai.request.top_k", std::int64_t{40}}, {"gen_ai.request.seed", std::int64_t{9}}, {"gen_ai.request.stream", true},
      {"gen_ai.request.frequency_penalty", 0.0}, {"gen_ai.request.presence_penalty", 0.0},
      {"gen_ai.request.stop_sequences", std::vector<std::string>{"zz"}}, {"gen_ai.output.type", "text"},
      {"gen_ai.response.id", "answer-1"}, {"gen_ai.response.model", "toy"},
      {"gen_ai.response.finish_reasons", std::vector<std::string>{"length"}},
      {"gen_ai.usage.input_tokens", std::int64_t{8}}, {"gen_ai.usage.prompt_tokens", std::int64_t{8}},
      {"gen_ai.usage.output_tokens", std::int64_t{3}}, {"gen_ai.usage.completion_tokens", std::int64_t{3}},
      {"gen_ai.usage.cache_read.input_tokens", std::int64_t{4}}, {"gen_ai.latency.e2e", 6.0},
      {"gen_ai.response.time_to_first_chunk", 3.0}, {"gen_ai.latency.time_to_first_token", 3.0},
      {"gen_ai.latency.time_in_queue", 2.5}, {"gen_ai.latency.time_in_model_prefill", 0.5},
      {"gen_ai.latency.time_in_model_decode", 2.0}, {"gen_ai.latency.time_in_model_inference", 2.5},
      {"herd.request.outcome", "finished"}, {"herd.request.key", "alice"}, {"herd.request.prompts", std::int64_t{1}},
      {"http.response.status_code", std::int64_t{200}}};
  for (const auto& [name, value] : rows) traced.expect(name, value);
  EXPECT_EQ(traced.said("error.type"), nullptr);
  EXPECT_EQ(traced.said("herd.request.resumed"), nullptr);
  EXPECT_EQ(traced.spans.all[0].attributes.size(), rows.size()) << "each once, and nothing else";
}

TEST(RequestTracing, NoPromptAndNoAnswerIsInIt) {
  GenerationRequest request = chat();
  request.fields.stop.clear();
  request.prompts.front().text = "secret prompt";
  TracedJob traced(std::move(request));
  traced.start();
  for (const char byte : std::string("hidden")) traced.say(byte, 4);
  traced.end(RequestEnd::Kind::kGone, 7);
  for (const trace::Span& span : traced.spans.all) {
    for (const trace::Attribute& attribute : span.attributes) {
      const auto* text = std::get_if<std::string>(&attribute.value);
      if (text == nullptr) continue;
      EXPECT_EQ(text->find("secret"), std::string::npos) << attribute.name;
      EXPECT_EQ(text->find("hidden"), std::string::npos) << attribute.name;
    }
  }
}

TEST(RequestTracing, AStopStringEndsAnAttemptWell) {
  TracedJob traced(chat());
  traced.start();
  EXPECT_FALSE(traced.say('z', 4).stop);
  EXPECT_TRUE(traced.say('z', 5).stop);
  traced.end(RequestEnd::Kind::kFinished, 6);
  traced.expect("gen_ai.response.finish_reasons", std::vector<std::string>{"stop"});
  EXPECT_EQ(traced.attempt_outcome(), "finished");
}

// How a request ends badly, before and behind its first token, and whose fault that is.
TEST(RequestTracing, BadEndsAreTold) {
  using Kind = RequestEnd::Kind;
  struct Row {
    Kind kind;
    bool answered;  // a token was sent
    const char* outcome;
    std::string error_type;
    trace::SpanStatus status;
  };
  const Row rows[] = {{Kind::kFailed, true, "failed", "failed", trace::SpanStatus::kError},
                      {Kind::kFailed, false, "failed", "500", trace::SpanStatus::kError},
                      {Kind::kTimedOut, true, "timed_out", "timed_out", trace::SpanStatus::kError},
                      {Kind::kShutdown, false, "shutdown", "503", trace::SpanStatus::kError},
                      {Kind::kGone, true, "client_gone", "client_gone", trace::SpanStatus::kUnset}};
  for (const Row& row : rows) {
    TracedJob traced(chat());
    traced.start();
    if (row.answered) traced.say('a', 4);
    traced.end(row.kind, 5, row.kind == Kind::kGone ? Status{} : Status{StatusCode::kInternal, "why"});
    traced.expect("herd.request.outcome", row.outcome);
    traced.expect("error.type", row.error_type);
    EXPECT_EQ(traced.spans.all[0].status, row.status) << row.outcome;
    EXPECT_EQ(traced.attempt_outcome(), row.outcome);
  }
}

TEST(RequestTracing, WithoutASinkOnlyTheCallersTraceIdIsRead) {
  const RequestTracing tracing({}, [](std::span<std::uint8_t>) { ADD_FAILURE() << "nothing is drawn"; });
  http::HttpRequestHead head;
  EXPECT_EQ(tracing.begin(head, {}, {}).trace_id, "");
  head.headers = {{"Traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}};
  const TraceStart start = tracing.begin(head, {}, {});
  EXPECT_EQ(start.trace_id, "4bf92f3577b34da6a3ce929d0e0e4736");
  EXPECT_EQ(start.traceparent, "");
  EXPECT_EQ(start.trace, nullptr);
}

TEST(RequestTracing, IdsAreNeverZero) {
  KeptSpans sink;
  int drawn = 0;
  const RequestTracing tracing({.sink = &sink, .sampler = {}, .unix_ns = [] { return std::int64_t{0}; }},
                               [&](std::span<std::uint8_t> bytes) { std::ranges::fill(bytes, ++drawn % 2 == 0 ? 1 : 0); });
  const TraceStart start = tracing.begin({}, {}, {});
  EXPECT_EQ(start.trace_id, "01010101010101010101010101010101");
  EXPECT_EQ(start.traceparent, "00-01010101010101010101010101010101-0101010101010101-01");
}

}  // namespace
}  // namespace herd::api
