#include "observability/trace/span_outbox.h"

#include <gtest/gtest.h>

namespace herd::trace {
namespace {

constexpr Instant moment(double seconds) { return {static_cast<std::int64_t>(seconds * 1e9)}; }

Spans spans(std::size_t count) {
  Spans made(count);
  for (std::size_t i = 0; i < count; ++i) made[i].name = std::to_string(i);
  return made;
}

constexpr SpanOutboxConfig kSmall{.spans_max = 20, .batch_max = 8, .delay_s = 1, .tries_max = 3, .retry_s = 1, .retry_max_s = 10};

TEST(SpanOutbox, ABatchThatIsNotFullWaitsForMore) {
  SpanOutbox outbox(kSmall);
  EXPECT_FALSE(outbox.due());
  outbox.add(spans(2), moment(5));
  EXPECT_EQ(outbox.due(), moment(6));
  EXPECT_TRUE(outbox.begin(moment(5.9), false).empty());
  outbox.add(spans(3), moment(5.9));
  EXPECT_EQ(outbox.begin(moment(6), false).size(), 5U);
  EXPECT_EQ(outbox.waiting(), 5U);
  outbox.on_taken(0);
  EXPECT_EQ(outbox.waiting(), 0U);
  EXPECT_EQ(outbox.counts(), (SpanCounts{.exported = 5}));
  EXPECT_FALSE(outbox.due());
}

TEST(SpanOutbox, AFullOneGoesAtOnceAndARequestsSpansAreNotParted) {
  SpanOutbox outbox(kSmall);
  outbox.add(spans(5), moment(5));
  outbox.add(spans(5), moment(5));
  EXPECT_EQ(outbox.due(), moment(5));
  EXPECT_EQ(outbox.begin(moment(5), false).size(), 5U);
  outbox.on_taken(0);
  outbox.add(spans(15), moment(5));
  EXPECT_EQ(outbox.begin(moment(5), false).size(), 5U);
  outbox.on_taken(0);
  EXPECT_EQ(outbox.begin(moment(5), false).size(), 15U) << "one request's, however many";
}

TEST(SpanOutbox, WhatDoesNotFitIsDroppedAsAWhole) {
  SpanOutbox outbox(kSmall);
  outbox.add(spans(12), moment(0));
  const Spans batch = outbox.begin(moment(1), false);
  outbox.add(spans(9), moment(1));
  EXPECT_EQ(outbox.counts(), (SpanCounts{.dropped = 9})) << "what is under way counts";
  outbox.add(spans(8), moment(1));
  EXPECT_EQ(outbox.waiting(), 20U);
  outbox.on_refused();
  outbox.add(spans(9), moment(1));
  EXPECT_EQ(outbox.counts(), (SpanCounts{.dropped = 9, .failed = 12}));
}

TEST(SpanOutbox, ABusyCollectorIsAskedAgainLaterAndLater) {
  SpanOutbox outbox(kSmall);
  outbox.add(spans(3), moment(0));
  Spans batch = outbox.begin(moment(1), false);
  outbox.on_busy(std::move(batch), std::nullopt, moment(1));
  outbox.add(spans(8), moment(1));
  EXPECT_EQ(outbox.due(), moment(2));
  EXPECT_TRUE(outbox.begin(moment(1.5), false).empty());
  batch = outbox.begin(moment(2), false);
  EXPECT_EQ(batch.size(), 3U) << "the same batch";
  outbox.on_busy(std::move(batch), std::nullopt, moment(2));
  EXPECT_EQ(outbox.due(), moment(4));
  batch = outbox.begin(moment(4), false);
  outbox.on_busy(std::move(batch), std::nullopt, moment(4));
  EXPECT_EQ(outbox.counts(), (SpanCounts{.failed = 3})) << "three tries are enough";
  EXPECT_EQ(outbox.begin(moment(4), false).size(), 8U);
  outbox.on_busy(spans(8), std::nullopt, moment(4));
  EXPECT_EQ(outbox.due(), moment(5)) << "tries are of one batch";
}

TEST(SpanOutbox, ACollectorMaySayWhenAndIsBelievedWithinABound) {
  SpanOutbox outbox(kSmall);
  outbox.add(spans(1), moment(0));
  outbox.on_busy(outbox.begin(moment(1), false), 4.0, moment(1));
  EXPECT_EQ(outbox.due(), moment(5));
  outbox.on_busy(outbox.begin(moment(5), false), 86400.0, moment(5));
  EXPECT_EQ(outbox.due(), moment(15));
}

TEST(SpanOutbox, RejectedSpansHaveFailed) {
  SpanOutbox outbox(kSmall);
  outbox.add(spans(5), moment(0));
  (void)outbox.begin(moment(1), false);
  outbox.on_taken(2);
  EXPECT_EQ(outbox.counts(), (SpanCounts{.exported = 3, .failed = 2}));
  outbox.add(spans(5), moment(1));
  (void)outbox.begin(moment(2), false);
  outbox.on_taken(1000);
  EXPECT_EQ(outbox.counts(), (SpanCounts{.exported = 3, .failed = 7}));
}

TEST(SpanOutbox, InAHurryNothingWaits) {
  SpanOutbox outbox(kSmall);
  outbox.add(spans(1), moment(0));
  Spans batch = outbox.begin(moment(0), true);
  EXPECT_EQ(batch.size(), 1U);
  outbox.on_busy(std::move(batch), 5.0, moment(0));
  EXPECT_EQ(outbox.begin(moment(0), true).size(), 1U);
  outbox.add(spans(4), moment(0));
  outbox.drop_all();
  EXPECT_EQ(outbox.waiting(), 0U);
  EXPECT_EQ(outbox.counts(), (SpanCounts{.dropped = 5}));
  EXPECT_TRUE(outbox.begin(moment(9), true).empty());
}

}  // namespace
}  // namespace herd::trace
