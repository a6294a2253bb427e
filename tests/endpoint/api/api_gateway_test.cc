// ApiGateway without a socket, in front of a toy cluster: what is refused before a body is read, and what the health
// routes say through a server's life.
#include "endpoint/api/api_gateway.h"

#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <tuple>

#include "endpoint/access/event_id.h"
#include "endpoint/api/metrics_handler.h"
#include "tests/endpoint/api/called_handler.h"
#include "tests/actors/toy_cluster.h"

namespace herd::api {
namespace {

class ApiGatewayTest : public testing::Test {
 protected:
  static ApiConfig config() {
    ApiConfig config;
    config.allowed_origins = {"http://ui"};
    config.version = "test";
    config.intake.unix_time = [] { return std::int64_t{1700000000}; };
    config.intake.random_bytes = [](std::span<std::uint8_t> bytes) { std::ranges::fill(bytes, 7); };
    return config;
  }
  static RequestReader reader() {
    served::ServedModel model;
    model.names = {"toy"};
    model.root = "toy";
    model.vocab_size = actors::kToyVocabSize;
    model.max_model_len = 256;
    openai::RequestLimits limits;
    limits.vocab_size = model.vocab_size;
    limits.prompt_bytes_max = 4096;
    limits.prompt_tokens_max = 256;
    return {std::move(model), limits};
  }
  // A replica that is lost does not come back.
  static actors::StandaloneConfig cluster_config(std::shared_ptr<actors::ToyFaults> faults) {
    actors::StandaloneConfig config = actors::toy_config(1, 2, std::move(faults));
    config.restart_budget.restarts = 0;
    return config;
  }
  bool await_none_left() {
    return cluster_.await([](const actors::ClusterStatus& status) {
      return status.serving_replicas() + status.returning_replicas() == 0;
    });
  }
  ~ApiGatewayTest() override {
    gateway_.stop();
    cluster_.shutdown();
  }

  http::HttpResponse get(const std::string& path) { return call(gateway_, head_of("GET", path)); }
  http::HttpResponse post(std::vector<http::HttpHeader> headers, const std::string& path = "/v1/completions") {
    headers.push_back({"Origin", "http://ui"});
    return call(gateway_, head_of("POST", path, std::move(headers)), R"({"prompt":[5,6],"max_tokens":2})");
  }

