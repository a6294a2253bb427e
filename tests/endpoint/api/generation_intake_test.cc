// GenerationIntake: clients that leave on the way in, streams that are resumed, requests that are traced.

#include "endpoint/api/generation_intake.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <mutex>
#include <new>

#include "endpoint/api/resumed_numerics.h"
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
    if (asked) return asked(request);
    client_.submit(request, std::move(stream));
  }
  void consumed(RequestId request, std::size_t deltas) override { client_.consumed(request, deltas); }
  void stop_choice(RequestId request, std::uint32_t choice) override { client_.stop_choice(request, choice); }
  void gone(RequestId request) override { client_.gone(request); }
  [[nodiscard]] std::shared_ptr<const actors::ClusterStatus> status() const override { return of_a_view ? of_a_view : client_.status(); }
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
  std::function<void(const gateway::GatewayRequest&)> asked;  // takes it instead of the cluster
  std::shared_ptr<const actors::ClusterStatus> of_a_view;     // null: the cluster's own

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
  // What an event id of a stream of this body holds.
  [[nodiscard]] access::BodyHash bound(const std::string& body) const { return reader_.completion(body)->bound_hash(body, {}); }
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
  access::EventId event{.created = 1700000000, .body = bound(kStream), .progress = {1}};
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
  access::EventId event{.created = 1700000000, .body = bound(kStream), .progress = {1}};
  numerics_.set_unknowable("model.gguf is gone");
  const http::HttpResponse refused = resume(kStream, event_ids_.encode(event, ""));
  EXPECT_EQ(refused.status, 400);
  EXPECT_NE(refused.body.find("model.gguf is gone"), std::string::npos) << refused.body;
}

constexpr const char* kHere = "cpu-1/bfloat16/bfloat16/c0c1c2c3c4c5c6c7c8c9cacbcccdcecf";
constexpr const char* kElsewhere = "cpu-2/bfloat16/bfloat16/00112233445566778899aabbccddeeff";

// Replicas of these numerics that serve; one that is being made where the text is empty.
routing::ClusterView view_of(const std::vector<std::string>& numerics) {
  routing::ClusterView view;
  for (const std::string& id : numerics) {
    routing::ReplicaView& replica = view.replicas.emplace_back();
    replica.route.generation.replica = ReplicaId(static_cast<std::uint32_t>(view.replicas.size() - 1));
    replica.route.numerics = id;
    replica.state = id.empty() ? routing::ReplicaState::kMaking : routing::ReplicaState::kServing;
  }
  return view;
}

TEST_F(GenerationIntakeTest, AStreamOfAClusterIsResumedByReplicasOfItsNumericsAlone) {
  auto status = std::make_shared<actors::ClusterStatus>();
  status->view = view_of({kHere, kElsewhere});
  client_.of_a_view = status;
  std::vector<routing::NumericsId> asked;
  client_.asked = [&](const gateway::GatewayRequest& request) { asked.push_back(request.numerics); };
  numerics_.leave_to_replicas();
  const auto event = [&](const char* numerics) {
    return event_ids_.encode({.created = 1700000000,
                              .body = bound(kStream),
                              .numerics = access::numerics_digits(numerics),
                              .progress = {1}},
                             "");
  };
  for (const char* numerics : {kElsewhere, kHere})
    take(intake_.new_ticket(), kStream, {{"Last-Event-ID", event(numerics)}});
  take(intake_.new_ticket(), kStream);
  EXPECT_EQ(asked, (std::vector<routing::NumericsId>{kElsewhere, kHere, ""})) << "a fresh request may run anywhere";
  const http::HttpResponse refused = resume(kStream, event("cpu-1/bfloat16/bfloat16/ffeeddccbbaa99887766554433221100"));
  EXPECT_EQ(refused.status, 400);
  EXPECT_NE(refused.body.find("ffeeddccbbaa99887766554433221100"), std::string::npos) << refused.body;
  EXPECT_NE(refused.body.find(std::string(kHere) + ", " + kElsewhere), std::string::npos) << refused.body;
}

