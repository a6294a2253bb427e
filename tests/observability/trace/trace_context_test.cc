#include "observability/trace/trace_context.h"

#include <gtest/gtest.h>

#include "observability/trace/trace_sampler.h"

namespace herd::trace {
namespace {

constexpr const char* kGood = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

TEST(TraceContext, AGoodHeaderIsRead) {
  const auto context = read_trace_context(kGood, "congo=t61rcWkgMzE,rojo=00f067aa0ba902b7");
  ASSERT_TRUE(context);
  EXPECT_EQ(hex(context->trace), "4bf92f3577b34da6a3ce929d0e0e4736");
  EXPECT_EQ(hex(context->span), "00f067aa0ba902b7");
  EXPECT_TRUE(context->sampled);
  EXPECT_EQ(context->state, "congo=t61rcWkgMzE,rojo=00f067aa0ba902b7");
  EXPECT_EQ(traceparent_of(*context), kGood);
}

TEST(TraceContext, OnlyTheLastFlagSaysSampled) {
  const std::string ids = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-";
  for (const char* flags : {"01", "03", "ff", "09"}) EXPECT_TRUE(read_trace_context(ids + flags, "")->sampled) << flags;
  for (const char* flags : {"00", "02", "fe", "08"}) EXPECT_FALSE(read_trace_context(ids + flags, "")->sampled) << flags;
  EXPECT_EQ(traceparent_of(*read_trace_context(ids + "02", "")), ids + "00");
}

TEST(TraceContext, ALaterVersionIsReadAsFarAsItIsKnown) {
  const std::string later = "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
  for (const std::string& header : {later, later + "-", later + "-what-the-future-holds"}) {
    const auto context = read_trace_context(header, "");
    ASSERT_TRUE(context) << header;
    EXPECT_EQ(traceparent_of(*context), kGood);
  }
}

TEST(TraceContext, WhatIsNoneIsAbsent) {
  const std::string good = kGood;
  for (const std::string& bad : {
           std::string(), std::string("00"), good.substr(0, 54), good + "-", good + "-00", good + "0", "ff" + good.substr(2),
           "0x" + good.substr(2), "0A" + good.substr(2), "cc" + good.substr(2) + ".more",
           std::string("00-00000000000000000000000000000000-00f067aa0ba902b7-01"),
           std::string("00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01"),
           std::string("00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01"),
           std::string("00-4bf92f3577b34da6a3ce929d0e0e473g-00f067aa0ba902b7-01"),
           std::string("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0x"),
           std::string("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7_01"),
           std::string("00_4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
           std::string("00-4bf92f3577b34da6a3ce929d0e0e47360-0f067aa0ba902b7-01"), good + "," + good, " " + good,
           std::string(55, '\0'), std::string(4000, '-')})
    EXPECT_FALSE(read_trace_context(bad, "")) << bad;
}

TEST(TraceContext, AStateThatIsTooLongOrNoHeaderIsLeftOut) {
  EXPECT_EQ(read_trace_context(kGood, std::string(512, 'a'))->state.size(), 512U);
  EXPECT_EQ(read_trace_context(kGood, std::string(513, 'a'))->state, "");
  EXPECT_EQ(read_trace_context(kGood, "a=\x01")->state, "");
  EXPECT_EQ(read_trace_context(kGood, "a=\xc3\xa4")->state, "");
}

TraceId id_ending_in(std::uint64_t low) {
  TraceId id;
  id.bytes[0] = 0xff;  // does not count
  for (int i = 15; i >= 8; --i, low >>= 8) id.bytes[static_cast<std::size_t>(i)] = static_cast<std::uint8_t>(low);
  return id;
}

TEST(TraceSampler, FollowsTheCallerAndTracesAllOthersUnlessToldOtherwise) {
  const TraceSampler sampler;
  EXPECT_TRUE(sampler.samples(id_ending_in(~0ULL), std::nullopt));
  EXPECT_TRUE(sampler.samples(id_ending_in(~0ULL), true));
  EXPECT_FALSE(sampler.samples(id_ending_in(0), false));
}

TEST(TraceSampler, ARatioIsOfTheTraceIdsLastBytes) {
  const auto quarter = TraceSampler::named("traceidratio", "0.25");
  ASSERT_TRUE(quarter);
  const std::uint64_t border = 1ULL << 62;
  EXPECT_TRUE(quarter->samples(id_ending_in(0), std::nullopt));
  EXPECT_TRUE(quarter->samples(id_ending_in(border - 4096), std::nullopt));
  EXPECT_FALSE(quarter->samples(id_ending_in(border), std::nullopt));
  EXPECT_FALSE(quarter->samples(id_ending_in(~0ULL), true)) << "not parent based";
  const auto based = TraceSampler::named("parentbased_traceidratio", "0.25");
  EXPECT_TRUE(based->samples(id_ending_in(~0ULL), true));
  EXPECT_FALSE(based->samples(id_ending_in(0), false));
  EXPECT_FALSE(based->samples(id_ending_in(~0ULL), std::nullopt));
}

TEST(TraceSampler, NamesAreOpenTelemetrys) {
  const TraceId any = id_ending_in(1ULL << 63);
  EXPECT_TRUE(TraceSampler::named("always_on", "")->samples(any, false));
  EXPECT_FALSE(TraceSampler::named("always_off", "")->samples(any, true));
  EXPECT_FALSE(TraceSampler::named("parentbased_always_off", "")->samples(any, std::nullopt));
  EXPECT_TRUE(TraceSampler::named("parentbased_always_off", "")->samples(any, true));
  EXPECT_FALSE(TraceSampler::named("parentbased_always_on", "")->samples(any, false));
  EXPECT_TRUE(TraceSampler::named("traceidratio", "")->samples(any, std::nullopt));
  EXPECT_FALSE(TraceSampler::named("traceidratio", "0")->samples(id_ending_in(0), std::nullopt));
  EXPECT_TRUE(TraceSampler::named("traceidratio", "1")->samples(id_ending_in(~0ULL), std::nullopt));
}

TEST(TraceSampler, OthersAreRefusedByName) {
  EXPECT_NE(TraceSampler::named("jaeger_remote", "").error().message().find("\"jaeger_remote\""), std::string::npos);
  EXPECT_FALSE(TraceSampler::named("parentbased_", ""));
  for (const char* argument : {"2", "-0.1", "nan", "half", "0.5x", " 0.5"}) {
    const auto refused = TraceSampler::named("traceidratio", argument);
    ASSERT_FALSE(refused) << argument;
    EXPECT_NE(refused.error().message().find("OTEL_TRACES_SAMPLER_ARG"), std::string::npos);
  }
}

}  // namespace
}  // namespace herd::trace
