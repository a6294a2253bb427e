// GenerationIntake: clients that leave on the way in, streams that are resumed, requests that are traced.

#include "endpoint/api/generation_intake.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <mutex>
#include <new>

#include "runtime/steady_clock.h"
#include "tests/actors/toy_cluster.h"
#include "tests/endpoint/api/called_handler.h"

namespace herd::api {
namespace {

// The cluster's client, with something that happens before a submission reaches it.
class HookedClient final : public actors::ClusterClient {
 public:
  explicit HookedClient(actors::ClusterClient& client) : client_(client) {}
  void submit(const gateway::GatewayRequest& request, std::shared_ptr<actors::RequestStream> stream) override {
    if (before_submit) before_submit();
    client_.submit(request, std::move(stream));
  }
  void consumed(RequestId request, std::size_t deltas) override { client_.consumed(request, deltas); }
  void stop_choice(RequestId request, std::uint32_t choice) override { client_.stop_choice(request, choice); }
  void gone(RequestId request) override { client_.gone(request); }
  [[nodiscard]] std::shared_ptr<const actors::ClusterStatus> status() const override { return client_.status(); }
  void set_tenant(admission::TenantId tenant, const admission::TenantLimits& limits) override {
    client_.set_tenant(tenant, limits);
  }
  void set_queue_bounds(std::size_t requests_max, std::uint64_t tokens_max) override {
    client_.set_queue_bounds(requests_max, tokens_max);
  }
  [[nodiscard]] std::optional<admission::AdmissionRefusal> refuses_now(admission::TenantId tenant) const override {
    return client_.refuses_now(tenant);
  }
  void stop() override { client_.stop(); }

  std::function<void()> before_submit;

 private:
  actors::ClusterClient& client_;
};

// Keeps what it is handed.
class KeptSpans final : public trace::SpanSink {
 public:
  void take(trace::Spans spans) override {
    const std::scoped_lock lock(mutex_);
    all_.insert(all_.end(), spans.begin(), spans.end());
  }
  [[nodiscard]] trace::SpanCounts counts() const override { return {}; }
  [[nodiscard]] trace::Spans all() const {
    const std::scoped_lock lock(mutex_);
    return all_;
  }

 private:
  mutable std::mutex mutex_;
  trace::Spans all_;
};

class GenerationIntakeTest : public testing::Test {
 protected:
  explicit GenerationIntakeTest(TracingConfig tracing = {}) : tracing_(std::move(tracing)) {}
  static RequestReader reader() {
    served::ServedModel model;
    model.names = {"toy"};
    model.vocab_size = actors::kToyVocabSize;
    model.max_model_len = 256;
    openai::RequestLimits limits;
    limits.vocab_size = model.vocab_size;
    limits.prompt_bytes_max = 4096;
    limits.prompt_tokens_max = 256;
    return {std::move(model), limits};
  }
  [[nodiscard]] IntakeConfig config() const {
    IntakeConfig config;
    config.tracing = tracing_;
    config.unix_time = [] { return std::int64_t{1700000000}; };
    config.random_bytes = [](std::span<std::uint8_t> bytes) { std::ranges::fill(bytes, 7); };
    return config;
  }
  ~GenerationIntakeTest() override { cluster_.shutdown(); }

  void take(const GenerationIntake::Ticket& ticket, std::string body = R"({"prompt":[5,6],"max_tokens":200})",
            std::vector<http::HttpHeader> headers = {}) {
    Call call{.route = Route::kCompletions, .begin = steady_now(), .responder = responder_};
    intake_.intake(call, {head_of("POST", "/v1/completions", std::move(headers)), std::move(body)}, ticket);
  }
  // The answer to the same body sent again with that event's id.
  http::HttpResponse resume(const std::string& body, const std::string& id) {
    responder_ = std::make_shared<FakeResponder>();
    take(intake_.new_ticket(), body, {{"Last-Event-ID", id}});
    EXPECT_TRUE(responder_->await_end());
    return responder_->answer().value_or(http::HttpResponse{});
  }

