// FrontDoor: what is said while the model is loaded, and whom it turns away at any time.
#include "endpoint/api/front_door.h"

#include <gtest/gtest.h>

#include "tests/endpoint/api/called_handler.h"

namespace herd::api {
namespace {

// Says "in" to everybody.
class Inside final : public http::HttpHandler {
 public:
  std::optional<http::HttpResponse> on_head(const http::HttpRequestHead&) override {
    return http::HttpResponse{200, "", {}, "in"};
  }
  void on_request(http::HttpRequest, std::shared_ptr<http::HttpResponder>, std::function<void()>&) override {}
  http::HttpResponse on_refused(int status, const std::string& why, const http::HttpRequestHead* head) override {
    return {status, "", {}, "inside: " + why + (head != nullptr ? head->path : "")};
  }
};

struct Door {
  explicit Door(bool checks_hosts = true)
      : door(AnswerHeaders({"http://ui"}, [](std::span<std::uint8_t> bytes) { std::ranges::fill(bytes, 1); }),
             checks_hosts ? std::optional(*access::AllowedHosts::make({"herd.example.com"}, "127.0.0.1"))
                          : std::nullopt) {}
  Inside inside;
  FrontDoor door;
};

const std::vector<http::HttpHeader> kFromUi = {{"Origin", "http://ui"}, {"x-request-id", "7"}};

TEST(FrontDoor, WhileLoadingItLivesAndNothingElse) {
  Door test;
  for (const char* method : {"GET", "HEAD"}) {
    EXPECT_EQ(call(test.door, head_of(method, "/live")).status, 200);
    for (const char* path : {"/health", "/ping"}) {
      const http::HttpResponse answer = call(test.door, head_of(method, path, kFromUi));
      EXPECT_EQ(answer.status, 503) << path;
      EXPECT_EQ(answer.body, R"({"status":"loading"})");
      EXPECT_EQ(value_of(answer, "retry-after"), "1");
      EXPECT_EQ(value_of(answer, "access-control-allow-origin"), "http://ui");
    }
  }
  EXPECT_EQ(call(test.door, head_of("POST", "/ping")).body, R"({"status":"loading"})");
  for (const char* path : {"/ready", "/v1/models", "/metrics", "/no/such", "/"}) {
    const http::HttpResponse answer = call(test.door, head_of("GET", path, kFromUi));
    EXPECT_EQ(answer.status, 503) << path;
    EXPECT_EQ(json_of(answer.body).at("error").at("type").as_string(), "ServiceUnavailableError");
    EXPECT_EQ(value_of(answer, "x-request-id"), "7");
    EXPECT_EQ(value_of(answer, "access-control-allow-origin"), "http://ui");
    EXPECT_EQ(value_of(answer, "x-should-retry"), "") << "a repeat helps";
  }
  EXPECT_EQ(call(test.door, head_of("OPTIONS", "/v1/models", kFromUi)).status, 204);
  test.door.open(test.inside);
  for (const char* path : {"/health", "/no/such"}) EXPECT_EQ(call(test.door, head_of("GET", path)).body, "in");
}

TEST(FrontDoor, ProbesAreAnsweredBeyondTheLimitsOfConnections) {
  Door test;
  for (const char* path : {"/live", "/ready", "/health", "/ping"})
    EXPECT_TRUE(test.door.answers_over_limit(head_of("GET", path))) << path;
  for (const char* path : {"/metrics", "/v1/models", "/no/such"})
    EXPECT_FALSE(test.door.answers_over_limit(head_of("GET", path))) << path;
  EXPECT_FALSE(test.door.answers_over_limit(head_of("POST", "/live")));
  test.door.open(test.inside);
  EXPECT_FALSE(test.door.answers_over_limit(head_of("GET", "/live"))) << "it is for the handler to say";
}

TEST(FrontDoor, ARefusalCarriesWhatAnyAnswerCarries) {
  Door test;
  const http::HttpRequestHead head = head_of("POST", "/v1/completions", kFromUi);
  const http::HttpResponse known = test.door.on_refused(413, "too long", &head);
  EXPECT_EQ(known.status, 413);
  EXPECT_EQ(value_of(known, "x-request-id"), "7");
  EXPECT_EQ(value_of(known, "access-control-allow-origin"), "http://ui");
  const http::HttpResponse unknown = test.door.on_refused(400, "no head", nullptr);
  EXPECT_TRUE(unknown.headers.empty());
  EXPECT_EQ(value_of(test.door.on_refused(505, "another version", nullptr), "x-should-retry"), "false");
  test.door.open(test.inside);
  EXPECT_EQ(test.door.on_refused(413, "too long", &head).body, "inside: too long/v1/completions");
}

// On every route, known or not, before and after the model is there.
TEST(FrontDoor, ANameOfSomebodyElseIsTurnedAway) {
  Door test;
  for (const bool open : {false, true}) {
    if (open) test.door.open(test.inside);
    for (const char* method : {"GET", "HEAD", "POST", "OPTIONS", "DELETE"}) {
      for (const char* path : {"/live", "/health", "/v1/models", "/v1/completions", "/metrics", "/no/such", "*"}) {
        http::HttpRequestHead head = head_of(method, path, kFromUi);
        head.host = "rebound.example.com:8000";
        EXPECT_EQ(call(test.door, head).status, 421) << method << path;
        head.host = "";
        EXPECT_EQ(call(test.door, head).status, 421) << method << path;
        head.host = "herd.example.com";
        EXPECT_NE(call(test.door, head).status, 421) << method << path;
      }
    }
  }
  Door closed;
  http::HttpRequestHead head = head_of("GET", "/v1/models", kFromUi);
  head.host = "rebound.example.com";
  const http::HttpResponse answer = call(closed.door, head);
  EXPECT_EQ(value_of(answer, "x-request-id"), "7");
  EXPECT_EQ(value_of(answer, "access-control-allow-origin"), "http://ui");
  EXPECT_NE(json_of(answer.body).at("error").at("message").as_string().find("--allowed-hosts"), std::string::npos);
  EXPECT_EQ(answer.body.find("rebound"), std::string::npos) << "what strangers sent is not repeated";
}

// No page makes a browser send these: a whole URL goes to a proxy that its user has set, and HTTP/1.0 may have no Host.
TEST(FrontDoor, WhatNoBrowserCanBeMadeToSendIsLetIn) {
  Door test;
  test.door.open(test.inside);
  http::HttpRequestHead head = head_of("GET", "/health");
  head.host = "any.example";
  head.absolute = true;
  EXPECT_EQ(call(test.door, head).status, 200);
  head.host = std::nullopt;
  head.absolute = false;
  EXPECT_EQ(call(test.door, head).status, 200);
}

TEST(FrontDoor, WhereKeysAreAskedForAnyNameWillDo) {
  Door test(false);
  test.door.open(test.inside);
  http::HttpRequestHead head = head_of("GET", "/health");
  head.host = "rebound.example.com";
  EXPECT_EQ(call(test.door, head).status, 200);
}

}  // namespace
}  // namespace herd::api