  std::shared_ptr<actors::ToyFaults> faults_ = std::make_shared<actors::ToyFaults>();
  actors::ToyCluster cluster_{cluster_config(faults_)};
  access::EventIdCodec event_ids_{{1, 2, 3}, "test"};
  access::ServedNumerics numerics_{std::string()};
  observability::ServingMetrics metrics_{
      observability::ServingMetricsConfig{.model_name = "toy", .max_model_len = 256}};
  observability::EventLog log_{observability::LogFormat::kText, observability::LogLevel::kError};
  ApiGateway gateway_{config(), reader(), event_ids_, numerics_, cluster_.client(), metrics_, log_};
};

TEST_F(ApiGatewayTest, HealthFollowsTheModelAndLifeTheProcess) {
  for (const char* path : {"/health", "/ping", "/live"}) {
    EXPECT_EQ(get(path).status, 200) << path;
    EXPECT_EQ(get(path).body, R"({"status":"ok"})") << path;
  }
  EXPECT_EQ(get("/ready").status, 200);

  cluster_.kill_rank(ReplicaId(0), 0);
  ASSERT_TRUE(await_none_left());
  for (const char* path : {"/health", "/ping"}) {
    const http::HttpResponse answer = get(path);
    EXPECT_EQ(answer.status, 503) << path;
    EXPECT_EQ(answer.body, R"({"status":"unavailable","reason":"no replica is left and none will come back"})");
    EXPECT_EQ(value_of(answer, "retry-after"), "1");
  }
  EXPECT_EQ(get("/ready").status, 503);
  EXPECT_EQ(get("/live").status, 200);
}

TEST_F(ApiGatewayTest, WhileDrainingItLivesButTakesNothingNew) {
  gateway_.state().drain();
  EXPECT_EQ(get("/live").status, 200);
  EXPECT_EQ(get("/health").body, R"({"status":"draining","reason":"the server is shutting down"})");
  for (const char* path : {"/health", "/ping", "/ready"}) EXPECT_EQ(get(path).status, 503) << path;
  EXPECT_EQ(post({{"Content-Type", "application/json"}}).status, 503);
}

TEST_F(ApiGatewayTest, ProbesNeedNoKey) {
  gateway_.set_keys(*access::ApiKeys::from_keys({"sk-one-0123456789"}));
  for (const char* path : {"/health", "/ping", "/live", "/ready"}) EXPECT_EQ(get(path).status, 200) << path;
  for (const char* path : {"/load", "/v1/models", "/metrics", "/no/such"}) EXPECT_EQ(get(path).status, 401) << path;
}

TEST_F(ApiGatewayTest, AKeyThatGoesWhileTheBodyComesIsRefused) {
  const std::vector<http::HttpHeader> headers = {{"Authorization", "Bearer sk-one-0123456789"},
                                                 {"Content-Type", "application/json"}};
  for (const char* path : {"/v1/completions", "/tokenize"}) {
    gateway_.set_keys(*access::ApiKeys::from_keys({"sk-one-0123456789"}));
    const http::HttpRequestHead head = head_of("POST", path, headers);
    ASSERT_FALSE(gateway_.on_head(head)) << path;
    gateway_.set_keys(*access::ApiKeys::from_keys({"sk-two-0123456789"}));
    const auto responder = std::make_shared<FakeResponder>();
    std::function<void()> on_gone;
    gateway_.on_request({head, R"({"prompt":[5,6],"max_tokens":2})"}, responder, on_gone);
    ASSERT_TRUE(responder->await_end()) << path;
    EXPECT_EQ(responder->answer().value_or(http::HttpResponse{}).status, 401) << path;
    EXPECT_FALSE(on_gone) << path;
  }
  EXPECT_EQ(cluster_.status()->ledger.accepted, 0U);
}

TEST_F(ApiGatewayTest, ProbesAreAnsweredBeyondTheLimitsOfConnections) {
  for (const char* path : {"/live", "/ready", "/health", "/ping"})
    EXPECT_TRUE(gateway_.answers_over_limit(head_of("GET", path))) << path;
  for (const char* path : {"/metrics", "/v1/models", "/no/such"})
    EXPECT_FALSE(gateway_.answers_over_limit(head_of("GET", path))) << path;
}

// Else a gateway would keep every name that was ever in its file.
TEST_F(ApiGatewayTest, AKeyThatIsRemovedTakesItsLimitsAlong) {
  const auto keys = [](const std::string& text) { return access::ApiKeys::from_text(text, "keys").value(); };
  const auto both = keys("alice key=sk-alice-0123456789 requests_per_minute=1\nbob key=sk-bob-0123456789 requests_per_minute=1\n");
  gateway_.set_keys(both);
  for (const char* key : {"Bearer sk-alice-0123456789", "Bearer sk-bob-0123456789"})
    EXPECT_EQ(post({{"Content-Type", "application/json"}, {"Authorization", key}}).status, 200);
  const admission::TenantId alice = both->keys()[0].tenant, bob = both->keys()[1].tenant;
  EXPECT_TRUE(cluster_.client().refuses_now(alice) && cluster_.client().refuses_now(bob));
  gateway_.set_keys(keys("bob key=sk-bob-0123456789 requests_per_minute=1\n"));
  EXPECT_FALSE(cluster_.client().refuses_now(alice)) << "nothing is known of it";
  EXPECT_TRUE(cluster_.client().refuses_now(bob)) << "it has used what it has a minute";
}

TEST_F(ApiGatewayTest, ABodyMustBePlainJson) {
  const http::HttpHeader json{"Content-Type", "application/json"};
  for (const char* coding : {"gzip", "br", "deflate", "zstd", "GZIP", "identity, gzip", "x-unheard-of"}) {
    const http::HttpResponse answer = post({json, {"Content-Encoding", coding}});
    EXPECT_EQ(answer.status, 415) << coding;
    EXPECT_EQ(value_of(answer, "accept-encoding"), "identity") << coding;
    EXPECT_EQ(value_of(answer, "access-control-allow-origin"), "http://ui");
    EXPECT_NE(json_of(answer.body).at("error").at("message").as_string().find("Content-Encoding"), std::string::npos);
  }
  EXPECT_EQ(post({json, {"Content-Encoding", "identity"}, {"Content-Encoding", "gzip"}}).status, 415);
  EXPECT_EQ(post({json, {"Content-Encoding", "gzip"}}, "/tokenize").status, 415);
  for (const char* coding : {"identity", "Identity", "", ", identity ,"})
    EXPECT_EQ(post({json, {"Content-Encoding", coding}}).status, 200) << coding;
  // Clients tell by that header whether the coding or the type is wrong.
  for (const std::vector<http::HttpHeader>& wrong :
       {std::vector<http::HttpHeader>{}, {{"Content-Type", "text/plain"}},
        {{"Content-Type", "text/plain"}, {"Content-Encoding", "gzip"}}}) {
    const http::HttpResponse answer = post(wrong);
    EXPECT_EQ(answer.status, 415);
    EXPECT_EQ(value_of(answer, "accept-encoding"), "");
  }
}

TEST_F(ApiGatewayTest, ARefusalBelowTheRoutesIsCountedAndReadByBrowsers) {
  const http::HttpRequestHead head = head_of("POST", "/tokenize", {{"Origin", "http://ui"}, {"x-request-id", "7"}});
  const http::HttpResponse answer = gateway_.on_refused(413, "the body is too long", &head);
  EXPECT_EQ(value_of(answer, "x-request-id"), "7");
  EXPECT_EQ(value_of(answer, "access-control-allow-origin"), "http://ui");
  EXPECT_NE(gateway_.state().render_metrics().find(R"(http_requests_total{handler="/tokenize",method="POST",status="4xx"} 1)"),
            std::string::npos);
  EXPECT_TRUE(gateway_.on_refused(400, "no head", nullptr).headers.empty());
}

TEST_F(ApiGatewayTest, TheDoorOfMetricsCarriesTheSame) {
  MetricsHandler metrics(gateway_);
  const std::vector<http::HttpHeader> from_ui = {{"Origin", "http://ui"}, {"x-request-id", "7"}};
  for (const auto& [method, path, status] : {std::tuple{"GET", "/metrics", 200}, std::tuple{"GET", "/health", 404},
                                             std::tuple{"POST", "/metrics", 405}, std::tuple{"OPTIONS", "/metrics", 204}}) {
    const http::HttpResponse answer = call(metrics, head_of(method, path, from_ui));
    EXPECT_EQ(answer.status, status) << method << path;
    EXPECT_EQ(value_of(answer, "x-request-id"), "7");
    EXPECT_EQ(value_of(answer, "access-control-allow-origin"), "http://ui");
  }
}

TEST_F(ApiGatewayTest, WhenTheLastReplicaIsGoneRequestsAreRefusedBeforeTheirBody) {
  faults_->fail_rank = 1;
  (void)post({{"Content-Type", "application/json"}});
  ASSERT_TRUE(await_none_left());
  const auto refused = gateway_.on_head(head_of("POST", "/v1/completions", {{"Content-Type", "application/json"}}));
  ASSERT_TRUE(refused);
  EXPECT_EQ(refused->status, 503);
  EXPECT_NE(value_of(*refused, "retry-after"), "");
}

TEST_F(ApiGatewayTest, ARequestThatWasAnsweredIsOpenNoMore) {
  EXPECT_EQ(post({{"Content-Type", "application/json"}}).status, 200);
  EXPECT_TRUE(gateway_.await_drained(std::chrono::minutes(1)));
  EXPECT_NE(gateway_.state().render_metrics().find("vllm:generation_tokens_total"), std::string::npos);
}

// Its text thread asks for the time in the middle of the first request, and gets it when the test says so.
class BusyTextTest : public ApiGatewayTest {
 protected:
  ApiConfig held_config() {
    ApiConfig held = config();
    held.intake.unix_time = [this] {
      if (holds_.exchange(false)) {
        reached_.set_value();
        go_.get_future().wait();
      }
      return std::int64_t{1700000000};
    };
    return held;
  }
  ~BusyTextTest() override { busy_.stop(); }

