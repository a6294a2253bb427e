// What all answers have in common: ids, CORS, the headers of errors.
#include "endpoint/api/answers.h"

#include <gtest/gtest.h>

#include "tests/endpoint/api/called_handler.h"

namespace herd::api {
namespace {

AnswerHeaders headers(std::vector<std::string> origins = {}) {
  return {std::move(origins), [](std::span<std::uint8_t> bytes) { std::ranges::fill(bytes, 0xab); }};
}

http::HttpResponse response(std::vector<http::HttpHeader> fields) { return {200, "", std::move(fields), ""}; }

TEST(Answers, ErrorsSayWhenARepeatHelpsAndWhenNot) {
  const http::HttpResponse late = error_answer(openai::timed_out("late"), {{"x", "y"}});
  EXPECT_EQ(late.status, 504);
  EXPECT_EQ(late.content_type, "application/json");
  EXPECT_EQ(value_of(late, "x-should-retry"), "false");
  EXPECT_EQ(value_of(late, "retry-after"), "");
  EXPECT_EQ(value_of(late, "x"), "y");
  const http::HttpResponse full = error_answer(openai::overloaded("full", 7), {});
  EXPECT_EQ(value_of(full, "x-should-retry"), "");
  EXPECT_EQ(value_of(full, "retry-after"), "7");
  EXPECT_EQ(value_of(error_answer(openai::internal_error(), {}), "x-should-retry"), "false");
  const http::HttpResponse stranger = error_answer(openai::unauthorized(), {});
  EXPECT_EQ(value_of(stranger, "www-authenticate"), "Bearer");
  EXPECT_EQ(value_of(stranger, "x-should-retry"), "");
}

TEST(Answers, AnIdIsTheClientsOrDrawn) {
  const AnswerHeaders made = headers();
  const std::string drawn = std::string(32, ' ').replace(0, 32, "abababababababababababababababab");
  EXPECT_EQ(made.request_id(head_of("GET", "/", {{"X-Request-Id", "mine"}})), "mine");
  for (const std::string& bad : {std::string(), std::string("a b"), std::string(129, 'x')})
    EXPECT_EQ(made.request_id(head_of("GET", "/", {{"x-request-id", bad}})), drawn);
  EXPECT_EQ(made.request_id(head_of("GET", "/")), drawn);
}

TEST(Answers, CorsIsForAllowedOrigins) {
  const http::HttpRequestHead head = head_of("GET", "/", {{"Origin", "http://ui"}});
  EXPECT_EQ(value_of(response(headers().of(head)), "access-control-allow-origin"), "");
  EXPECT_EQ(value_of(response(headers({"http://other"}).of(head)), "access-control-allow-origin"), "");
  EXPECT_EQ(value_of(response(headers({"*"}).of(head)), "access-control-allow-origin"), "*");
  const http::HttpResponse one = response(headers({"http://ui"}).of(head));
  EXPECT_EQ(value_of(one, "access-control-allow-origin"), "http://ui");
  EXPECT_EQ(value_of(one, "vary"), "Origin");
  for (const char* name : {"x-request-id", "retry-after", "x-should-retry", "x-herd-ignored-fields"})
    EXPECT_NE(value_of(one, "access-control-expose-headers").find(name), std::string::npos) << name;
}

TEST(Answers, APreflightSaysWhatMayBeSent) {
  const AnswerHeaders made = headers({"http://ui"});
  const http::HttpResponse answer = made.preflight(
      head_of("OPTIONS", "/x", {{"Origin", "http://ui"}, {"Access-Control-Request-Headers", "x-stainless-lang"}}));
  EXPECT_EQ(answer.status, 204);
  EXPECT_EQ(value_of(answer, "access-control-allow-headers"), "x-stainless-lang");
  EXPECT_NE(value_of(answer, "access-control-allow-methods").find("POST"), std::string::npos);
  EXPECT_EQ(value_of(made.preflight(head_of("OPTIONS", "*")), "access-control-allow-methods"), "");
}

}  // namespace
}  // namespace herd::api
