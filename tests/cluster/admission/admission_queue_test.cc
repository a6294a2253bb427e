#include "cluster/admission/admission_queue.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace herd::admission {
namespace {

using Reason = AdmissionRefusal::Reason;
using Ids = std::vector<std::uint64_t>;
using Turns = std::vector<std::pair<std::uint64_t, std::uint32_t>>;  // request, sequences

// Seconds of the test; some things have happened before 0.
constexpr Instant later(double seconds) { return {static_cast<std::int64_t>((seconds + 1000) * 1e9)}; }
constexpr Instant kNever = later(1e9);

// Limits that refuse nothing, so that a test shows one rule.
TenantLimits unlimited(double weight = 1) {
  TenantLimits limits;
  limits.in_flight_max = 0;
  limits.weight = weight;
  return limits;
}

struct Arrival {
  std::uint64_t tenant = 1;
  std::uint64_t prompt = 10;
  std::uint64_t output_max = 0;
  std::uint32_t sequences = 1;
  std::int32_t priority = 0;
  Instant deadline = kNever;
};

// The queue, and arrivals with running ids.
struct Driver {
  explicit Driver(AdmissionConfig config = {.queue_requests_max = 100, .running_sequences_max = 1}) : queue(config) {}
  std::optional<AdmissionRefusal> arrive(const Arrival& a, double now = 0) {
    const auto refused = queue.on_arrival({.id = RequestId(++ids),
                                           .tenant = TenantId(a.tenant),
                                           .sequences = a.sequences,
                                           .prompt_tokens = a.prompt,
                                           .output_tokens_max = a.output_max,
                                           .priority = a.priority,
                                           .deadline = a.deadline},
                                          later(now));
    queue.check_integrity();
    return refused;
  }
  Ids start(double now = 0) {
    Ids started;
    for (const Turn& turn : queue.take_startable(later(now))) started.push_back(turn.request.value);
    queue.check_integrity();
    return started;
  }
  Turns turns(double now = 0) {
    Turns had;
    for (const Turn& turn : queue.take_startable(later(now))) had.emplace_back(turn.request.value, turn.sequences);
    queue.check_integrity();
    return had;
  }
  // Finishes each as it starts, until nothing waits.
  Ids run_all() {
    Ids order;
    for (Ids started = start(); !started.empty(); started = start()) {
      for (const std::uint64_t id : started) {
        order.push_back(id);
        queue.on_finished(RequestId(id), 10, 0, later(0));
      }
    }
    return order;
  }
  // 100 tokens a second, measured; all that ran has finished.
  void measure_rate() {
    ASSERT_FALSE(arrive({.tenant = 999, .prompt = 1000}));
    ASSERT_EQ(start(-10), Ids{ids});
    queue.on_finished(RequestId(ids), 1000, 0, later(0));
    ASSERT_NEAR(queue.stats().tokens_per_s, 100, 1e-9);
  }

