// The body of one request, with the time it may take: no sockets, the clock is an argument.
#include "endpoint/http/request_body.h"

#include <gtest/gtest.h>

#include <string>
#include <string_view>

namespace herd::http {
namespace {

constexpr std::int64_t kSecond = 1'000'000'000;

HttpLimits limits() {
  HttpLimits limits;
  limits.body_bytes = 64;
  limits.body_time = std::chrono::seconds(30);
  limits.body_grace = std::chrono::seconds(5);
  limits.body_bytes_per_s_min = 10;
  return limits;
}

ParsedHead of_length(std::uint64_t length) {
  ParsedHead head;
  head.framing = length > 0 ? BodyFraming::kLength : BodyFraming::kNone;
  head.content_length = length;
  return head;
}

ParsedHead chunked() {
  ParsedHead head;
  head.framing = BodyFraming::kChunked;
  return head;
}

TEST(RequestBody, TakesItsLengthAndLeavesTheNextRequest) {
  const HttpLimits bounds = limits();
  RequestBody body(bounds);
  body.begin(of_length(5), bounds.body_bytes, {});
  std::string_view first = "he";
  EXPECT_EQ(body.read(first), ReadStep::kMore);
  EXPECT_TRUE(first.empty());
  std::string_view rest = "lloGET /";
  EXPECT_EQ(body.read(rest), ReadStep::kDone);
  EXPECT_EQ(rest, "GET /");
  EXPECT_EQ(body.take(), "hello");
}

TEST(RequestBody, OfNoLengthIsDoneAtOnce) {
  const HttpLimits bounds = limits();
  RequestBody body(bounds);
  body.begin(of_length(0), bounds.body_bytes, {});
  std::string_view next = "GET /";
  EXPECT_EQ(body.read(next), ReadStep::kDone);
  EXPECT_EQ(next, "GET /");
  EXPECT_EQ(body.take(), "");
}

TEST(RequestBody, JoinsChunksAndSaysWhyItRefuses) {
  const HttpLimits bounds = limits();
  RequestBody body(bounds);
  body.begin(chunked(), bounds.body_bytes, {});
  std::string_view whole = "5\r\nhello\r\n0\r\n\r\nGET";
  EXPECT_EQ(body.read(whole), ReadStep::kDone);
  EXPECT_EQ(whole, "GET");
  EXPECT_EQ(body.take(), "hello");
  body.begin(chunked(), bounds.body_bytes, {});
  std::string_view long_one = "41\r\n";  // 65 bytes
  EXPECT_EQ(body.read(long_one), ReadStep::kRefused);
  EXPECT_EQ(body.refusal().status, 413);
}

TEST(RequestBody, ABodyForgetsTheOneBefore) {
  const HttpLimits bounds = limits();
  RequestBody body(bounds);
  body.begin(chunked(), bounds.body_bytes, {});
  std::string_view half = "5\r\nhel";
  EXPECT_EQ(body.read(half), ReadStep::kMore);
  body.begin(of_length(2), bounds.body_bytes, {});
  std::string_view bytes = "ok";
  EXPECT_EQ(body.read(bytes), ReadStep::kDone);
  EXPECT_EQ(body.take(), "ok");
}

TEST(RequestBody, WhatComesEarnsTimeUpToTheWholeBodys) {
  const HttpLimits bounds = limits();
  RequestBody body(bounds);
  body.begin(of_length(60), bounds.body_bytes, {2 * kSecond});
  EXPECT_EQ(body.deadline(), (Instant{7 * kSecond}));  // the grace
  body.on_received(20);
  EXPECT_EQ(body.deadline(), (Instant{9 * kSecond}));  // 20 bytes at 10 bytes/s
  body.on_received(1000);
  EXPECT_EQ(body.deadline(), (Instant{32 * kSecond}));
  body.begin(of_length(60), bounds.body_bytes, {40 * kSecond});
  EXPECT_EQ(body.deadline(), (Instant{45 * kSecond}));
}

TEST(RequestBody, WithoutARateOnlyTheWholeTimeCounts) {
  HttpLimits bounds = limits();
  bounds.body_bytes_per_s_min = 0;
  RequestBody body(bounds);
  body.begin(of_length(60), bounds.body_bytes, {kSecond});
  EXPECT_EQ(body.deadline(), (Instant{31 * kSecond}));
}

}  // namespace
}  // namespace herd::http
