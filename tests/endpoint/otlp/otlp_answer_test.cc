#include <gtest/gtest.h>

#include "endpoint/otlp/otlp_answer_json.h"

namespace herd::otlp {
namespace {

TEST(TraceAnswer, SaysHowManySpansWereNotWanted) {
  EXPECT_EQ(read_trace_answer(R"({"partialSuccess":{"rejectedSpans":"3","errorMessage":"too old"}})"), (TraceAnswer{3, "too old"}));
  EXPECT_EQ(read_trace_answer(R"({"partialSuccess":{"rejectedSpans":3}})"), (TraceAnswer{3, ""}));
  EXPECT_EQ(read_trace_answer(R"({"partialSuccess":{}})"), TraceAnswer{});
  EXPECT_EQ(read_trace_answer("{}"), TraceAnswer{});
}

TEST(TraceAnswer, WhatIsNoneRejectsNothing) {
  for (const char* body : {"", "ok", "[]", "null", R"({"partialSuccess":7})", R"({"partialSuccess":{"rejectedSpans":"-3"}})",
                           R"({"partialSuccess":{"rejectedSpans":-3}})", R"({"partialSuccess":{"rejectedSpans":[1]}})",
                           R"({"partialSuccess":{"rejectedSpans":"99999999999999999999"}})", R"({"partialSuccess":{"rejectedSpans":"3x"}})",
                           "[[[[[[[[[[[[[[[[[[[[", "{\"a\":\xff}"})
    EXPECT_EQ(read_trace_answer(body), TraceAnswer{}) << body;
}

}  // namespace
}  // namespace herd::otlp
