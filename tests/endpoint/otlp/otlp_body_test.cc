#include "endpoint/otlp/otlp_body.h"

#include <gtest/gtest.h>

namespace herd::otlp {
namespace {

using trace::Span;

Span span() {
  const auto context = *trace::read_trace_context("00-5b8efff798038103d269b633813fc60c-eee19b7ec3c1b174-01", "");
  Span span;
  span.trace = context.trace;
  span.id = context.span;
  span.name = "chat demo";
  span.kind = trace::SpanKind::kServer;
  span.begin_unix_ns = 1'763'726'400'000'000'000;
  span.end_unix_ns = 1'763'726'401'000'000'000;
  return span;
}

constexpr const char* kHead =
    R"({"resourceSpans":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"herd"}}]},)"
    R"("scopeSpans":[{"scope":{"name":"herd"},"spans":[)";
constexpr const char* kTail = "]}]}]}";

std::string body(const Span& one) { return trace_body({{"service.name", "herd"}}, {one}); }

TEST(OtlpBody, ASpanWithEverything) {
  Span full = span();
  full.parent = trace::read_trace_context("00-5b8efff798038103d269b633813fc60c-051581bf3cb55c13-01", "")->span;
  full.state = "vendor=1";
  full.attributes = {{"gen_ai.usage.input_tokens", std::int64_t{12}},
                     {"gen_ai.request.temperature", 0.5},
                     {"gen_ai.request.stream", true},
                     {"gen_ai.response.finish_reasons", std::vector<std::string>{"stop", "length"}},
                     {"gen_ai.operation.name", "chat"}};
  full.events = {{"first token", 1'763'726'400'200'000'000}};
  full.links = {full.parent};
  full.status = trace::SpanStatus::kError;
  full.status_message = "replica 0: rank 1 died";
  EXPECT_EQ(body(full),
            std::string(kHead) +
                R"({"traceId":"5b8efff798038103d269b633813fc60c","spanId":"eee19b7ec3c1b174","traceState":"vendor=1",)"
                R"("parentSpanId":"051581bf3cb55c13","name":"chat demo","kind":2,"startTimeUnixNano":"1763726400000000000",)"
                R"("endTimeUnixNano":"1763726401000000000","attributes":[)"
                R"({"key":"gen_ai.usage.input_tokens","value":{"intValue":"12"}},)"
                R"({"key":"gen_ai.request.temperature","value":{"doubleValue":0.5}},)"
                R"({"key":"gen_ai.request.stream","value":{"boolValue":true}},)"
                R"({"key":"gen_ai.response.finish_reasons","value":{"arrayValue":{"values":[{"stringValue":"stop"},{"stringValue":"length"}]}}},)"
                R"({"key":"gen_ai.operation.name","value":{"stringValue":"chat"}}],)"
                R"("events":[{"timeUnixNano":"1763726400200000000","name":"first token"}],)"
                R"("links":[{"traceId":"5b8efff798038103d269b633813fc60c","spanId":"051581bf3cb55c13"}],)"
                R"("status":{"code":2,"message":"replica 0: rank 1 died"}})" +
                kTail);
}

TEST(OtlpBody, WhatIsNotThereIsLeftOut) {
  EXPECT_EQ(body(span()), std::string(kHead) +
                              R"({"traceId":"5b8efff798038103d269b633813fc60c","spanId":"eee19b7ec3c1b174","name":"chat demo","kind":2,)"
                              R"("startTimeUnixNano":"1763726400000000000","endTimeUnixNano":"1763726401000000000","attributes":[],)"
                              R"("status":{"code":0}})" +
                              kTail);
}

TEST(OtlpBody, TextsAreMadeFitAndNumbersFinite) {
  Span odd = span();
  odd.name = "a\"b\\c\n\x01\xff";
  odd.attributes = {{"x", 1.0 / 0.0}, {"y", std::string(5000, 'y')}};
  const std::string made = body(odd);
  EXPECT_NE(made.find(R"("name":"a\"b\\c\n\u0001)" "\xef\xbf\xbd\""), std::string::npos) << made.substr(0, 400);
  EXPECT_NE(made.find(R"({"key":"x","value":{"doubleValue":0}})"), std::string::npos);
  EXPECT_LT(made.size(), 3000U);
}

TEST(OtlpBody, SpansStandOneBehindTheOther) {
  const std::string two = trace_body({}, {span(), span()});
  EXPECT_TRUE(two.starts_with(R"({"resourceSpans":[{"resource":{"attributes":[]},"scopeSpans":)")) << two;
  EXPECT_NE(two.find("}},{\"traceId\""), std::string::npos);
}

}  // namespace
}  // namespace herd::otlp