  AdmissionQueue queue;
  std::uint64_t ids = 0;  // of the last arrival
};
struct AdmissionQueueTest : testing::Test, Driver {};

TEST(AdmissionConfig, RefusesAQueueWithoutRoom) {
  EXPECT_TRUE(AdmissionConfig{}.validate().ok());
  EXPECT_EQ(AdmissionConfig{.queue_requests_max = 0}.validate().code(), StatusCode::kUsage);
  EXPECT_EQ(AdmissionConfig{.queue_tokens_max = 0}.validate().code(), StatusCode::kUsage);
  EXPECT_EQ(AdmissionConfig{.running_sequences_max = 0}.validate().code(), StatusCode::kUsage);
}

TEST(AdmissionRefusal, HasANameForEachReason) {
  std::set<std::string> names;
  for (const Reason reason : {Reason::kQueueRequests, Reason::kQueueTokens, Reason::kDeadline, Reason::kRequestRate,
                              Reason::kTokenRate, Reason::kInFlight, Reason::kNoReplica})
    names.insert(refusal_name(reason));
  EXPECT_EQ(names, (std::set<std::string>{"queue_requests", "queue_tokens", "deadline", "request_rate", "token_rate",
                                          "in_flight", "no_replica"}));
}

// Order

TEST_F(AdmissionQueueTest, StartsOneTenantsRequestsByArrival) {
  for (int i = 0; i < 4; ++i) EXPECT_FALSE(arrive({}));
  EXPECT_EQ(run_all(), (Ids{1, 2, 3, 4}));
}

TEST_F(AdmissionQueueTest, StartsANewTenantBeforeAFlood) {
  for (int i = 0; i < 5; ++i) EXPECT_FALSE(arrive({.tenant = 1}));
  EXPECT_EQ(start(), Ids{1});
  EXPECT_FALSE(arrive({.tenant = 2}));
  queue.on_finished(RequestId(1), 10, 0, later(0));
  EXPECT_EQ(run_all(), (Ids{6, 2, 3, 4, 5}));
}

TEST_F(AdmissionQueueTest, SharesByWeight) {
  queue.set_tenant(TenantId(1), unlimited(2));
  queue.set_tenant(TenantId(2), unlimited(1));
  for (int i = 0; i < 4; ++i) EXPECT_FALSE(arrive({.tenant = 1}));
  for (int i = 0; i < 2; ++i) EXPECT_FALSE(arrive({.tenant = 2}));
  EXPECT_EQ(run_all(), (Ids{1, 5, 2, 3, 6, 4}));
}

TEST_F(AdmissionQueueTest, IgnoresPrioritiesWhenTheyAreOff) {
  EXPECT_FALSE(arrive({.priority = 5}));
  EXPECT_FALSE(arrive({.priority = -5}));
  EXPECT_EQ(run_all(), (Ids{1, 2}));
}

struct AdmissionQueuePriorities : testing::Test, Driver {
  AdmissionQueuePriorities() : Driver({.running_sequences_max = 1, .priorities = true}) {}
};

TEST_F(AdmissionQueuePriorities, StartsSmallerValuesFirstAndSharesWithinOne) {
  EXPECT_FALSE(arrive({.tenant = 1, .priority = 1}));
  EXPECT_FALSE(arrive({.tenant = 1, .priority = 0}));
  EXPECT_FALSE(arrive({.tenant = 1, .priority = 0}));
  EXPECT_FALSE(arrive({.tenant = 2, .priority = 0}));
  EXPECT_FALSE(arrive({.tenant = 2, .priority = -1}));
  EXPECT_EQ(run_all(), (Ids{5, 2, 4, 3, 1}));
}

struct AdmissionQueueFourSequences : testing::Test, Driver {
  AdmissionQueueFourSequences() : Driver({.running_sequences_max = 4}) {}
};

TEST_F(AdmissionQueueFourSequences, StartsAsManySequencesAsMayRun) {
  for (int i = 0; i < 3; ++i) EXPECT_FALSE(arrive({.sequences = 2}));
  EXPECT_EQ(start(), (Ids{1, 2}));
  EXPECT_EQ(queue.stats().running_sequences, 4U);
  EXPECT_EQ(start(), Ids{});
  queue.on_finished(RequestId(2), 10, 0, later(1));
  EXPECT_EQ(start(), Ids{3});
}

TEST_F(AdmissionQueueFourSequences, LetsNobodyOfATenantOvertakeItsFirst) {
  EXPECT_FALSE(arrive({.sequences = 3}));
  EXPECT_FALSE(arrive({.sequences = 2}));
  EXPECT_FALSE(arrive({.sequences = 1}));
  EXPECT_EQ(turns(), (Turns{{1, 3}, {2, 1}})) << "the second has the place that is left";
  EXPECT_EQ(turns(), Turns{});
  queue.on_finished(RequestId(1), 10, 0, later(1));
  EXPECT_EQ(turns(), (Turns{{2, 1}, {3, 1}}));
  EXPECT_EQ(queue.stats().running_sequences, 3U);
}

TEST_F(AdmissionQueueFourSequences, ALargerRequestHasThePlacesThatAreFreeAndEachAgainAsItIsGivenBack) {
  EXPECT_FALSE(arrive({.sequences = 1}));
  EXPECT_FALSE(arrive({.sequences = 6}));
  EXPECT_EQ(turns(), (Turns{{1, 1}, {2, 3}}));
  EXPECT_EQ(queue.stats().waiting, 1U) << "the rest of it waits";
  queue.on_sequence_over(RequestId(2));
  EXPECT_EQ(queue.stats().running_sequences, 3U);
  EXPECT_EQ(turns(), (Turns{{2, 1}}));
  queue.on_finished(RequestId(1), 10, 0, later(1));
  queue.on_sequence_over(RequestId(2));
  EXPECT_EQ(turns(), (Turns{{2, 2}}));
  for (int i = 0; i < 4; ++i) queue.on_sequence_over(RequestId(2));
  queue.check_integrity();
  queue.on_finished(RequestId(2), 10, 0, later(2));
  EXPECT_EQ(queue.stats().running, 0U);
}

// Whoever looks at what waits sees what has begun and has no place for the rest; the bounds are of what has not begun.
TEST(AdmissionQueueHeld, WhatHasBegunWaitsForItsOtherPlacesAndShutsNobodyOut) {
  Driver driver({.queue_requests_max = 2, .queue_tokens_max = 100, .running_sequences_max = 4});
  AdmissionQueue& queue = driver.queue;
  EXPECT_FALSE(driver.arrive({.prompt = 1000, .sequences = 10}));
  EXPECT_EQ(queue.stats().waiting_tokens, 1000U);
  EXPECT_EQ(driver.turns(), (Turns{{1, 4}}));
  EXPECT_EQ(queue.stats().waiting, 1U);
  EXPECT_EQ(queue.stats().waiting_tokens, 600U) << "six of ten prompts";
  EXPECT_EQ(queue.stats().running, 1U);
  EXPECT_FALSE(driver.arrive({.tenant = 2, .prompt = 50}));
  EXPECT_FALSE(driver.arrive({.tenant = 2, .prompt = 50}));
  EXPECT_EQ(driver.arrive({.tenant = 2, .prompt = 1})->reason, Reason::kQueueRequests);
  EXPECT_EQ(queue.stats().waiting, 3U);
  EXPECT_EQ(queue.stats().waiting_tokens, 700U);
  queue.on_sequence_dropped(RequestId(1));
  queue.check_integrity();
  EXPECT_EQ(queue.stats().waiting_tokens, 600U);
  queue.on_finished(RequestId(1), 400, 0, later(1));
  queue.check_integrity();
  EXPECT_EQ(queue.stats().waiting, 2U);
  EXPECT_EQ(queue.stats().waiting_tokens, 100U);
}

// A request of many sequences holds every place. Each that it gives back is for who has had less.
TEST_F(AdmissionQueueFourSequences, ALargeRequestKeepsNobodyWaitingUntilItEnds) {
  EXPECT_FALSE(arrive({.tenant = 1, .prompt = 100, .sequences = 100}));
  EXPECT_EQ(turns(), (Turns{{1, 4}}));
  EXPECT_FALSE(arrive({.tenant = 2}));
  EXPECT_FALSE(arrive({.tenant = 2}));
  queue.on_sequence_over(RequestId(1));
  EXPECT_EQ(turns(), (Turns{{2, 1}}));
  queue.on_finished(RequestId(2), 10, 0, later(1));
  EXPECT_EQ(turns().size(), 1U) << "the place is used, whoever's turn it is";
  queue.on_cancelled(RequestId(1), later(2));
  queue.check_integrity();
  queue.on_finished(RequestId(3), 10, 0, later(3));
  EXPECT_EQ(queue.stats().running + queue.stats().waiting, 0U);
}

TEST_F(AdmissionQueueFourSequences, SequencesThatNobodyWantsAnyMoreNeedNoTurn) {
  EXPECT_FALSE(arrive({.sequences = 6}));
  EXPECT_EQ(turns(), (Turns{{1, 4}}));
  queue.on_sequence_dropped(RequestId(1));
  queue.on_sequence_dropped(RequestId(1));
  queue.check_integrity();
  for (int i = 0; i < 4; ++i) queue.on_sequence_over(RequestId(1));
  EXPECT_EQ(turns(), Turns{});
  queue.on_sequence_over(RequestId(1));  // none is left
  queue.on_sequence_dropped(RequestId(1));
  queue.on_finished(RequestId(1), 10, 0, later(1));
  queue.check_integrity();
}

// The machine's limits

struct AdmissionQueueSmall : testing::Test, Driver {
  AdmissionQueueSmall() : Driver({.queue_requests_max = 3, .queue_tokens_max = 100, .running_sequences_max = 1}) {}
};

TEST_F(AdmissionQueueSmall, RefusesMoreRequestsThanTheQueueHolds) {
  for (int i = 0; i < 3; ++i) EXPECT_FALSE(arrive({}));
  const auto early = queue.refuses_now(TenantId(1), later(0));
  const auto refused = arrive({});
  ASSERT_TRUE(refused && early);
  EXPECT_EQ(refused->reason, Reason::kQueueRequests);
  EXPECT_FALSE(refused->quota);
  EXPECT_NE(refused->message.find("3 requests"), std::string::npos) << refused->message;
  EXPECT_EQ(early->reason, Reason::kQueueRequests);
  EXPECT_EQ(queue.stats().refused_capacity, 1U);
  EXPECT_EQ(start(), Ids{1});  // running ones are not in the queue
  EXPECT_FALSE(queue.refuses_now(TenantId(1), later(0)));
  EXPECT_FALSE(arrive({}));
}

TEST_F(AdmissionQueueSmall, RefusesMorePromptTokensThanTheQueueHolds) {
  EXPECT_FALSE(arrive({.prompt = 60}));
  EXPECT_FALSE(arrive({.prompt = 40}));
  const auto refused = arrive({.prompt = 1});
  ASSERT_TRUE(refused);
  EXPECT_EQ(refused->reason, Reason::kQueueTokens);
  EXPECT_FALSE(refused->quota);
  EXPECT_EQ(queue.refuses_now(TenantId(1), later(0))->reason, Reason::kQueueTokens);
  EXPECT_EQ(queue.stats().waiting_tokens, 100U);
}

TEST_F(AdmissionQueueSmall, TakesOneLargePromptIntoAnEmptyQueue) {
  EXPECT_FALSE(arrive({.prompt = 1000}));
  EXPECT_EQ(arrive({.prompt = 1})->reason, Reason::kQueueTokens);
  EXPECT_EQ(start(), Ids{1});
  EXPECT_FALSE(arrive({.prompt = 1}));
  EXPECT_EQ(arrive({.prompt = 1000})->reason, Reason::kQueueTokens);
}

TEST_F(AdmissionQueueTest, GivesOneSecondWithoutAMeasuredRate) {
  for (int i = 0; i < 100; ++i) EXPECT_FALSE(arrive({.tenant = static_cast<std::uint64_t>(i), .prompt = 10000}));
  EXPECT_EQ(arrive({})->retry_after_s, 1);
}

TEST_F(AdmissionQueueTest, ComputesRetryAfterFromTheWorkThatWaits) {
  struct Case {
    std::uint64_t prompt;  // of 100 requests; 100 tokens a second
    int retry_after_s;
  };
  for (const Case& c : {Case{1, 2}, Case{2, 3}, Case{37, 38}, Case{598, 599}, Case{599, 600}, Case{5000, 600}}) {
    Driver driver;
    driver.measure_rate();
    driver.queue.set_tenant(TenantId(1), unlimited());
    EXPECT_FALSE(driver.arrive({.prompt = c.prompt + 50}));  // half a second more
    for (int i = 1; i < 100; ++i) EXPECT_FALSE(driver.arrive({.prompt = c.prompt}));
    const auto refused = driver.arrive({});
    ASSERT_TRUE(refused);
    EXPECT_EQ(refused->reason, Reason::kQueueRequests);
    EXPECT_EQ(refused->retry_after_s, c.retry_after_s);
  }
}

TEST_F(AdmissionQueueTest, SaysHowLongWhatWaitsWillTakeToStart) {
  EXPECT_FALSE(arrive({.prompt = 1000}));
  EXPECT_EQ(queue.stats().wait_s, 0) << "no rate is known";
  Driver driver;
  driver.measure_rate();
  EXPECT_EQ(driver.queue.stats().wait_s, 0) << "nothing waits";
  EXPECT_FALSE(driver.arrive({.prompt = 100}));
  const double one = driver.queue.stats().wait_s;
  EXPECT_GE(one, 1) << "100 tokens a second, and an answer";
  EXPECT_FALSE(driver.arrive({.prompt = 100}));
  EXPECT_NEAR(driver.queue.stats().wait_s, 2 * one, 1e-9);
}

TEST_F(AdmissionQueueTest, RefusesWhatWouldWaitBeyondItsDeadline) {
  measure_rate();
  EXPECT_FALSE(arrive({.prompt = 500}));
  EXPECT_FALSE(arrive({.prompt = 500}));
  EXPECT_FALSE(arrive({.deadline = later(10.1)}));  // 1000 tokens ahead: 10 s
  const auto refused = arrive({.deadline = later(5)});
  ASSERT_TRUE(refused);
  EXPECT_EQ(refused->reason, Reason::kDeadline);
  EXPECT_FALSE(refused->quota);
  EXPECT_EQ(refused->retry_after_s, 6);                      // then about 5 s of work are left: 10.1 - 5, rounded up
  EXPECT_FALSE(arrive({.tenant = 2, .deadline = later(5.1)}));  // goes before most of the others': 500 tokens
  EXPECT_EQ(arrive({.tenant = 3, .deadline = later(0)})->reason, Reason::kDeadline);
}

TEST_F(AdmissionQueueTest, TakesAnyDeadlineAheadWithoutAMeasuredRate) {
  EXPECT_FALSE(arrive({.prompt = 1000000}));
  EXPECT_FALSE(arrive({.deadline = later(0.001)}));
  EXPECT_EQ(arrive({.deadline = later(0)})->reason, Reason::kDeadline);
  EXPECT_EQ(queue.stats().refused_capacity, 1U);
}

TEST_F(AdmissionQueueTest, ExpiresWhatWaitsBeyondItsDeadlineAndNothingElse) {
  EXPECT_FALSE(arrive({.deadline = later(1)}));
  EXPECT_EQ(start(), Ids{1});
  EXPECT_FALSE(arrive({.deadline = later(3)}));
  EXPECT_FALSE(arrive({.deadline = later(2)}));
  EXPECT_FALSE(arrive({.deadline = later(4)}));
  EXPECT_EQ(queue.take_expired(later(1.9)), std::vector<RequestId>{});
  EXPECT_EQ(queue.take_expired(later(3)), (std::vector{RequestId(3), RequestId(2)}));
  EXPECT_EQ(queue.take_expired(later(3)), std::vector<RequestId>{});
  const AdmissionStats stats = queue.stats();
  EXPECT_EQ(stats.expired, 2U);
  EXPECT_EQ(stats.waiting, 1U);
  EXPECT_EQ(stats.running, 1U);
  queue.on_finished(RequestId(3), 10, 0, later(3));  // long forgotten
  EXPECT_EQ(queue.stats().running, 1U);
}

// A tenant's limits

TEST_F(AdmissionQueueTest, BoundsATenantsRequestsInFlight) {
  TenantLimits limits;
  limits.in_flight_max = 2;
  queue.set_tenant(TenantId(1), limits);
  EXPECT_FALSE(arrive({}));
  EXPECT_FALSE(arrive({}));
  EXPECT_EQ(start(), Ids{1});  // one runs, one waits
  const auto refused = arrive({});
  ASSERT_TRUE(refused);
  EXPECT_EQ(refused->reason, Reason::kInFlight);
  EXPECT_TRUE(refused->quota);
  EXPECT_EQ(queue.refuses_now(TenantId(1), later(0))->reason, Reason::kInFlight);
  EXPECT_EQ(queue.stats().refused_quota, 1U);
  EXPECT_FALSE(arrive({.tenant = 2}));
  queue.on_finished(RequestId(1), 10, 0, later(1));
  EXPECT_FALSE(arrive({}));
}

TEST_F(AdmissionQueueTest, BoundsATenantThatWasNeverNamedTo64InFlight) {
  for (int i = 0; i < 64; ++i) EXPECT_FALSE(arrive({}));
  EXPECT_EQ(arrive({})->reason, Reason::kInFlight);
}

TEST_F(AdmissionQueueTest, BoundsATenantsRequestsPerMinute) {
  TenantLimits limits = unlimited();
  limits.requests_per_minute = 3;
  queue.set_tenant(TenantId(1), limits);
  for (int i = 0; i < 3; ++i) EXPECT_FALSE(arrive({}));
  const auto refused = arrive({}, 5);
  ASSERT_TRUE(refused);
  EXPECT_EQ(refused->reason, Reason::kRequestRate);
  EXPECT_TRUE(refused->quota);
  EXPECT_EQ(refused->retry_after_s, 15);  // one in 20 s
  EXPECT_NE(refused->message.find("3 requests per minute"), std::string::npos) << refused->message;
  EXPECT_TRUE(queue.refuses_now(TenantId(1), later(19)));
  EXPECT_FALSE(queue.refuses_now(TenantId(1), later(20)));
  EXPECT_FALSE(arrive({}, 20));
  EXPECT_TRUE(arrive({}, 20));
}

TEST_F(AdmissionQueueTest, BoundsATenantsPromptTokensPerMinute) {
  TenantLimits limits = unlimited();
  limits.prompt_tokens_per_minute = 600;
  queue.set_tenant(TenantId(1), limits);
  EXPECT_FALSE(arrive({.prompt = 400}));
  const auto refused = arrive({.prompt = 300});
  ASSERT_TRUE(refused);
  EXPECT_EQ(refused->reason, Reason::kTokenRate);
  EXPECT_TRUE(refused->quota);
  EXPECT_EQ(refused->retry_after_s, 10);                // 100 lack at 10 a second
  EXPECT_FALSE(queue.refuses_now(TenantId(1), later(0)));  // a small one would be taken
  EXPECT_FALSE(arrive({.prompt = 200}));
}

TEST_F(AdmissionQueueTest, TakesAPromptLargerThanTheLimitFromAFullBucketIntoDebt) {
  TenantLimits limits = unlimited();
  limits.prompt_tokens_per_minute = 600;
  queue.set_tenant(TenantId(1), limits);
  EXPECT_FALSE(arrive({.prompt = 1200}));
  EXPECT_EQ(arrive({.prompt = 1}, 60)->retry_after_s, 1);
  EXPECT_EQ(arrive({.prompt = 1200}, 60)->retry_after_s, 60);
  EXPECT_FALSE(arrive({.prompt = 1200}, 120));
}

TEST_F(AdmissionQueueTest, RefusesATenantInDebtForOutputTokens) {
  TenantLimits limits = unlimited();
  limits.output_tokens_per_minute = 60;
  queue.set_tenant(TenantId(1), limits);
  EXPECT_FALSE(arrive({.output_max = 200}));
  EXPECT_EQ(start(), Ids{1});
  queue.on_output(RequestId(1), 50, later(0));
  EXPECT_FALSE(queue.refuses_now(TenantId(1), later(0)));
  queue.on_output(RequestId(1), 50, later(0));  // it goes on, in debt
  const auto refused = arrive({});
  ASSERT_TRUE(refused);
  EXPECT_EQ(refused->reason, Reason::kTokenRate);
  EXPECT_TRUE(refused->quota);
  EXPECT_EQ(refused->retry_after_s, 40);
  EXPECT_TRUE(queue.refuses_now(TenantId(1), later(40)));
  EXPECT_FALSE(queue.refuses_now(TenantId(1), later(41)));
  queue.on_finished(RequestId(1), 10, 130, later(41));  // 30 more than told of
  EXPECT_EQ(arrive({}, 41)->retry_after_s, 29);
}

TEST_F(AdmissionQueueTest, UsesNothingOfTheLimitsForARefusedRequest) {
  TenantLimits limits = unlimited();
  limits.requests_per_minute = 2;
  limits.prompt_tokens_per_minute = 60;
  queue.set_tenant(TenantId(1), limits);
  EXPECT_FALSE(arrive({.prompt = 30}));
  for (int i = 0; i < 10; ++i) EXPECT_EQ(arrive({.prompt = 31})->reason, Reason::kTokenRate);
  for (int i = 0; i < 10; ++i) EXPECT_EQ(arrive({.prompt = 1, .deadline = later(0)})->reason, Reason::kDeadline);
  EXPECT_FALSE(arrive({.prompt = 30}));
  EXPECT_EQ(queue.stats().refused_quota, 10U);
  EXPECT_EQ(queue.stats().refused_capacity, 10U);
}

// It waited, and then there was no replica any more for it.
TEST_F(AdmissionQueueTest, GivesBackWhatARequestWasChargedThatIsRefusedAfterAll) {
  TenantLimits limits = unlimited();
  limits.requests_per_minute = 2;
  limits.prompt_tokens_per_minute = 100;
  queue.set_tenant(TenantId(1), limits);
  EXPECT_FALSE(arrive({.prompt = 60}));
  EXPECT_FALSE(arrive({.prompt = 40}));
  EXPECT_EQ(arrive({.prompt = 1})->reason, Reason::kRequestRate);
  queue.on_refused(RequestId(1), later(0));
  queue.on_refused(RequestId(1), later(0));  // once
  queue.on_refused(RequestId(77), later(0));
  queue.check_integrity();
  EXPECT_EQ(arrive({.prompt = 61})->reason, Reason::kTokenRate);
  EXPECT_FALSE(arrive({.prompt = 60}));
  EXPECT_EQ(arrive({.prompt = 0})->reason, Reason::kRequestRate);
}

// Its turn had come, and nothing ran: its tenant's next one comes where it would have come.
TEST_F(AdmissionQueueTest, ChargesNothingForARequestThatIsRefusedAsItsTurnComes) {
  EXPECT_FALSE(arrive({.tenant = 1, .prompt = 1000}));
  EXPECT_FALSE(arrive({.tenant = 1, .prompt = 10}));
  EXPECT_FALSE(arrive({.tenant = 2, .prompt = 10}));
  EXPECT_EQ(start(), Ids{1});
  queue.on_refused(RequestId(1), later(0));
  queue.check_integrity();
  EXPECT_EQ(queue.stats().running, 0U);
  EXPECT_EQ(run_all(), (Ids{2, 3}));
}

TEST_F(AdmissionQueueTest, HoldsNewLimitsFromTheNextArrivalOn) {
  for (int i = 0; i < 3; ++i) EXPECT_FALSE(arrive({}));
  TenantLimits limits;
  limits.in_flight_max = 2;
  queue.set_tenant(TenantId(1), limits);
  EXPECT_EQ(queue.stats().waiting, 3U);
  EXPECT_TRUE(arrive({}));
  queue.set_tenant(TenantId(1), TenantLimits{});
  EXPECT_FALSE(arrive({}));
}

// Parked work

TEST_F(AdmissionQueueTest, ParkedWorkWaitsAndKeepsItsPlaceAmongTheRunning) {
  AdmissionQueue small({.queue_requests_max = 2, .queue_tokens_max = 100, .running_sequences_max = 3});
  const auto offer = [&](std::uint64_t id, std::uint64_t prompt_tokens) {
    const auto refused = small.on_arrival({.id = RequestId(id),
                                           .tenant = TenantId(1),
                                           .sequences = 3,
                                           .prompt_tokens = prompt_tokens,
                                           .output_tokens_max = 0,
                                           .priority = 0,
                                           .deadline = kNever},
                                          later(0));
    small.check_integrity();
    return refused ? std::optional(refused->reason) : std::nullopt;
  };
  EXPECT_EQ(offer(1, 10), std::nullopt);
  EXPECT_EQ(small.take_startable(later(0)).size(), 1U);
  small.set_parked({.requests = 1, .sequences = 2, .tokens = 95});
  AdmissionStats stats = small.stats();
  EXPECT_EQ(stats.waiting, 1U);
  EXPECT_EQ(stats.waiting_tokens, 95U);
  EXPECT_EQ(stats.running, 0U);
  EXPECT_EQ(stats.running_sequences, 1U);
  EXPECT_EQ(offer(2, 10), Reason::kQueueTokens);
  EXPECT_EQ(offer(3, 5), std::nullopt);
  EXPECT_EQ(offer(4, 0), Reason::kQueueRequests);
  EXPECT_TRUE(small.refuses_now(TenantId(1), later(0)).has_value());
  EXPECT_TRUE(small.take_startable(later(0)).empty()) << "the parked ones need that place again";
  small.set_parked({});
  EXPECT_EQ(offer(5, 10), std::nullopt);
  EXPECT_EQ(small.stats().running, 1U);
}

TEST_F(AdmissionQueueTest, ARequestWithoutAReplicaIsRefusedByTheMachine) {
  const auto refusal = queue.refuse_without_replica("nobody serves");
  EXPECT_EQ(refusal.reason, Reason::kNoReplica);
  EXPECT_FALSE(refusal.quota);
  EXPECT_EQ(refusal.message, "nobody serves");
  EXPECT_TRUE(refusal.retry_after_s >= 1 && refusal.retry_after_s <= 600);
  EXPECT_EQ(queue.stats().refused_capacity, 1U);
}

// Ends

TEST_F(AdmissionQueueTest, CancelsWaitingAndRunningRequests) {
  for (int i = 0; i < 3; ++i) EXPECT_FALSE(arrive({}));
  EXPECT_EQ(start(), Ids{1});
  queue.on_cancelled(RequestId(2), later(0));
  queue.check_integrity();
  queue.on_cancelled(RequestId(1), later(0));
  queue.on_cancelled(RequestId(1), later(0));
  queue.on_cancelled(RequestId(77), later(0));
  EXPECT_EQ(start(), Ids{3});
  EXPECT_EQ(queue.stats().running, 1U);
  EXPECT_EQ(queue.stats().waiting, 0U);
}

TEST_F(AdmissionQueueTest, TakesAFinishedRequestOutEvenWhileItWaits) {
  EXPECT_FALSE(arrive({}));
  queue.on_finished(RequestId(1), 10, 5, later(0));
  EXPECT_EQ(start(), Ids{});
  EXPECT_EQ(queue.stats().waiting, 0U);
}

TEST_F(AdmissionQueueTest, CountsOutputOnceWhetherToldOfOrNot) {
  for (const bool told : {false, true}) {
    Driver driver;
    EXPECT_FALSE(driver.arrive({.prompt = 100, .output_max = 100}));
    EXPECT_EQ(driver.start(0), Ids{1});
    if (told) driver.queue.on_output(RequestId(1), 100, later(10));
    driver.queue.on_finished(RequestId(1), 100, 100, later(10));
    EXPECT_NEAR(driver.queue.stats().tokens_per_s, 20, 1e-9) << told;
  }
}

TEST_F(AdmissionQueueTest, IgnoresOutputOfWhatDoesNotRun) {
  EXPECT_FALSE(arrive({.output_max = 10}));
  queue.on_output(RequestId(1), 5, later(0));
  queue.on_output(RequestId(9), 5, later(0));
  EXPECT_EQ(queue.stats().tokens_per_s, 0);
}

// What a tenant that cancels has used, it has used: the other one comes first now.
TEST_F(AdmissionQueueTest, ChargesACancelledRunningRequestForItsPromptAndOutput) {
  EXPECT_FALSE(arrive({.tenant = 1, .prompt = 100, .output_max = 100}));
  EXPECT_EQ(start(), Ids{1});
  for (int i = 0; i < 2; ++i) EXPECT_FALSE(arrive({.tenant = 1, .prompt = 10}));
  for (int i = 0; i < 16; ++i) EXPECT_FALSE(arrive({.tenant = 2, .prompt = 10}));
  queue.on_output(RequestId(1), 45, later(0));
  queue.on_cancelled(RequestId(1), later(0));
  const Ids order = run_all();
  EXPECT_EQ(std::find(order.begin(), order.end(), 2U) - order.begin(), 15);  // tags 0 … 140 of tenant 2 come before 145
}

// Ten prompts of 100 tokens, two at a time.
struct AdmissionQueueOfAList : testing::Test, Driver {
  AdmissionQueueOfAList() : Driver({.queue_requests_max = 100, .running_sequences_max = 2}) {
    EXPECT_FALSE(arrive({.tenant = 1, .prompt = 1000, .output_max = 10, .sequences = 10}));
    EXPECT_EQ(turns(), (Turns{{1, 2}}));
  }
};

TEST_F(AdmissionQueueOfAList, CountsAPromptAsComputedOnceItHadItsTurn) {
  queue.on_output(RequestId(1), 1, later(10));
  EXPECT_NEAR(queue.stats().tokens_per_s, 20.1, 1e-9) << "two prompts and a token in ten seconds";
  queue.on_sequence_over(RequestId(1));
  EXPECT_EQ(turns(10), (Turns{{1, 1}}));
  queue.on_output(RequestId(1), 8, later(20));
  const double faded = std::exp(-1.0);  // ten seconds later
  EXPECT_NEAR(queue.stats().tokens_per_s, (20.1 * faded + 10.8) / (faded + 1), 1e-9) << "one more prompt, and eight tokens";
}

TEST_F(AdmissionQueueOfAList, ChargesOneThatEndsForWhatHadItsTurnAlone) {
  for (int i = 0; i < 2; ++i) EXPECT_FALSE(arrive({.tenant = 1, .prompt = 10}));
  for (int i = 0; i < 30; ++i) EXPECT_FALSE(arrive({.tenant = 2, .prompt = 10}));
  queue.on_cancelled(RequestId(1), later(0));
  queue.check_integrity();
  Ids order;
  for (Ids one = start(); !one.empty(); one = start()) {
    for (const std::uint64_t id : one) queue.on_finished(RequestId(id), 10, 0, later(0));
    order.insert(order.end(), one.begin(), one.end());
  }
  EXPECT_EQ(std::find(order.begin(), order.end(), 2U) - order.begin(), 20) << "tags 0 ... 190 of tenant 2 come before 200";
}

// What the next requests are expected to cost comes from what ran, not from what waited.
TEST_F(AdmissionQueueOfAList, LearnsFromWhatHadItsTurnAlone) {
  Driver whole({.queue_requests_max = 100, .running_sequences_max = 2});
  EXPECT_FALSE(whole.arrive({.prompt = 200, .output_max = 10, .sequences = 2}));
  EXPECT_EQ(whole.turns(), (Turns{{1, 2}}));
  for (Driver* one : {static_cast<Driver*>(this), &whole}) {
    one->queue.on_finished(RequestId(1), 100, 400, later(10));
    EXPECT_FALSE(one->arrive({.prompt = 1000, .output_max = 1000}, 10));
  }
  EXPECT_GT(whole.queue.stats().wait_s, 0);
  EXPECT_EQ(queue.stats().wait_s, whole.queue.stats().wait_s);
}

TEST(AdmissionQueueBounds, OthersHoldFromTheNextArrivalOnAndWhatWaitsKeepsItsPlace) {
  Driver driver({.queue_requests_max = 4, .queue_tokens_max = 1000, .running_sequences_max = 1});
  for (int i = 0; i < 4; ++i) EXPECT_FALSE(driver.arrive({.prompt = 100}));
  ASSERT_TRUE(driver.arrive({}));
  driver.queue.set_bounds(2, 250);
  driver.queue.check_integrity();
  EXPECT_EQ(driver.arrive({})->reason, Reason::kQueueRequests);
  EXPECT_EQ(driver.start(), Ids{1});
  EXPECT_EQ(driver.arrive({})->reason, Reason::kQueueRequests) << "three wait";
  driver.queue.set_bounds(8, 310);
  EXPECT_FALSE(driver.arrive({.prompt = 10}));
  EXPECT_EQ(driver.arrive({.prompt = 10})->reason, Reason::kQueueTokens);
  driver.queue.on_finished(RequestId(1), 100, 0, later(0));
  EXPECT_EQ(driver.run_all().size(), 4U);
}

}  // namespace
}  // namespace herd::admission