  std::shared_ptr<FakeResponder> begin(std::function<void()>& on_gone) {
    auto responder = std::make_shared<FakeResponder>();
    const auto head = head_of("POST", "/v1/completions", {{"Content-Type", "application/json"}});
    busy_.on_request({head, R"({"prompt":[5,6],"max_tokens":2})"}, responder, on_gone);
    return responder;
  }
  std::shared_ptr<FakeResponder> hold_text_thread() {
    holds_ = true;
    auto responder = begin(first_gone_);
    reached_.get_future().wait();
    return responder;
  }

  std::atomic<bool> holds_{false};
  std::promise<void> reached_;
  std::promise<void> go_;
  std::function<void()> first_gone_;
  ApiGateway busy_{held_config(), reader(), event_ids_, numerics_, cluster_.client(), metrics_, log_};
};

TEST_F(BusyTextTest, AScrapeDoesNotWaitForTexts) {
  const auto first = hold_text_thread();
  EXPECT_EQ(call(busy_, head_of("GET", "/metrics")).status, 200);
  EXPECT_EQ(call(busy_, head_of("GET", "/health")).status, 200);
  EXPECT_FALSE(first->ended());
  go_.set_value();
  EXPECT_TRUE(first->await_end());
}

TEST_F(BusyTextTest, WhatAClientSentGoesWithIt) {
  const auto first = hold_text_thread();
  std::function<void()> gone;
  const auto second = begin(gone);
  EXPECT_GT(second.use_count(), 1);
  gone();
  EXPECT_EQ(second.use_count(), 1) << "nothing holds the request any more, though its turn has not come";
  go_.set_value();
  EXPECT_TRUE(first->await_end());
  EXPECT_TRUE(busy_.await_drained(std::chrono::minutes(1)));
  EXPECT_FALSE(second->ended());
}

TEST_F(BusyTextTest, ADrainWaitsForWhatIsNotReadYet) {
  const auto first = hold_text_thread();
  std::function<void()> gone;
  const auto second = begin(gone);
  EXPECT_FALSE(busy_.await_drained(std::chrono::milliseconds(0)));
  go_.set_value();
  EXPECT_TRUE(busy_.await_drained(std::chrono::minutes(1)));
  for (const auto& responder : {first, second}) {
    EXPECT_TRUE(responder->await_end());
    EXPECT_EQ(responder->answer().value_or(http::HttpResponse{}).status, 200);
  }
}

TEST_F(ApiGatewayTest, WithoutTheFlagThereAreNoPages) {
  for (const char* path : {"/ui", "/ui/", "/ui/chat", "/ui/status.json", "/ui/pages.css"}) {
    EXPECT_EQ(get(path).status, 404) << path;
    EXPECT_EQ(call(gateway_, head_of("POST", path)).status, 404) << path << ": a 405 would say that there is something";
  }
}

class PagesTest : public ApiGatewayTest {
 protected:
  static ApiConfig with_pages(observability::RecentEvents& events) {
    ApiConfig with = config();
    with.pages.emplace().events = &events;
    with.pages->words.name = "gateway-1";
    with.pages->nodes = [] { return std::vector<pages::NodePlace>{{"node-1", "10.0.0.1:7000"}}; };
    return with;
  }
  ~PagesTest() override { pages_.stop(); }
  http::HttpResponse page(const std::string& path, std::vector<http::HttpHeader> headers = {}) {
    return call(pages_, head_of("GET", path, std::move(headers)));
  }

