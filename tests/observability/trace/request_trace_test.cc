#include "observability/trace/request_trace.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

namespace herd::trace {
namespace {

using gateway::AttemptCut;
using gateway::AttemptCutBy;
using gateway::RunOn;
using step::FinishReason;
using step::TokenDelta;

constexpr std::int64_t kUnix_ns = 1'763'726'400'000'000'000;
constexpr Instant at(double seconds) { return seconds_after({}, seconds); }
constexpr std::int64_t unix_at(double seconds) { return kUnix_ns + at(seconds).ns - at(100).ns; }

RequestTraceBegin begin() {
  RequestTraceBegin begin;
  begin.context = *read_trace_context("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "vendor=1");
  begin.parent = read_trace_context("00-4bf92f3577b34da6a3ce929d0e0e4736-1111111111111111-01", "")->span;
  begin.id_seed = 7;
  begin.arrived = at(100);
  begin.arrived_unix_ns = kUnix_ns;
  begin.attributes = {{"server.port", std::int64_t{8000}}};
  return begin;
}

// A prompt of 3 tokens; `replayed` output tokens behind it.
RunOn run(std::uint32_t replica, std::uint64_t epoch, std::uint32_t attempt, std::size_t replayed) {
  RunOn run;
  run.to.generation = {ReplicaId(replica), Epoch(epoch)};
  run.submission.attempt = attempt;
  run.submission.tokens.assign(3 + replayed, 5);
  run.submission.prompt_tokens = 3;
  return run;
}

TokenDelta token(std::uint32_t cached = 0, FinishReason finish = FinishReason::kNone) {
  TokenDelta delta;
  delta.has_token = true;
  delta.cached_tokens = cached;
  delta.queued_s = 0.25F;
  delta.prefill_s = 0.5F;
  delta.finish = finish;
  return delta;
}

AttemptCut cut(AttemptCutBy by) { return {.request = {}, .by = by, .why = {StatusCode::kAborted, "replica 0: rank 1 died"}}; }

RequestSpan request_span() { return {.name = "chat demo", .attributes = {{"gen_ai.operation.name", "chat"}}}; }

const AttributeValue* attribute(const Span& span, std::string_view name) {
  const auto found = std::ranges::find(span.attributes, name, &Attribute::name);
  return found == span.attributes.end() ? nullptr : &found->value;
}
std::int64_t number(const Span& span, std::string_view name) {
  const auto* value = attribute(span, name);
  return value == nullptr ? -1 : std::get<std::int64_t>(*value);
}
std::string word(const Span& span, std::string_view name) {
  const auto* value = attribute(span, name);
  return value == nullptr ? "" : std::get<std::string>(*value);
}

std::vector<Span> named(const Spans& spans, std::string_view name) {
  std::vector<Span> found;
  for (const Span& span : spans)
    if (span.name == name) found.push_back(span);
  return found;
}

void expect_span(const Spans& spans, std::string_view name, double from, double to) {
  const auto found = named(spans, name);
  ASSERT_EQ(found.size(), 1U) << name;
  EXPECT_EQ(found[0].begin_unix_ns, unix_at(from)) << name;
  EXPECT_EQ(found[0].end_unix_ns, unix_at(to)) << name;
}

TEST(RequestTrace, ARequestThatGoesWellIsFivePiecesOfTimeAndAnAttempt) {
  RequestTrace trace(begin());
  trace.on_read(at(100.5));
  trace.on_started(at(101));
  trace.on_attempt(0, run(2, 9, 0, 0), at(101));
  trace.on_delta(0, token(2), at(103));
  trace.on_delta(0, token(2), at(104));
  trace.on_delta(0, token(2, FinishReason::kLength), at(105));
  EXPECT_EQ(trace.first_token_s(), 3.0);
  EXPECT_EQ(trace.finish_reasons(), (std::vector<std::string>{"length"}));
  const Spans spans = trace.end(request_span(), at(106));

  ASSERT_EQ(spans.size(), 6U);
  const Span& server = spans.front();
  EXPECT_EQ(server.name, "chat demo");
  EXPECT_EQ(server.kind, SpanKind::kServer);
  EXPECT_EQ(hex(server.id), "00f067aa0ba902b7");
  EXPECT_EQ(hex(server.parent), "1111111111111111");
  EXPECT_EQ(server.state, "vendor=1");
  EXPECT_EQ(number(server, "server.port"), 8000);
  EXPECT_EQ(word(server, "gen_ai.operation.name"), "chat");
  EXPECT_EQ(server.events, (std::vector<SpanEvent>{{"first token", unix_at(103)}}));
  expect_span(spans, "chat demo", 100, 106);
  expect_span(spans, "read", 100, 100.5);
  expect_span(spans, "queue", 100.5, 102.5);  // prefill took half a second
  expect_span(spans, "prefill", 102.5, 103);
  expect_span(spans, "decode", 103, 105);
  expect_span(spans, "attempt", 101, 105);
  std::set<std::string> ids;
  for (const Span& span : spans) {
    ids.insert(hex(span.id));
    EXPECT_EQ(span.trace, server.trace);
    EXPECT_EQ(span.parent, &span == &server ? begin().parent : server.id) << span.name;
  }
  EXPECT_EQ(ids.size(), spans.size());
  const Span attempt = named(spans, "attempt")[0];
  EXPECT_EQ(number(attempt, "herd.replica"), 2);
  EXPECT_EQ(number(attempt, "herd.epoch"), 9);
  EXPECT_EQ(number(attempt, "herd.attempt.number"), 0);
  EXPECT_EQ(number(attempt, "herd.attempt.replayed_tokens"), 0);
  EXPECT_EQ(number(attempt, "herd.attempt.cached_tokens"), 2);
  EXPECT_EQ(number(attempt, "herd.attempt.output_tokens"), 3);
  EXPECT_EQ(word(attempt, "herd.attempt.outcome"), "finished");
  EXPECT_EQ(attempt.events, (std::vector<SpanEvent>{{"first token", unix_at(103)}}));
  EXPECT_TRUE(attempt.links.empty());
  EXPECT_EQ(attempt.status, SpanStatus::kUnset);
}

// A leader says how long its prefill took; it may say anything.
TEST(RequestTrace, APrefillIsNoLongerThanTheRequestIsHere) {
  RequestTrace trace(begin());
  trace.on_read(at(100.5));
  trace.on_started(at(101));
  trace.on_attempt(0, run(2, 9, 0, 0), at(101));
  TokenDelta first = token(0, FinishReason::kLength);
  first.prefill_s = 1e30F;
  trace.on_delta(0, first, at(103));
  const Spans spans = trace.end(request_span(), at(103));
  expect_span(spans, "queue", 100.5, 100.5);
  expect_span(spans, "prefill", 100.5, 103);
}

//   attempt 0 on replica 0, epoch 1: two tokens, then the replica is lost
//   attempt 1 on replica 1, epoch 4: computes the two again, and goes on
TEST(RequestTrace, AnAttemptThatIsLostIsFollowedByOneThatLinksToIt) {
  RequestTrace trace(begin());
  trace.on_read(at(100));
  trace.on_started(at(100));
  trace.on_attempt(0, run(0, 1, 0, 0), at(100));
  trace.on_delta(0, token(), at(102));
  trace.on_delta(0, token(), at(103));
  trace.on_attempt_cut(0, cut(AttemptCutBy::kLoss), at(104));
  trace.on_attempt(0, run(1, 4, 1, 2), at(105));
  trace.on_delta(0, token(1), at(107));
  trace.on_delta(0, token(1, FinishReason::kStop), at(108));
  const Spans spans = trace.end(request_span(), at(108));

  const auto attempts = named(spans, "attempt");
  ASSERT_EQ(attempts.size(), 2U);
  EXPECT_EQ(word(attempts[0], "herd.attempt.outcome"), "replica_lost");
  EXPECT_EQ(word(attempts[0], "herd.attempt.reason"), "replica 0: rank 1 died");
  EXPECT_EQ(attempts[0].status, SpanStatus::kError);
  EXPECT_EQ(attempts[0].status_message, "replica 0: rank 1 died");
  EXPECT_EQ(attempts[0].end_unix_ns, unix_at(104));
  EXPECT_EQ(word(attempts[1], "herd.attempt.outcome"), "finished");
  EXPECT_EQ(attempts[1].begin_unix_ns, unix_at(105));
  EXPECT_EQ(number(attempts[1], "herd.attempt.replayed_tokens"), 2);
  EXPECT_EQ(number(attempts[1], "herd.attempt.cached_tokens"), 1);
  EXPECT_EQ(attempts[1].links, (std::vector<SpanId>{attempts[0].id}));
  EXPECT_EQ(attempts[1].events, (std::vector<SpanEvent>{{"first token", unix_at(107)}}));
  expect_span(spans, "decode", 102, 108);
}

TEST(RequestTrace, EveryWayToBeCutShortHasAName) {
  const std::vector<std::pair<AttemptCutBy, std::string>> all{
      {AttemptCutBy::kLoss, "replica_lost"},   {AttemptCutBy::kStop, "replica_stopped"}, {AttemptCutBy::kLink, "link_cut"},
      {AttemptCutBy::kDrain, "replica_drains"}, {AttemptCutBy::kSlowness, "replica_slow"}, {AttemptCutBy::kRefusal, "refused"},
      {AttemptCutBy::kUnsent, "not_sent"},     {AttemptCutBy::kSuspicion, "suspected"}};
  RequestTrace trace(begin());
  for (std::uint32_t i = 0; i < all.size(); ++i) {
    trace.on_attempt(0, run(i, 1, i, 0), at(101 + i));
    trace.on_attempt_cut(0, cut(all[i].first), at(101.5 + i));
  }
  const auto attempts = named(trace.end(request_span(), at(200)), "attempt");
  ASSERT_EQ(attempts.size(), all.size());
  for (std::size_t i = 0; i < all.size(); ++i) {
    EXPECT_EQ(word(attempts[i], "herd.attempt.outcome"), all[i].second);
    const bool in_order = all[i].second == "replica_stopped" || all[i].second == "replica_drains" || all[i].second == "replica_slow" ||
                          all[i].second == "refused";
    EXPECT_EQ(attempts[i].status, in_order ? SpanStatus::kUnset : SpanStatus::kError) << all[i].second;
  }
}

TEST(RequestTrace, ChoicesHaveAttemptsOfTheirOwn) {
  RequestTrace trace(begin());
  trace.on_read(at(100));
  trace.on_started(at(100));
  for (std::uint32_t choice : {0U, 1U}) trace.on_attempt(choice, run(choice, 1, 0, 0), at(100));
  trace.on_delta(1, token(), at(101));
  trace.on_attempt_cut(0, cut(AttemptCutBy::kDrain), at(102));
  trace.on_attempt(0, run(1, 1, 1, 0), at(102));
  trace.on_delta(0, token(), at(103));
  trace.on_choice_stopped(0, at(104));
  trace.on_delta(1, token(0, FinishReason::kLength), at(105));
  EXPECT_EQ(trace.finish_reasons(), (std::vector<std::string>{"stop", "length"}));
  const auto attempts = named(trace.end(request_span(), at(105)), "attempt");
  ASSERT_EQ(attempts.size(), 3U);
  EXPECT_EQ(number(attempts[0], "herd.choice"), 0);
  EXPECT_EQ(number(attempts[1], "herd.choice"), 1);
  EXPECT_EQ(number(attempts[2], "herd.choice"), 0);
  EXPECT_TRUE(attempts[1].links.empty());
  EXPECT_EQ(attempts[2].links, (std::vector<SpanId>{attempts[0].id}));
  EXPECT_EQ(attempts[2].end_unix_ns, unix_at(104)) << "a stop string ends it";
  EXPECT_EQ(attempts[1].end_unix_ns, unix_at(105));
}

TEST(RequestTrace, WhatRunsWhenTheRequestEndsEndsWithIt) {
  RequestTrace trace(begin());
  trace.on_read(at(100));
  trace.on_started(at(101));
  trace.on_attempt(0, run(0, 1, 0, 0), at(101));
  RequestSpan request = request_span();
  request.open_attempts = "client_gone";
  request.status = SpanStatus::kError;
  request.status_message = "why";
  const Spans spans = trace.end(std::move(request), at(102));
  EXPECT_EQ(word(named(spans, "attempt").at(0), "herd.attempt.outcome"), "client_gone");
  EXPECT_TRUE(named(spans, "attempt").at(0).events.empty());
  expect_span(spans, "queue", 100, 101);
  EXPECT_TRUE(named(spans, "prefill").empty());
  EXPECT_EQ(spans.front().status, SpanStatus::kError);
  EXPECT_EQ(spans.front().status_message, "why");
}

TEST(RequestTrace, OneThatNeverStartedWaitedToItsEnd) {
  RequestTrace trace(begin());
  trace.on_read(at(100.5));
  const Spans spans = trace.end(request_span(), at(130));
  ASSERT_EQ(spans.size(), 3U);
  expect_span(spans, "queue", 100.5, 130);
  RequestTrace unread(begin());
  EXPECT_EQ(unread.end(request_span(), at(101)).size(), 1U) << "refused before it was read";
}

TEST(RequestTrace, AttemptsBeyondABoundAreOnlyCounted) {
  RequestTrace trace(begin());
  for (std::uint32_t i = 0; i < kTracedAttemptsMax + 5; ++i) {
    trace.on_attempt(0, run(0, 1, i, 0), at(101));
    trace.on_attempt_cut(0, cut(AttemptCutBy::kRefusal), at(101));
  }
  trace.on_attempt(1, run(0, 1, 0, 0), at(101));
  trace.on_delta(1, token(0, FinishReason::kStop), at(102));
  const Spans spans = trace.end(request_span(), at(102));
  EXPECT_EQ(named(spans, "attempt").size(), kTracedAttemptsMax);
  EXPECT_EQ(number(spans.front(), "herd.attempts_left_out"), 6);
}

TEST(RequestTrace, TheSameEventsMakeTheSameSpans) {
  const auto spans = [] {
    RequestTrace trace(begin());
    trace.on_read(at(100));
    trace.on_attempt(0, run(0, 1, 0, 0), at(101));
    trace.on_delta(0, token(0, FinishReason::kStop), at(102));
    return trace.end(request_span(), at(103));
  };
  EXPECT_EQ(spans(), spans());
}

}  // namespace
}  // namespace herd::trace