TEST(ResumedNumerics, AreNotKnownWhileAReplicaIsBeingMade) {
  const access::NumericsDigits stream = access::numerics_digits(kElsewhere);
  for (const auto& view : {view_of({}), view_of({""}), view_of({kHere, ""})}) {
    const auto numerics = resumed_numerics(view, stream);
    ASSERT_FALSE(numerics);
    EXPECT_EQ(numerics.error().status, 503);
  }
  EXPECT_EQ(resumed_numerics(view_of({"", kElsewhere}), stream).value(), kElsewhere);
  EXPECT_EQ(resumed_numerics(view_of({kHere, kHere}), stream).error().status, 400);
  // As a coordinator tells of one whose ranks still read the weights.
  routing::ClusterView loading = view_of({kHere, ""});
  loading.replicas[1].state = routing::ReplicaState::kLost;
  EXPECT_EQ(resumed_numerics(loading, stream).error().status, 503);
  EXPECT_GE(resumed_numerics(loading, stream).error().retry_after_s, 1);
  loading.replicas[1].returns = false;
  EXPECT_EQ(resumed_numerics(loading, stream).error().status, 400) << "it does not come";
}

// All of one numerics form again: the stream waits for them, as others do.
TEST(ResumedNumerics, AreWaitedForWhereNobodyElseServes) {
  using routing::ReplicaState;
  const access::NumericsDigits stream = access::numerics_digits(kElsewhere);
  routing::ClusterView view = view_of({kElsewhere, kElsewhere});
  for (const ReplicaState state : {ReplicaState::kMaking, ReplicaState::kLost, ReplicaState::kDraining}) {
    for (routing::ReplicaView& replica : view.replicas) replica.state = state;
    EXPECT_EQ(resumed_numerics(view, stream).value_or(""), kElsewhere);
  }
}

TEST(ResumedNumerics, AreNotThereWhileNoReplicaOfThemServesAndOthersDo) {
  using routing::ReplicaState;
  const access::NumericsDigits stream = access::numerics_digits(kElsewhere);
  routing::ClusterView view = view_of({kHere, kElsewhere});
  for (const ReplicaState state : {ReplicaState::kMaking, ReplicaState::kLost, ReplicaState::kDraining}) {
    view.replicas[1].state = state;
    EXPECT_EQ(resumed_numerics(view, stream).error().status, 503);
  }
  view.replicas[1].state = ReplicaState::kLost;
  view.replicas[1].returns = false;
  const auto gone = resumed_numerics(view, stream);
  EXPECT_EQ(gone.error().status, 400);
  view.replicas.push_back(view.replicas[1]);
  view.replicas[2].state = ReplicaState::kServing;
  EXPECT_EQ(resumed_numerics(view, stream).value(), kElsewhere);
}

// What generation_config.json makes of a body decides the bytes, as the body does.
TEST_F(GenerationIntakeTest, AStreamIsNotResumedUnderOtherDefaults) {
  numerics_.set("");
  const std::string body = R"({"prompt":[5,6],"stream":true})";
  const auto id = [&](const RequestReader& made_by, std::vector<TokenId> eos_ids) {
    const auto request = made_by.completion(body);
    EXPECT_TRUE(request);
    return event_ids_.encode(
        {.created = 1700000000, .body = request->bound_hash(body, eos_ids), .progress = {1}}, "");
  };
  served::ServedModel other = reader().model();
  other.generation.temperature = 0.5;
  openai::RequestLimits limits;
  limits.vocab_size = other.vocab_size;
  limits.prompt_bytes_max = 4096;
  limits.prompt_tokens_max = 256;
  const http::HttpResponse refused = resume(body, id(RequestReader(other, limits), {}));
  EXPECT_EQ(refused.status, 400);
  EXPECT_NE(refused.body.find("generation_config.json"), std::string::npos) << refused.body;
  EXPECT_EQ(resume(body, id(reader_, {9})).status, 400) << "another id ends the answer";
  (void)resume(body, id(reader_, {}));
  EXPECT_TRUE(responder_->finished());
}

// How much room there is differs between servers, and between two starts of one. It decides no byte.
TEST_F(GenerationIntakeTest, AStreamIsResumedWhereMaxModelLenIsAnother) {
  numerics_.set("");
  const std::string body = R"({"prompt":[5,6],"stream":true,"ignore_eos":true})";  // 16 tokens, by default
  served::ServedModel other = reader().model();
  other.max_model_len = 10;  // 8 tokens are left
  openai::RequestLimits limits;
  limits.vocab_size = other.vocab_size;
  limits.prompt_bytes_max = 4096;
  limits.prompt_tokens_max = 256;
  const auto first = RequestReader(other, limits).completion(body);
  ASSERT_TRUE(first);
  EXPECT_EQ(first->prompts[0].max_tokens, 8U);
  const auto id = event_ids_.encode({.created = 1700000000, .body = first->bound_hash(body, {}), .progress = {3}}, "");
  (void)resume(body, id);
  EXPECT_EQ(responder_->frames().size(), 14U) << "13 more tokens, and the end";
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
