// The load client against an endpoint in the same process that answers as the test says.

#include "commands/load/load_client.h"

#include <algorithm>
#include <chrono>
#include <map>
#include <set>

#include <gtest/gtest.h>

#include "commands/load/endpoint_probe.h"
#include "tests/commands/load/fake_endpoint.h"

namespace herd::load {
namespace {

ClientOptions to(const FakeEndpoint& endpoint) {
  ClientOptions options;
  options.target = {.host = "127.0.0.1", .port = std::to_string(endpoint.port())};
  options.connect_timeout_s = 20.0;
  options.request_timeout_s = 20.0;
  options.keep_text = true;
  return options;
}

std::vector<PlannedRequest> plan_of(std::size_t requests) {
  std::vector<PlannedRequest> plan(requests);
  for (std::size_t i = 0; i < requests; ++i) plan[i].text = "prompt " + std::to_string(i);
  return plan;
}

LoadRun run(const ClientOptions& options, std::size_t requests, const LoadHooks& hooks = {}) {
  auto result = run_load(options, plan_of(requests), *BodyWriter::make({.chat = options.chat, .model = "m"}), hooks);
  EXPECT_TRUE(result) << result.error().message();
  return result ? *result : LoadRun{};
}

bool stream_three(const FakeExchange& exchange) {
  exchange.stream_head();
  for (const char* text : {"a", "b", "c"}) exchange.chunk(token_event(text));
  exchange.chunk(usage_event(5, 3));
  exchange.chunk(kDone);
  exchange.stream_end();
  return true;
}

TEST(LoadClient, StreamsAreCountedOnKeptConnections) {
  FakeEndpoint endpoint(stream_three);
  ClientOptions options = to(endpoint);
  options.max_concurrency = 2;
  options.headers = {{"Authorization", "Bearer k"}, {"X-Seven", "7"}};
  const LoadRun result = run(options, 20);
  ASSERT_EQ(result.records.size(), 20U);
  for (const RequestRecord& record : result.records) {
    EXPECT_EQ(record.outcome, Outcome::kCompleted) << record.error;
    EXPECT_EQ(record.status, 200);
    EXPECT_EQ(record.text, "abc");
    EXPECT_EQ(record.output_tokens, 3U);
    EXPECT_EQ(record.prompt_tokens, 5U);
    EXPECT_EQ(record.gaps_s.size(), 2U);
    EXPECT_GE(record.latency_s, record.ttft_s);
    EXPECT_GE(record.start_s, record.arrival_s);
    EXPECT_LE(record.start_s + record.latency_s, result.duration_s);
  }
  EXPECT_FALSE(result.interrupted);
  EXPECT_LE(endpoint.connections(), 2);
  std::vector<std::string> bodies = endpoint.bodies();
  EXPECT_EQ(std::set<std::string>(bodies.begin(), bodies.end()).size(), 20U) << "each prompt was sent once";
}

TEST(LoadClient, SendsMethodPathHostAndHeaders) {
  std::mutex mutex;
  std::string head;
  FakeEndpoint endpoint([&](const FakeExchange& exchange) {
    const std::lock_guard lock(mutex);
    head = exchange.head;
    return stream_three(exchange);
  });
  ClientOptions options = to(endpoint);
  options.target.base_path = "/base";
  options.headers = {{"Authorization", "Bearer k"}, {"X-Seven", "7"}};
  (void)run(options, 1);
  for (const std::string& part :
       {std::string("POST /base/v1/completions HTTP/1.1\r\n"), "Host: 127.0.0.1:" + options.target.port + "\r\n",
        std::string("Content-Type: application/json\r\n"), std::string("Authorization: Bearer k\r\n"),
        std::string("X-Seven: 7\r\n")})
    EXPECT_NE(head.find(part), std::string::npos) << part << " in " << head;
}

// Every way to cut an answer into segments gives the same record.
TEST(LoadClient, AnswersCutAnywhereAreWhole) {
  std::string whole = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
  for (const std::string& event : {token_event("a"), token_event("b"), kDone}) {
    char size[32];
    std::snprintf(size, sizeof size, "%zx\r\n", event.size());
    whole += size + event + "\r\n";
  }
  whole += "0\r\n\r\n";
  FakeEndpoint endpoint([&](const FakeExchange& exchange) {
    const std::size_t cut = static_cast<std::size_t>(exchange.nth) * 7 % whole.size();
    exchange.send(std::string_view(whole).substr(0, cut));
    std::this_thread::sleep_for(std::chrono::milliseconds(2));  // lets the client read the first part on its own
    exchange.send(std::string_view(whole).substr(cut));
    return true;
  });
  ClientOptions options = to(endpoint);
  options.max_concurrency = 1;
  const LoadRun result = run(options, whole.size() / 7 + 1);
  for (const RequestRecord& record : result.records) {
    ASSERT_EQ(record.outcome, Outcome::kCompleted) << record.error;
    ASSERT_EQ(record.text, "ab");
  }
  EXPECT_EQ(endpoint.connections(), 1);
}

TEST(LoadClient, ABodyUntilTheConnectionClosesIsAStreamToo) {
  FakeEndpoint endpoint([](const FakeExchange& exchange) {
    exchange.send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n" + token_event("a") + kDone);
    return false;
  });
  for (const RequestRecord& record : run(to(endpoint), 3).records)
    EXPECT_EQ(record.outcome, Outcome::kCompleted) << record.error;
}

TEST(LoadClient, ChatUsesItsOwnRouteAndShape) {
  FakeEndpoint endpoint([](const FakeExchange& exchange) {
    if (!exchange.line.starts_with("POST /v1/chat/completions ")) return false;
    exchange.stream_head();
    exchange.chunk(chat_event(R"({"role":"assistant","content":""})"));
    exchange.chunk(chat_event(R"({"content":"Hi"})") + kDone);
    exchange.stream_end();
    return true;
  });
  ClientOptions options = to(endpoint);
  options.chat = true;
  options.endpoint = "/v1/chat/completions";
  const LoadRun result = run(options, 1);
  EXPECT_EQ(result.records[0].outcome, Outcome::kCompleted) << result.records[0].error;
  EXPECT_EQ(result.records[0].output_tokens, 1U);
  EXPECT_NE(endpoint.bodies()[0].find("\"messages\""), std::string::npos);
}

TEST(LoadClient, RefusalsAndErrorsAreToldApart) {
  std::atomic<int> count{0};
  FakeEndpoint endpoint([&](const FakeExchange& exchange) {
    switch (count++ % 4) {
      case 0:
        exchange.answer(503, "Retry-After: 2\r\n", R"({"error":{"message":"queue is full"}})");
        return true;
      case 1:
        exchange.answer(429, "", "");
        return true;
      case 2:
        exchange.answer(500, "", R"({"error":{"message":"oops"}})");
        return true;
      default:
        return stream_three(exchange);
    }
  });
  ClientOptions options = to(endpoint);
  options.max_concurrency = 1;
  const LoadRun result = run(options, 8);
  for (std::size_t i = 0; i < 8; i += 4) {
    EXPECT_EQ(result.records[i].outcome, Outcome::kRefused);
    EXPECT_EQ(result.records[i].error, "HTTP 503: queue is full");
    EXPECT_EQ(result.records[i].retry_after_s, 2.0);
    EXPECT_EQ(result.records[i + 1].outcome, Outcome::kRefused);
    EXPECT_LT(result.records[i + 1].retry_after_s, 0.0);
    EXPECT_EQ(result.records[i + 2].outcome, Outcome::kFailed);
    EXPECT_EQ(result.records[i + 2].status, 500);
    EXPECT_EQ(result.records[i + 3].outcome, Outcome::kCompleted);
  }
  EXPECT_EQ(endpoint.connections(), 1) << "a refusal keeps the connection";
}

TEST(LoadClient, BrokenAnswersAreFailures) {
  const std::vector<std::pair<const char*, std::function<bool(const FakeExchange&)>>> cases = {
      {"cut in the middle",
       [](const FakeExchange& e) {
         e.stream_head();
         e.chunk(token_event("a"));
         return false;
       }},
      {"cut before [DONE]",
       [](const FakeExchange& e) {
         e.stream_head();
         e.chunk(token_event("a"));
         e.stream_end();
         return true;
       }},
      {"closed at once", [](const FakeExchange&) { return false; }},
      {"not HTTP",
       [](const FakeExchange& e) {
         e.send("220 mail.example.org ESMTP\r\n\r\n");
         return false;
       }},
      {"an error event",
       [](const FakeExchange& e) {
         e.stream_head();
         e.chunk(token_event("a"));
         e.chunk("data: {\"error\":{\"message\":\"rank lost\"}}\n\n" + kDone);
         e.stream_end();
         return true;
       }},
      {"not a stream",
       [](const FakeExchange& e) {
         e.answer(200, "", "{\"choices\":[{\"text\":\"a\"}]}");
         return true;
       }},
      {"a bad chunk size",
       [](const FakeExchange& e) {
         e.stream_head();
         e.send("zz\r\n");
         return true;
       }},
      {"a length of 2^63",
       [](const FakeExchange& e) {
         e.send("HTTP/1.1 200 OK\r\nContent-Length: 9223372036854775808\r\n\r\n");
         return false;
       }},
      {"an endless head", [](const FakeExchange& e) {
         e.send("HTTP/1.1 200 OK\r\n");
         for (int i = 0; i < 2000; ++i) e.send("X-Filler: " + std::string(100, 'x') + "\r\n");
         return false;
       }}};
  for (const auto& [name, handler] : cases) {
    FakeEndpoint endpoint(handler);
    const LoadRun result = run(to(endpoint), 2);
    for (const RequestRecord& record : result.records) {
      EXPECT_EQ(record.outcome, Outcome::kFailed) << name;
      EXPECT_NE(record.error, "") << name;
    }
  }
}

TEST(LoadClient, AKeptConnectionThatTheServerClosedIsReplaced) {
  FakeEndpoint endpoint([](const FakeExchange& exchange) {
    if (exchange.nth == 1) return false;  // idle for too long, says the server, without a word
    return stream_three(exchange);
  });
  ClientOptions options = to(endpoint);
  options.max_concurrency = 1;
  const LoadRun result = run(options, 6);
  for (const RequestRecord& record : result.records) EXPECT_EQ(record.outcome, Outcome::kCompleted) << record.error;
  EXPECT_EQ(endpoint.connections(), 6);
}

TEST(LoadClient, ASilentServerTimesOut) {
  FakeEndpoint endpoint([](const FakeExchange& exchange) {
    exchange.stream_head();
    exchange.chunk(token_event("a"));
    return true;
  });
  ClientOptions options = to(endpoint);
  options.request_timeout_s = 0.2;
  const LoadRun result = run(options, 2);
  for (const RequestRecord& record : result.records) {
    EXPECT_EQ(record.outcome, Outcome::kFailed);
    EXPECT_EQ(record.error, "the stream ended without [DONE] after 1 chunks: timed out");
  }
}

TEST(LoadClient, AClosedPortIsAFailureOfEachRequest) {
  int port = 0;
  { port = FakeEndpoint(stream_three).port(); }
  ClientOptions options;
  options.target = {.host = "127.0.0.1", .port = std::to_string(port)};
  const LoadRun result = run(options, 2);
  for (const RequestRecord& record : result.records) {
    EXPECT_EQ(record.outcome, Outcome::kFailed);
    EXPECT_EQ(record.status, 0);
    EXPECT_EQ(record.error, "cannot connect: Connection refused");
  }
}

TEST(LoadClient, StoppingReportsWhatIsThere) {
  std::atomic<int> finished{0};
  FakeEndpoint endpoint([&](const FakeExchange& exchange) {
    if (finished.fetch_add(1) < 2) return stream_three(exchange);
    exchange.stream_head();
    exchange.chunk(token_event("a"));
    return true;  // and never goes on
  });
  ClientOptions options = to(endpoint);
  options.max_concurrency = 2;
  std::size_t seen = 0;
  LoadHooks hooks;
  hooks.progress = [&](const Progress& progress) { seen = progress.completed; };
  hooks.stop = [&] { return seen == 2 && finished.load() >= 4; };
  const LoadRun result = run(options, 10, hooks);
  EXPECT_TRUE(result.interrupted);
  std::map<Outcome, int> outcomes;
  for (const RequestRecord& record : result.records) ++outcomes[record.outcome];
  EXPECT_EQ(outcomes[Outcome::kCompleted], 2);
  EXPECT_EQ(outcomes[Outcome::kUnfinished], 2);
  EXPECT_EQ(outcomes[Outcome::kNotSent], 6);
}

TEST(LoadClient, ArrivalsFollowThePlan) {
  FakeEndpoint endpoint(stream_three);
  std::vector<PlannedRequest> plan = plan_of(4);
  for (std::size_t i = 0; i < 4; ++i) plan[i].arrival_s = 0.02 * static_cast<double>(i);
  const auto result = run_load(to(endpoint), plan, *BodyWriter::make({.model = "m"}), {});
  ASSERT_TRUE(result);
  for (std::size_t i = 0; i < 4; ++i) {
    EXPECT_EQ(result->records[i].arrival_s, plan[i].arrival_s);
    EXPECT_GE(result->records[i].start_s, plan[i].arrival_s);
  }
}

TEST(LoadClient, ThreeHundredStreamsAtOnce) {
  std::atomic<int> open{0};
  std::atomic<int> most{0};
  FakeEndpoint endpoint([&](const FakeExchange& exchange) {
    const int now = ++open;
    for (int seen = most.load(); seen < now && !most.compare_exchange_weak(seen, now);) {
    }
    // Answers when all are there, so that they are open together.
    for (int i = 0; i < 2000 && most.load() < 300; ++i) std::this_thread::sleep_for(std::chrono::milliseconds(5));
    return stream_three(exchange);
  });
  const LoadRun result = run(to(endpoint), 300);
  for (const RequestRecord& record : result.records) EXPECT_EQ(record.outcome, Outcome::kCompleted) << record.error;
  EXPECT_EQ(most.load(), 300);
}

TEST(EndpointProbe, FindsTheModelOrSaysWhyNot) {
  FakeEndpoint good([](const FakeExchange& exchange) {
    if (!exchange.line.starts_with("GET /v1/models ")) return false;
    exchange.answer(200, "", R"({"data":[{"id":"first"},{"id":"second"}]})");
    return true;
  });
  EXPECT_EQ(*find_model(to(good), "", 0.0, {}), "first");
  EXPECT_EQ(*find_model(to(good), "wanted", 0.0, {}), "wanted");
  FakeEndpoint locked([](const FakeExchange& exchange) {
    exchange.answer(401, "", R"({"error":{"message":"no key"}})");
    return true;
  });
  const auto refused = find_model(to(locked), "", 0.0, {});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), StatusCode::kMissing);
  EXPECT_NE(refused.error().message().find("/v1/models answered 401 (no key)"), std::string::npos)
      << refused.error().message();
  int port = 0;
  { port = FakeEndpoint(stream_three).port(); }
  ClientOptions closed;
  closed.target = {.host = "127.0.0.1", .port = std::to_string(port)};
  const auto nobody = find_model(closed, "named", 0.0, {});
  ASSERT_FALSE(nobody);
  EXPECT_EQ(nobody.error().code(), StatusCode::kMissing);
  EXPECT_NE(nobody.error().message().find("Connection refused; is the server running?"), std::string::npos);
}