  const TracingConfig tracing_;
  std::shared_ptr<actors::ToyFaults> faults_ = std::make_shared<actors::ToyFaults>();
  actors::ToyCluster cluster_{actors::toy_config(1, 1, faults_)};
  access::EventIdCodec event_ids_{{1, 2, 3}, "test"};
  access::ServedNumerics numerics_;  // not known yet
  observability::ServingMetrics metrics_{
      observability::ServingMetricsConfig{.model_name = "toy", .max_model_len = 256}};
  observability::EventLog log_{observability::LogFormat::kText, observability::LogLevel::kError};
  const RequestReader reader_ = reader();
  std::shared_ptr<FakeResponder> responder_ = std::make_shared<FakeResponder>();
  HookedClient client_{cluster_.client()};
  GenerationIntake intake_{config(), reader_, event_ids_, numerics_, client_, metrics_, log_};
};

TEST_F(GenerationIntakeTest, AClientThatLeftBeforeItsBodyWasReadCostsNothing) {
  const auto ticket = intake_.new_ticket();
  intake_.client_gone(ticket);
  take(ticket);
  EXPECT_TRUE(intake_.await_none_open(std::chrono::milliseconds(0)));
  EXPECT_EQ(cluster_.status()->ledger.accepted, 0U);
  EXPECT_FALSE(responder_->ended());
}

TEST_F(GenerationIntakeTest, AClientThatLeavesFreesItsRequest) {
  faults_->step_us = 2000;
  const auto ticket = intake_.new_ticket();
  take(ticket);
  EXPECT_FALSE(intake_.await_none_open(std::chrono::milliseconds(1)));
  intake_.client_gone(ticket);
  EXPECT_TRUE(intake_.await_none_open(std::chrono::minutes(1)));
  EXPECT_FALSE(responder_->ended());
}

// The I/O thread's word reaches the gateway before the request does, and means nothing to it.
TEST_F(GenerationIntakeTest, AClientThatLeavesWhileItsRequestIsHandedOverIsNotForgotten) {
  faults_->step_us = 2000;
  const auto ticket = intake_.new_ticket();
  client_.before_submit = [&] { intake_.client_gone(ticket); };
  take(ticket);
  EXPECT_TRUE(intake_.await_none_open(std::chrono::minutes(1)));
  EXPECT_FALSE(responder_->ended()) << "else it ran to its end";
}

TEST_F(GenerationIntakeTest, ARequestThatCouldNotBeHandedOverIsNotOpen) {
  client_.before_submit = [] { throw std::bad_alloc(); };
  EXPECT_THROW(take(intake_.new_ticket()), std::bad_alloc);
  EXPECT_TRUE(intake_.await_none_open(std::chrono::milliseconds(0))) << "else a server that drains waits for it in vain";
}

constexpr const char* kStream = R"({"prompt":[5,6],"max_tokens":3,"stream":true,"ignore_eos":true})";

// From an id that is nobody's it is a 400, known numerics or not.
TEST_F(GenerationIntakeTest, AStreamIsResumedOnceTheNumericsAreKnown) {
  access::EventId event{.created = 1700000000, .body = access::hash_body(kStream), .progress = {1}};
  const std::string id = event_ids_.encode(event, "");
  const http::HttpResponse early = resume(kStream, id);
  EXPECT_EQ(early.status, 503) << early.body;
  EXPECT_NE(header_of(early, "Retry-After"), nullptr);
  EXPECT_EQ(resume(kStream, "nobody's").status, 400);
  numerics_.set("");
  (void)resume(kStream, id);
  const std::vector<Frame> rest = responder_->frames();
  ASSERT_EQ(rest.size(), 3U) << "the second and the third token, and the end";
  for (const Frame& frame : rest) EXPECT_TRUE(event_ids_.decode(frame.id, "")) << frame.data;
}

TEST_F(GenerationIntakeTest, NoStreamIsResumedWhereTheNumericsCannotBeHad) {
  access::EventId event{.created = 1700000000, .body = access::hash_body(kStream), .progress = {1}};
  numerics_.set_unknowable("model.gguf is gone");
  const http::HttpResponse refused = resume(kStream, event_ids_.encode(event, ""));
  EXPECT_EQ(refused.status, 400);
  EXPECT_NE(refused.body.find("model.gguf is gone"), std::string::npos) << refused.body;
}

TEST_F(GenerationIntakeTest, WhatCannotBeReadIsAnsweredHere) {
  take(intake_.new_ticket(), "{");
  ASSERT_TRUE(responder_->answer());
  EXPECT_EQ(responder_->answer()->status, 400);
  EXPECT_TRUE(intake_.await_none_open(std::chrono::milliseconds(0)));
}

constexpr const char* kTrace = "4bf92f3577b34da6a3ce929d0e0e4736";
constexpr const char* kCaller = "00f067aa0ba902b7";
std::string caller(const char* flags) { return std::string("00-") + kTrace + "-" + kCaller + "-" + flags; }

class TracedIntakeTest : public GenerationIntakeTest {
 protected:
  TracedIntakeTest() : TracedIntakeTest(std::make_shared<KeptSpans>()) {}
  explicit TracedIntakeTest(std::shared_ptr<KeptSpans> spans)
      : GenerationIntakeTest({.sink = spans.get(), .sampler = {}, .unix_ns = [] { return std::int64_t{1'700'000'000'000'000'000}; }}),
        spans_(std::move(spans)) {}