  observability::RecentEvents events_{[] { return std::int64_t{1700000000}; }};
  ApiGateway pages_{with_pages(events_), reader(), event_ids_, numerics_, cluster_.client(), metrics_, log_};
};

TEST_F(PagesTest, ThePagesAreOpenAndTheirDataIsAsMetricsAre) {
  EXPECT_EQ(page("/ui/status.json").status, 200);
  pages_.set_keys(*access::ApiKeys::from_keys({"sk-one-0123456789"}));
  for (const char* path : {"/ui", "/ui/chat", "/ui/status.js"}) {
    EXPECT_EQ(page(path).status, 200) << path;
    EXPECT_EQ(call(pages_, head_of("HEAD", path)).status, 200) << path;
    EXPECT_NE(value_of(page(path), "content-security-policy"), "") << path;
  }
  for (const char* path : {"/ui/status.json", "/metrics", "/ui/none"}) EXPECT_EQ(page(path).status, 401) << path;
  EXPECT_EQ(page("/ui/status.json", {{"Authorization", "Bearer sk-one-0123456789"}}).status, 200);
  EXPECT_EQ(page("/ui/none", {{"Authorization", "Bearer sk-one-0123456789"}}).status, 404);
  EXPECT_EQ(call(pages_, head_of("POST", "/ui")).status, 405);
}

TEST_F(PagesTest, TheDataIsOfTheClusterAndKeptByNobody) {
  const http::HttpResponse answer = page("/ui/status.json");
  EXPECT_EQ(answer.content_type, "application/json");
  EXPECT_EQ(value_of(answer, "cache-control"), "no-store");
  EXPECT_EQ(value_of(answer, "x-content-type-options"), "nosniff");
  const boost::json::value value = json_of(answer.body);
  EXPECT_EQ(value.at("server").at("name"), boost::json::value("gateway-1"));
  EXPECT_EQ(value.at("server").at("model"), boost::json::value("toy"));
  EXPECT_EQ(value.at("server").at("version"), boost::json::value("test"));
  EXPECT_EQ(value.at("server").at("started"), boost::json::value(1700000000));
  EXPECT_EQ(value.at("server").at("health"), boost::json::value("ok"));
  EXPECT_EQ(value.at("replicas").as_array().size(), 1U);
  EXPECT_EQ(value.at("nodes").at(0).at("name"), boost::json::value("node-1"));
}

TEST_F(ApiGatewayTest, OptionsOfTheServerItselfIsAnswered) {
  EXPECT_EQ(call(gateway_, head_of("OPTIONS", "*")).status, 204);
}

}  // namespace
}  // namespace herd::api