TEST(EndpointProbe, WaitsForAServerThatIsNotReady) {
  std::atomic<int> asked{0};
  FakeEndpoint slow([&](const FakeExchange& exchange) {
    if (asked++ < 2)
      exchange.answer(503, "", "");
    else
      exchange.answer(200, "", R"({"data":[{"id":"m"}]})");
    return true;
  });
  EXPECT_EQ(*find_model(to(slow), "", 30.0, {}), "m");
  EXPECT_EQ(asked.load(), 3);
}

TEST(EndpointProbe, TheAlphabetIsWhatTokenizeSays) {
  FakeEndpoint endpoint([](const FakeExchange& exchange) {
    if (exchange.body.find("\"add_special_tokens\":false") == std::string::npos) return false;
    exchange.answer(200, "", R"({"tokens":[9,4,9,2]})");
    return true;
  });
  EXPECT_EQ(server_alphabet(to(endpoint), "m"), (std::vector<TokenId>{2, 4, 9}));
  FakeEndpoint without([](const FakeExchange& exchange) { return exchange.answer(404, "", "{}"), true; });
  EXPECT_TRUE(server_alphabet(to(without), "m").empty());
}

TEST(Target, BaseUrlsAreTakenApart) {
  struct Case {
    const char* url;
    bool tls;
    const char *host, *port, *path, *shown;
  };
  for (const Case& c :
       std::vector<Case>{{"http://127.0.0.1:8000", false, "127.0.0.1", "8000", "", "http://127.0.0.1:8000"},
                         {"localhost:1", false, "localhost", "1", "", "http://localhost:1"},
                         {"https://host/prefix/", true, "host", "443", "/prefix", "https://host:443/prefix"},
                         {"http://[::1]:80/", false, "::1", "80", "", "http://[::1]:80"},
                         {"http://host", false, "host", "80", "", "http://host:80"}}) {
    const auto target = parse_base_url(c.url);
    ASSERT_TRUE(target) << c.url;
    EXPECT_EQ(target->tls, c.tls) << c.url;
    EXPECT_EQ(target->host, c.host) << c.url;
    EXPECT_EQ(target->port, c.port) << c.url;
    EXPECT_EQ(target->base_path, c.path) << c.url;
    EXPECT_EQ(target->url(), c.shown) << c.url;
  }
  for (const char* bad :
       {"", "ftp://host", "http://", "http://:80", "http://host:", "http://host:0", "http://host:65536",
        "http://host:8x", "http://user@host", "http://host/?q", "http://ho st", "http://[::1", "http://[::1]x"})
    EXPECT_EQ(parse_base_url(bad).error().code(), StatusCode::kUsage) << bad;
}

}  // namespace
}  // namespace herd::load