  // Its answer's traceparent; "": none.
  std::string ask(const std::string& body, std::vector<http::HttpHeader> headers) {
    responder_ = std::make_shared<FakeResponder>();
    take(intake_.new_ticket(), body, std::move(headers));
    EXPECT_TRUE(responder_->await_end());
    EXPECT_TRUE(intake_.await_none_open(std::chrono::minutes(1)));
    const auto answer = responder_->answer();
    const std::string* header = answer ? header_of(*answer, "traceparent") : nullptr;
    return header == nullptr ? "" : *header;
  }

  const std::shared_ptr<KeptSpans> spans_;
};

TEST_F(TracedIntakeTest, ARequestBecomesSpansOfItsCallersTrace) {
  const std::string answered = ask(R"({"prompt":[5,6],"max_tokens":3})", {{"traceparent", caller("01")}, {"tracestate", "a=1"}, {"Tracestate", "b=2"}});
  const trace::Spans spans = spans_->all();
  ASSERT_EQ(spans.size(), 6U);
  EXPECT_EQ(answered, std::string("00-") + kTrace + "-" + hex(spans[0].id) + "-01");
  EXPECT_EQ(spans[0].name, "text_completion toy");
  EXPECT_EQ(hex(spans[0].trace), kTrace);
  EXPECT_EQ(hex(spans[0].parent), kCaller);
  EXPECT_EQ(spans[0].state, "a=1,b=2");
  EXPECT_LE(spans[0].begin_unix_ns, 1'700'000'000'000'000'000);
  std::vector<std::string> names;
  for (const trace::Span& span : spans) names.push_back(span.name);
  EXPECT_EQ(names, (std::vector<std::string>{"text_completion toy", "read", "queue", "prefill", "decode", "attempt"}));
}

TEST_F(TracedIntakeTest, OneThatItsCallerDoesNotTraceIsNotButKeepsItsTrace) {
  EXPECT_TRUE(ask(R"({"prompt":[5,6],"max_tokens":3})", {{"traceparent", caller("00")}}).ends_with("-00"));
  EXPECT_TRUE(spans_->all().empty());
}

TEST_F(TracedIntakeTest, ABadHeaderIsAsGoodAsNone) {
  for (const std::string& bad : {std::string("nonsense"), caller("01") + "-x", caller("0x")}) {
    const std::string answered = ask(R"({"prompt":[5,6],"max_tokens":3})", {{"traceparent", bad}});
    ASSERT_EQ(answered.size(), 55U);
    EXPECT_EQ(answered.find(kTrace), std::string::npos);
  }
  const std::string twice = ask(R"({"prompt":[5,6],"max_tokens":3})", {{"traceparent", caller("01")}, {"traceparent", caller("01")}});
  EXPECT_EQ(twice.find(kTrace), std::string::npos);
  for (const trace::Span& span : spans_->all()) {
    EXPECT_TRUE(span.kind != trace::SpanKind::kServer || span.parent == trace::SpanId{});
  }
}

TEST_F(TracedIntakeTest, ARequestThatCannotBeReadIsOneSpan) {
  EXPECT_EQ(ask(R"({"prompt":)", {}).size(), 55U);
  const trace::Spans spans = spans_->all();
  ASSERT_EQ(spans.size(), 1U);
  const trace::Attribute status{"http.response.status_code", std::int64_t{400}};
  EXPECT_EQ(std::ranges::count(spans[0].attributes, status), 1);
  EXPECT_EQ(spans[0].status, trace::SpanStatus::kUnset) << "no fault of the server";
}

TEST_F(GenerationIntakeTest, WithoutTracingTheAnswerSaysNothingOfATrace) {
  take(intake_.new_ticket(), R"({"prompt":[5,6],"max_tokens":3})", {{"traceparent", caller("01")}});
  EXPECT_TRUE(responder_->await_end());
  ASSERT_TRUE(responder_->answer());
  EXPECT_EQ(header_of(*responder_->answer(), "traceparent"), nullptr);
}

}  // namespace
}  // namespace herd::api
