#include "cluster/gateway/gateway_core.h"

#include <gtest/gtest.h>

#include "tests/cluster/gateway/gateway_harness.h"

namespace herd::gateway {
namespace {

using routing::LossCause;
using routing::ReplicaState;
using step::FinishReason;
using End = RequestEnd::Kind;
using Reason = admission::AdmissionRefusal::Reason;

struct GatewayCoreTest : testing::Test, Gateway {
  explicit GatewayCoreTest(const GatewayConfig& config = gateway_config()) : Gateway(config) {}
  [[nodiscard]] std::vector<std::pair<std::uint64_t, End>> ended() const {
    std::vector<std::pair<std::uint64_t, End>> found;
    for (const auto& end : ends()) found.emplace_back(end.request.value, end.end.kind);
    return found;
  }
  using Ended = std::vector<std::pair<std::uint64_t, End>>;
};

TEST(GatewayConfig, SaysWhatIsWrong) {
  EXPECT_TRUE(gateway_config().validate().ok());
  for (const auto& spoil : std::vector<void (*)(GatewayConfig&)>{
           [](GatewayConfig& config) { config.open_sequences_max = 0; },
           [](GatewayConfig& config) { config.retry_min_s = 0; },
           [](GatewayConfig& config) { config.retry_max_s = config.retry_min_s / 2; },
           [](GatewayConfig& config) { config.admission.running_sequences_max = 0; }}) {
    auto config = gateway_config();
    spoil(config);
    EXPECT_EQ(config.validate().code(), StatusCode::kUsage);
  }
}

TEST_F(GatewayCoreTest, ARequestRunsFromItsArrivalToItsLastToken) {
  view({replica(0)});
  ask(1);
  ASSERT_EQ(starts(), std::vector{RequestId(1)});
  ASSERT_EQ(runs().size(), 1U);
  EXPECT_EQ(runs()[0].to, replica(0).route);
  const step::Submission sent = runs()[0].submission;
  EXPECT_EQ(sent.key(), (step::AttemptKey{kGateway, SequenceId(1), 0}));
  EXPECT_EQ(sent.tokens, submission().tokens);

  answer(0, token(0, 0));
  answer(0, token(0, 1, FinishReason::kStop));
  ASSERT_EQ(delivered().size(), 2U);
  EXPECT_EQ(delivered()[0].delta.token.token, 100);
  EXPECT_EQ(delivered()[1].delta.finish, FinishReason::kStop);
  ASSERT_EQ(ended(), (Ended{{1, End::kFinished}}));
  EXPECT_TRUE(ends()[0].end.started);
  EXPECT_TRUE(ends()[0].end.why.ok());
  EXPECT_TRUE(stops().empty());
  EXPECT_EQ(core.open_requests(), 0U);
  EXPECT_EQ(core.ledger().finished, 1U);
}

TEST_F(GatewayCoreTest, AFirstTokenIsPredictedOnceAReplicaHasSaidHowFastItIs) {
  view({replica(0)});
  EXPECT_EQ(core.first_token_seconds(), std::nullopt);
  core.on_load(replica(0).route.generation, {.waiting_tokens = 488, .decode_step_s = 0.01, .prompt_token_s = 0.001});
  ASSERT_TRUE(core.first_token_seconds());
  EXPECT_DOUBLE_EQ(*core.first_token_seconds(), 1.01) << "488 tokens that wait there and 512, and a step";
}

TEST_F(GatewayCoreTest, SequencesAreNumberedFromOneOverAllRequests) {
  view({replica(0), replica(1)});
  ask(5, 2);
  ask(6);
  ASSERT_EQ(runs().size(), 3U);
  for (std::size_t i = 0; i < 3; ++i) EXPECT_EQ(runs()[i].submission.sequence, SequenceId(i + 1));
  EXPECT_EQ(runs()[0].to.generation, generation(0));
  EXPECT_EQ(runs()[1].to.generation, generation(1));
}

TEST_F(GatewayCoreTest, NothingToComputeStartsAndFinishesAtOnce) {
  view({});
  ask(1, 0);
  EXPECT_EQ(starts(), std::vector{RequestId(1)});
  EXPECT_EQ(ended(), (Ended{{1, End::kFinished}}));
  EXPECT_TRUE(runs().empty());
}

TEST_F(GatewayCoreTest, DeltasOfOthersAreDroppedAndCounted) {
  view({replica(0), replica(1)});
  ask(1);
  auto stranger = token(0, 0);
  stranger.gateway = GatewayId(78);
  from(generation(0), stranger);
  auto older = token(0, 0);
  older.attempt = 9;
  from(generation(0), older);
  from(generation(1), token(0, 0));
  from(generation(0, 2), token(0, 0));
  auto unknown = token(0, 0);
  unknown.sequence = SequenceId(40);
  from(generation(0), unknown);
  EXPECT_TRUE(delivered().empty());
  EXPECT_EQ(core.ledger().stale_deltas, 5U);
  from(generation(0), token(0, 0));
  EXPECT_EQ(delivered().size(), 1U);
}

// Deadlines.

TEST_F(GatewayCoreTest, ALateArrivalIsNotAdmitted) {
  view({replica(0)});
  auto late = request(1);
  late.deadline = now;
  ask(late);
  EXPECT_EQ(ended(), (Ended{{1, End::kLate}}));
  EXPECT_EQ(core.admission().accepted, 0U);
}

TEST_F(GatewayCoreTest, DeadlinesEndWhatWaitsAndWhatRuns) {
  view({replica(0)});
  auto config = gateway_config();
  config.admission.running_sequences_max = 1;
  Gateway busy(config);
  busy.view({replica(0)});
  auto runs_long = request(1);
  runs_long.deadline = seconds(5);
  busy.ask(runs_long);
  auto waits = request(2);
  waits.deadline = seconds(3);
  busy.ask(waits);
  ASSERT_EQ(busy.wakes().back().at, seconds(3));
  busy.timer_at(seconds(3));
  ASSERT_EQ(busy.ends().size(), 1U);
  EXPECT_EQ(busy.ends()[0].request, RequestId(2));
  EXPECT_EQ(busy.ends()[0].end.kind, End::kLate);
  EXPECT_FALSE(busy.ends()[0].end.started);
  ASSERT_EQ(busy.wakes().back().at, seconds(5));
  busy.timer_at(seconds(5));
  ASSERT_EQ(busy.ends().size(), 2U);
  EXPECT_EQ(busy.ends()[1].end.kind, End::kTimedOut);
  ASSERT_EQ(busy.stops().size(), 1U);
  EXPECT_EQ(busy.stops()[0].attempt, busy.runs()[0].submission.key());
}

// A shell answers StartRequest while it carries out the list, so a WakeAt behind it would be the last word by mistake.
TEST_F(GatewayCoreTest, TheTimerIsSetAfterTheStart) {
  view({replica(0)});
  hand_over = false;
  ask(1);
  EXPECT_EQ(starts().size(), 1U);
  EXPECT_TRUE(wakes().empty());
  GatewayEffects made;
  core.on_started(RequestId(1), {submission()}, now, made);
  ASSERT_TRUE(std::holds_alternative<WakeAt>(made.back()));
  EXPECT_EQ(std::get<WakeAt>(made.back()).at, seconds(600));
  core.check_integrity();
}

// Credits.

TEST_F(GatewayCoreTest, AReaderThatLeavesMoreThanItsCreditIsCutOff) {
  view({replica(0)});
  auto narrow = request(1, 2);
  narrow.credit = 2;
  ask(narrow);
  answer(0, token(0, 0));
  answer(0, token(0, 1, FinishReason::kStop));  // a terminal one takes no credit
  answer(1, token(1, 0));
  core.on_consumed(RequestId(1), 1);
  answer(1, token(1, 1));
  EXPECT_TRUE(ends().empty());
  answer(1, token(1, 2));
  EXPECT_EQ(ended(), (Ended{{1, End::kSlow}}));
  EXPECT_EQ(delivered().size(), 4U);
  ASSERT_EQ(stops().size(), 1U);
  EXPECT_EQ(stops()[0].attempt, runs()[1].submission.key());
}

TEST_F(GatewayCoreTest, TheTerminalDeltaIsDeliveredWithoutCredit) {
  view({replica(0)});
  auto narrow = request(1);
  narrow.credit = 1;
  ask(narrow);
  answer(0, token(0, 0));
  answer(0, token(0, 1, FinishReason::kLength));
  EXPECT_EQ(delivered().size(), 2U);
  EXPECT_EQ(ended(), (Ended{{1, End::kFinished}}));
}

// Choices.

TEST_F(GatewayCoreTest, AStoppedChoiceEndsWellAndTheOthersGoOn) {
  view({replica(0)});
  ask(1, 2);
  answer(0, token(0, 0));
  stop_choice(1, 0);
  ASSERT_EQ(stops().size(), 1U);
  EXPECT_EQ(stops()[0].attempt, runs()[0].submission.key());
  EXPECT_TRUE(ends().empty());
  stop_choice(1, 0);
  stop_choice(1, 7);
  EXPECT_EQ(stops().size(), 1U) << "a choice ends once";
  stop_choice(1, 1);
  EXPECT_EQ(ended(), (Ended{{1, End::kFinished}}));
  EXPECT_EQ(core.ledger().finished, 2U);
}

TEST_F(GatewayCoreTest, AFailingChoiceEndsItsWholeRequestAndNoOther) {
  view({replica(0)});
  ask(1, 2);
  ask(2);
  auto failed = delta(0);
  failed.finish = FinishReason::kFailed;
  failed.error = {StatusCode::kInternal, "its logits are not finite"};
  answer(0, failed);
  ASSERT_EQ(ended(), (Ended{{1, End::kFailed}}));
  EXPECT_EQ(ends()[0].end.why, failed.error);
  ASSERT_EQ(stops().size(), 1U);
  EXPECT_EQ(stops()[0].attempt, runs()[1].submission.key());
  answer(2, token(2, 0, FinishReason::kStop));
  EXPECT_EQ(ended().back(), (std::pair{2UL, End::kFinished}));
}

TEST_F(GatewayCoreTest, ATokenOutOfOrderEndsTheRequestInsteadOfHidingIt) {
  view({replica(0)});
  ask(1);
  answer(0, token(0, 1));
  ASSERT_EQ(ended(), (Ended{{1, End::kFailed}}));
  EXPECT_EQ(ends()[0].end.why.code(), StatusCode::kInternal);
  EXPECT_EQ(stops().size(), 1U);
}

TEST_F(GatewayCoreTest, InvalidSubmissionsEndTheirRequest) {
  view({replica(0)});
  hand_over = false;
  for (const auto& choices : {std::vector<step::Submission>{}, std::vector{submission(), submission()},
                              std::vector{step::Submission{}}}) {
    const std::uint64_t id = 1 + ends().size();
    ask(id);
    GatewayEffects made;
    core.on_started(RequestId(id), choices, now, made);
    effects.insert(effects.end(), made.begin(), made.end());
    ASSERT_EQ(ended().back(), (std::pair{id, End::kFailed}));
    EXPECT_EQ(ends().back().end.why.code(), StatusCode::kBadInput);
    EXPECT_TRUE(ends().back().end.blames_caller);
    EXPECT_FALSE(ends().back().end.started);
  }
  core.check_integrity();
  EXPECT_TRUE(runs().empty());
}

TEST_F(GatewayCoreTest, ACallerThatLeavesStopsItsChoices) {
  view({replica(0)});
  ask(1, 2);
  gone(1);
  EXPECT_EQ(ended(), (Ended{{1, End::kGone}}));
  EXPECT_EQ(stops().size(), 2U);
  gone(1);
  answer(0, token(0, 0));
  EXPECT_EQ(ends().size(), 1U);
  EXPECT_TRUE(delivered().empty());
}

TEST_F(GatewayCoreTest, ShutdownEndsEverythingAndTakesNothing) {
  view({replica(0)});
  ask(1);
  ask(2);
  shut_down();
  ask(3);
  EXPECT_EQ(ended(), (Ended{{1, End::kShutdown}, {2, End::kShutdown}, {3, End::kShutdown}}));
  EXPECT_EQ(stops().size(), 2U);
}

// Admission.

TEST_F(GatewayCoreTest, ParkedOnesCountAgainstTheWaitingBounds) {
  auto config = gateway_config();
  config.admission.queue_requests_max = 3;
  config.admission.running_sequences_max = 2;
  Gateway small(config);
  small.view({replica(0)});
  small.ask(1);
  small.ask(2);
  small.ask(3);
  EXPECT_EQ(small.core.admission().waiting, 1U);
  small.lose(generation(0), LossCause::kKilled);
  EXPECT_EQ(small.core.admission().waiting, 3U);
  small.ask(4);
  ASSERT_EQ(small.ends().size(), 1U);
  EXPECT_EQ(small.ends()[0].end.refusal->reason, Reason::kQueueRequests);
  EXPECT_FALSE(small.ends()[0].end.started);
  EXPECT_TRUE(small.core.refuses_now(admission::TenantId(1), small.now).has_value());
}

// One of many choices: as many run as there are places, and what waits for a place is not a reason to keep others waiting.
struct GatewayWithTwoPlaces : GatewayCoreTest {
  static GatewayConfig with_two_places() {
    auto config = gateway_config();
    config.admission.running_sequences_max = 2;
    return config;
  }
  GatewayWithTwoPlaces() : GatewayCoreTest(with_two_places()) { view({replica(0)}); }
  [[nodiscard]] std::vector<std::pair<std::uint64_t, std::uint32_t>> ran() const {
    std::vector<std::pair<std::uint64_t, std::uint32_t>> found;
    for (const RunOn& run : runs()) found.emplace_back(run.request.value, run.choice);
    return found;
  }
};

TEST_F(GatewayWithTwoPlaces, AChoiceThatEndsGivesItsPlaceToWhoseTurnItIs) {
  auto wide = request(1, 5);
  wide.prompt_tokens = 300;
  ask(wide);
  auto other = request(2);
  other.tenant = admission::TenantId(2);
  ask(other);
  using Ran = std::vector<std::pair<std::uint64_t, std::uint32_t>>;
  EXPECT_EQ(ran(), (Ran{{1, 0}, {1, 1}}));
  answer(0, token(0, 0, FinishReason::kStop));
  EXPECT_EQ(ran(), (Ran{{1, 0}, {1, 1}, {2, 0}})) << "the other tenant, though the first has choices left";
  answer(2, token(2, 0, FinishReason::kStop));
  EXPECT_EQ(ended(), (Ended{{2, End::kFinished}}));
  for (std::size_t run = 1; run < 6; ++run) {
    if (run != 2) answer(run, token(run, 0, FinishReason::kStop));
  }
  EXPECT_EQ(ran(), (Ran{{1, 0}, {1, 1}, {2, 0}, {1, 2}, {1, 3}, {1, 4}})) << "each once, in order";
  EXPECT_EQ(ended(), (Ended{{2, End::kFinished}, {1, End::kFinished}}));
  EXPECT_EQ(core.admission().running_sequences, 0U);
}

TEST_F(GatewayWithTwoPlaces, AChoiceThatIsStoppedBeforeItRanNeverRuns) {
  ask(1, 4);
  stop_choice(1, 2);
  answer(0, token(0, 0, FinishReason::kStop));
  answer(1, token(1, 0, FinishReason::kStop));
  ASSERT_EQ(runs().size(), 3U);
  EXPECT_EQ(runs()[2].choice, 3U);
  answer(2, token(2, 0, FinishReason::kStop));
  EXPECT_EQ(ended(), (Ended{{1, End::kFinished}}));
}

TEST_F(GatewayWithTwoPlaces, WhatWaitsForAPlaceEndsWithItsRequest) {
  auto wide = request(1, 4);
  wide.deadline = seconds(5);
  ask(wide);
  timer_at(seconds(5));
  EXPECT_EQ(ended(), (Ended{{1, End::kTimedOut}}));
  ask(2, 4);
  gone(2);
  EXPECT_EQ(ended().back(), (std::pair{2UL, End::kGone}));
  EXPECT_EQ(stops().size(), 4U) << "of the choices that ran";
  EXPECT_EQ(core.admission().running + core.admission().waiting, 0U);
}

TEST_F(GatewayWithTwoPlaces, WithoutHopeChoicesThatWaitForAPlaceEndToo) {
  ask(1, 4);
  lose(generation(0), LossCause::kKilled);
  stop_choice(1, 0);
  stop_choice(1, 1);
  EXPECT_TRUE(ended().empty()) << "the replica may return";
  auto lost = replica(0, 1, ReplicaState::kLost);
  lost.returns = false;
  view({lost});
  EXPECT_EQ(ended(), (Ended{{1, End::kFailed}}));
}

TEST_F(GatewayCoreTest, NewRequestsQueueWhileAReplicaCanComeBack) {
  for (const ReplicaState state : {ReplicaState::kMaking, ReplicaState::kLost}) {
    Gateway gateway;
    gateway.view({replica(0, 1, state)});
    gateway.ask(1);
    EXPECT_TRUE(gateway.starts().empty());
    EXPECT_TRUE(gateway.ends().empty());
    EXPECT_EQ(gateway.core.admission().waiting, 1U);
    gateway.view({replica(0, 2)});
    EXPECT_EQ(gateway.runs().size(), 1U);
  }
}

TEST_F(GatewayCoreTest, WithoutHopeRequestsAreRefusedAtOnce) {
  auto lost = replica(0, 1, ReplicaState::kLost);
  view({lost});
  ask(1);
  lost.returns = false;
  view({lost});
  ASSERT_EQ(ended(), (Ended{{1, End::kRefused}})) << "it waited for a replica that will not come";
  ask(2);
  ASSERT_EQ(ended().size(), 2U);
  for (const auto& end : ends()) {
    ASSERT_TRUE(end.end.refusal.has_value());
    EXPECT_EQ(end.end.refusal->reason, Reason::kNoReplica);
    EXPECT_FALSE(end.end.refusal->quota);
    EXPECT_GE(end.end.refusal->retry_after_s, 1);
  }
  EXPECT_EQ(core.refuses_now(admission::TenantId(1), now)->reason, Reason::kNoReplica);
  EXPECT_EQ(core.admission().refused_capacity, 2U);
  EXPECT_EQ(core.admission().waiting, 0U);
}

TEST_F(GatewayCoreTest, WithoutHopeAcceptedOnesEndWithTheReasonOfTheLastLoss) {
  view({replica(0)});
  ask(1, 2);
  auto lost = replica(0, 1, ReplicaState::kLost);
  lost.returns = false;
  lose(generation(0), LossCause::kKilled);
  EXPECT_TRUE(ends().empty());
  view({lost});
  ASSERT_EQ(ended(), (Ended{{1, End::kFailed}}));
  EXPECT_EQ(ends()[0].end.why.message(), "replica 0: rank 1 died; no replica is serving");
  EXPECT_TRUE(ends()[0].end.started);
}

// A rank may fail a step with any code, also with one that says that the request is wrong.
TEST_F(GatewayCoreTest, WhatAReplicaDiedOfIsNotTheClientsFault) {
  for (const StatusCode code : {StatusCode::kBadInput, StatusCode::kUsage}) {
    Gateway gateway;
    auto only = replica(0);
    only.returns = false;
    gateway.view({only});
    gateway.ask(1);
    gateway.lose(generation(0), LossCause::kDiedOfItself, std::nullopt, code);
    ASSERT_EQ(gateway.ends().size(), 1U);
    EXPECT_FALSE(gateway.ends()[0].end.blames_caller);
    EXPECT_EQ(gateway.ends()[0].end.why.code(), code);
    EXPECT_EQ(gateway.ends()[0].end.why.message(), "replica 0: rank 1 died; no replica is serving");
  }
}

TEST_F(GatewayCoreTest, OutputIsChargedToItsTenantAsItComes) {
  view({replica(0)});
  auto asked = request(1);
  core.set_tenant(asked.tenant, {.output_tokens_per_minute = 2});
  ask(asked);
  answer(0, token(0, 0));
  EXPECT_EQ(core.refuses_now(asked.tenant, now), std::nullopt);
  answer(0, token(0, 1));
  ASSERT_TRUE(core.refuses_now(asked.tenant, now).has_value());
  EXPECT_EQ(core.refuses_now(asked.tenant, now)->reason, Reason::kTokenRate);
}

TEST_F(GatewayCoreTest, AFullLedgerRefusesTheWholeRequest) {
  auto config = gateway_config();
  config.open_sequences_max = 3;
  Gateway small(config);
  small.view({replica(0)});
  small.ask(1, 2);
  small.ask(2, 2);
  ASSERT_EQ(small.ends().size(), 1U);
  EXPECT_EQ(small.ends()[0].request, RequestId(2));
  EXPECT_EQ(small.ends()[0].end.kind, End::kFailed);
  EXPECT_EQ(small.ends()[0].end.why.code(), StatusCode::kOverloaded);
  EXPECT_EQ(small.runs().size(), 2U);
}

}  // namespace
}  // namespace herd::gateway
