#include "cluster/replica/replica_core.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace herd::replica {
namespace {

using routing::LossCause;
using step::FinishReason;

constexpr GatewayId kFirst{11};
constexpr GatewayId kSecond{22};

ReplicaCoreConfig config_of(std::uint32_t ranks) {
  ReplicaCoreConfig config;
  config.generation = {ReplicaId(3), Epoch(5)};
  config.scheduler.max_model_len = 64;
  config.scheduler.num_blocks = 32;
  config.scheduler.vocab_size = 100;
  config.ranks = ranks;
  config.step_seconds_max = 2.0;
  return config;
}

step::Submission submission_of(GatewayId gateway, std::uint64_t sequence, std::uint32_t attempt = 0) {
  step::Submission submission;
  submission.gateway = gateway;
  submission.sequence = SequenceId(sequence);
  submission.attempt = attempt;
  submission.tokens = {1, 2, static_cast<TokenId>(gateway.value)};
  submission.prompt_tokens = 3;
  submission.max_tokens = 4;
  return submission;
}

step::StepResult result_of(const step::StepPlan& plan, std::uint32_t rank = 0) {
  step::StepResult result;
  result.epoch = plan.epoch;
  result.step = plan.step;
  result.rank = rank;
  if (rank > 0) return result;
  for (const step::SequenceSlice& slice : plan.slices)
    if (slice.sample) result.sampled.push_back({slice.sequence, slice.output_index, 9, 0.0F, {}, 0, true});
  return result;
}

template <class Effect>
std::vector<Effect> all_of(const ReplicaEffects& effects) {
  std::vector<Effect> found;
  for (const ReplicaEffect& effect : effects)
    if (const auto* one = std::get_if<Effect>(&effect)) found.push_back(*one);
  return found;
}

// Every event's effects are left in `effects`.
struct ReplicaCoreTest : testing::Test {
  explicit ReplicaCoreTest(std::uint32_t ranks = 1) : core(config_of(ranks)) {}
  ~ReplicaCoreTest() override { core.check_integrity(); }

  void serve() {
    for (std::uint32_t rank = 0; rank < config_of(2).ranks; ++rank) core.on_rank_made(rank, {}, effects);
    effects.clear();
  }
  // The plans that came of it.
  std::vector<step::StepPlan> submit(const step::Submission& submission) {
    effects.clear();
    core.on_submission(submission, now, effects);
    core.check_integrity();
    std::vector<step::StepPlan> plans;
    for (const ExecuteOnRanks& execute : all_of<ExecuteOnRanks>(effects)) plans.push_back(execute.plan);
    return plans;
  }
  void answer(const step::StepResult& result) {
    effects.clear();
    core.on_result(result, now, effects);
    core.check_integrity();
  }
  std::vector<step::TokenDelta> deltas() const {
    std::vector<step::TokenDelta> found;
    for (const SendDeltas& send : all_of<SendDeltas>(effects)) {
      for (const step::TokenDelta& delta : send.deltas) {
        EXPECT_EQ(delta.gateway, send.gateway);
        found.push_back(delta);
      }
    }
    return found;
  }
  void expect_refused(const step::Submission& submission, StatusCode code) {
    EXPECT_TRUE(submit(submission).empty());
    ASSERT_EQ(deltas().size(), 1U);
    EXPECT_EQ(deltas()[0].key(), submission.key());
    EXPECT_EQ(deltas()[0].finish, FinishReason::kRefused);
    EXPECT_EQ(deltas()[0].error.code(), code) << deltas()[0].error.message();
  }
  // The end that follows whatever fails a group that serves.
  void expect_lost(LossCause cause, const std::string& why, const std::vector<step::AttemptKey>& in_step) {
    ASSERT_EQ(effects.size(), 3U);
    EXPECT_TRUE(std::holds_alternative<AbortGroup>(effects[0]));
    ASSERT_TRUE(std::holds_alternative<SayLost>(effects[1]));
    const routing::ReplicaLoss& loss = std::get<SayLost>(effects[1]).loss;
    EXPECT_EQ(loss.replica, config_of(1).generation);
    EXPECT_EQ(loss.cause, cause);
    EXPECT_EQ(loss.why.message(), why);
    std::vector<step::AttemptKey> named;
    for (const routing::AttemptInStep& one : loss.in_step.value()) named.push_back(one.attempt);
    EXPECT_EQ(named, in_step);
    EXPECT_TRUE(std::holds_alternative<EndRanks>(effects[2]));
    EXPECT_TRUE(core.ended());
  }

  ReplicaCore core;
  ReplicaEffects effects;
  Instant now{1'000'000'000};
};

struct ReplicaCoreOfTwoRanks : ReplicaCoreTest {
  ReplicaCoreOfTwoRanks() : ReplicaCoreTest(2) {}
};

TEST_F(ReplicaCoreOfTwoRanks, ServesWhenAllRanksAreMade) {
  core.on_rank_made(1, {}, effects);
  core.on_rank_made(1, {}, effects);
  core.on_rank_made(2, {}, effects);
  EXPECT_TRUE(effects.empty());
  EXPECT_FALSE(core.serving());
  core.on_rank_made(0, {}, effects);
  ASSERT_EQ(effects.size(), 1U);
  EXPECT_TRUE(std::holds_alternative<SayServing>(effects[0]));
  EXPECT_TRUE(core.serving());
}

TEST_F(ReplicaCoreOfTwoRanks, ARankThatCannotBeMadeEndsTheStart) {
  core.on_rank_made(0, {}, effects);
  core.on_rank_made(1, missing("no memory"), effects);
  ASSERT_EQ(effects.size(), 3U);
  EXPECT_EQ(std::get<AbortGroup>(effects[0]).why, missing("no memory"));
  EXPECT_EQ(std::get<SayStartFailed>(effects[1]).why, missing("replica 3: no memory"));
  EXPECT_TRUE(std::holds_alternative<EndRanks>(effects[2]));
  effects.clear();
  core.on_rank_made(1, {}, effects);
  core.on_rank_lost(0, LossCause::kKilled, {StatusCode::kAborted, "rank 0 died"}, effects);
  core.on_stop(now, effects);
  EXPECT_TRUE(effects.empty());
}

TEST_F(ReplicaCoreOfTwoRanks, TakesNothingBeforeItServes) { expect_refused(submission_of(kFirst, 1), StatusCode::kAborted); }

TEST_F(ReplicaCoreOfTwoRanks, SendsPlansToRanksAndTokensToTheGateway) {
  serve();
  const auto plans = submit(submission_of(kFirst, 7, 2));
  ASSERT_EQ(plans.size(), 2U);  // one step ahead
  EXPECT_EQ(plans[0].epoch, Epoch(5));
  answer(result_of(plans[0], 1));
  EXPECT_TRUE(effects.empty());
  answer(result_of(plans[0], 0));
  ASSERT_GE(effects.size(), 3U);
  EXPECT_TRUE(std::holds_alternative<StepFinished>(effects[0]));
  EXPECT_TRUE(std::holds_alternative<SendDeltas>(effects[1]));
  EXPECT_TRUE(std::holds_alternative<ExecuteOnRanks>(effects[2]));
  ASSERT_EQ(deltas().size(), 1U);
  EXPECT_EQ(deltas()[0].key(), submission_of(kFirst, 7, 2).key());
  EXPECT_EQ(deltas()[0].token.sequence, SequenceId(7));
  EXPECT_EQ(deltas()[0].token.token, 9);
  EXPECT_EQ(core.stats().steps, 1U);
}

struct ServingReplicaCore : ReplicaCoreTest {
  ServingReplicaCore() { core.on_rank_made(0, {}, effects); }
};

TEST_F(ServingReplicaCore, EqualNumbersOfTwoGatewaysAreTwoStreams) {
  auto plans = submit(submission_of(kFirst, 1));
  EXPECT_TRUE(submit(submission_of(kSecond, 1)).empty());  // two steps are out
  answer(result_of(plans[0]));
  plans = {plans[1], all_of<ExecuteOnRanks>(effects).at(0).plan};
  answer(result_of(plans[0]));
  answer(result_of(plans[1]));
  const auto sends = all_of<SendDeltas>(effects);
  ASSERT_EQ(sends.size(), 2U);
  EXPECT_EQ(sends[0].gateway, kFirst);
  EXPECT_EQ(sends[0].deltas.at(0).token.output_index, 2U);
  EXPECT_EQ(sends[1].gateway, kSecond);
  EXPECT_EQ(sends[1].deltas.at(0).token.output_index, 0U);
}

TEST_F(ServingReplicaCore, OutputRowsCarryTheGatewaysNumber) {
  step::Submission scored = submission_of(kFirst, 7);
  scored.max_tokens = 0;
  scored.output = step::OutputSelector::kLogitsLast;
  const auto plans = submit(scored);
  step::StepResult result = result_of(plans.at(0));
  const SequenceId own = plans[0].slices.at(0).sequence;
  EXPECT_NE(own, SequenceId(7));
  result.outputs.push_back({own, 2, 1, 1, 1, {0.5F}});
  answer(result);
  ASSERT_EQ(deltas().size(), 1U);
  EXPECT_EQ(deltas()[0].outputs.at(0).sequence, SequenceId(7));
  EXPECT_EQ(deltas()[0].finish, FinishReason::kLength);
}

TEST_F(ServingReplicaCore, AnAttemptThatIsNotNewerIsDroppedAndTheOpenOneGoesOn) {
  const auto plans = submit(submission_of(kFirst, 1, 2));
  for (const std::uint32_t attempt : {2U, 1U}) {
    (void)submit(submission_of(kFirst, 1, attempt));
    EXPECT_TRUE(effects.empty());
  }
  EXPECT_EQ(core.stats().stale_submissions, 2U);
  answer(result_of(plans[0]));
  EXPECT_EQ(deltas().at(0).key(), submission_of(kFirst, 1, 2).key());
  EXPECT_TRUE(deltas()[0].has_token);
}

TEST_F(ServingReplicaCore, ARepeatThatComesWhileItStopsDoesNotEndTheOpenAttempt) {
  (void)submit(submission_of(kFirst, 1, 2));
  core.on_stop(now, effects);
  (void)submit(submission_of(kFirst, 1, 2));
  EXPECT_TRUE(effects.empty());
}

TEST_F(ServingReplicaCore, ANewerAttemptEndsTheOlderOne) {
  const auto plans = submit(submission_of(kFirst, 1, 0));
  (void)submit(submission_of(kFirst, 1, 1));
  ASSERT_EQ(deltas().size(), 1U);
  EXPECT_EQ(deltas()[0].key(), submission_of(kFirst, 1, 0).key());
  EXPECT_EQ(deltas()[0].finish, FinishReason::kAborted);
  answer(result_of(plans[0]));
  EXPECT_TRUE(deltas().empty());  // the older attempt's token
}

TEST_F(ServingReplicaCore, AnAbortNamesTheAttempt) {
  (void)submit(submission_of(kFirst, 1, 1));
  effects.clear();
  core.on_abort(submission_of(kSecond, 1, 1).key(), now, effects);
  core.on_abort(submission_of(kFirst, 1, 0).key(), now, effects);
  EXPECT_TRUE(effects.empty());
  core.on_abort(submission_of(kFirst, 1, 1).key(), now, effects);
  ASSERT_EQ(deltas().size(), 1U);
  EXPECT_EQ(deltas()[0].finish, FinishReason::kAborted);
}

TEST_F(ServingReplicaCore, WhatAGoneGatewayAskedForEndsAndNobodyIsTold) {
  auto plans = submit(submission_of(kFirst, 1));
  (void)submit(submission_of(kSecond, 1));
  effects.clear();
  core.on_gateway_gone(kFirst, now, effects);
  EXPECT_TRUE(deltas().empty());
  answer(result_of(plans[0]));
  plans.push_back(all_of<ExecuteOnRanks>(effects).at(0).plan);
  answer(result_of(plans[1]));
  EXPECT_TRUE(deltas().empty());
  answer(result_of(plans[2]));
  ASSERT_EQ(deltas().size(), 1U);
  EXPECT_EQ(deltas()[0].gateway, kSecond);
}

// What would fail a step at the ranks, and the next replica's after it.
TEST_F(ServingReplicaCore, RefusesWhatItsRanksWouldTripOver) {
  step::Submission bad = submission_of(kFirst, 1);
  bad.tokens[1] = 100;
  expect_refused(bad, StatusCode::kBadInput);
  bad.tokens[1] = -1;
  expect_refused(bad, StatusCode::kBadInput);
  bad = submission_of(kFirst, 1);
  bad.eos_ids = {100};
  expect_refused(bad, StatusCode::kBadInput);
  bad = submission_of(kFirst, 1);
  bad.sampling.stop_token_ids = {100};
  expect_refused(bad, StatusCode::kBadInput);
  bad = submission_of(kFirst, 1);
  bad.sampling.logit_bias = {{100, 1.0F}};
  expect_refused(bad, StatusCode::kBadInput);
  bad = submission_of(kFirst, 1);
  bad.prompt_tokens = 4;
  expect_refused(bad, StatusCode::kBadInput);
  EXPECT_FALSE(submit(submission_of(kFirst, 1)).empty());
}

TEST_F(ServingReplicaCore, AFailedStepBlamesWhatWasUnderWay) {
  const auto plans = submit(submission_of(kFirst, 4));
  (void)submit(submission_of(kSecond, 4));  // waits
  step::StepResult failed = result_of(plans[0]);
  failed.status = {StatusCode::kInternal, "no"};
  answer(failed);
  expect_lost(LossCause::kDiedOfItself, "replica 3: rank 0 failed step 1: no", {submission_of(kFirst, 4).key()});
}

// A gateway may hear of the death before it hears of the tokens that led to it.
TEST_F(ServingReplicaCore, ALossTellsHowManyTokensItsLastStepsWouldHaveEmitted) {
  const auto plans = submit(submission_of(kFirst, 4));
  ASSERT_EQ(plans.size(), 2U) << "one step ahead";
  effects.clear();
  core.on_rank_lost(0, LossCause::kDiedOfItself, {StatusCode::kAborted, "rank 0 died"}, effects);
  const auto in_step = std::get<SayLost>(effects[1]).loss.in_step.value();
  ASSERT_EQ(in_step.size(), 1U);
  EXPECT_EQ(in_step[0].attempt, submission_of(kFirst, 4).key());
  EXPECT_EQ(in_step[0].emitted, 2U);
}

// Two steps are out; both count, each attempt once.
TEST_F(ServingReplicaCore, AnAttemptThatEndedInAStepUnderWayIsBlamedToo) {
  (void)submit(submission_of(kSecond, 1));
  core.on_abort(submission_of(kSecond, 1).key(), now, effects);
  (void)submit(submission_of(kFirst, 1));
  effects.clear();
  core.on_rank_lost(0, LossCause::kDiedOfItself, {StatusCode::kAborted, "rank 0 died"}, effects);
  expect_lost(LossCause::kDiedOfItself, "replica 3: rank 0 died", {submission_of(kSecond, 1).key()});
}

TEST_F(ServingReplicaCore, ALostRankEndsTheGroupForTheCauseGiven) {
  effects.clear();
  core.on_rank_lost(0, LossCause::kKilled, {StatusCode::kAborted, "rank 0 died"}, effects);
  expect_lost(LossCause::kKilled, "replica 3: rank 0 died", {});
  effects.clear();
  core.on_rank_lost(0, LossCause::kDiedOfItself, {StatusCode::kAborted, "rank 0 died"}, effects);
  core.on_stop(now, effects);
  core.on_timer(now, effects);
  EXPECT_TRUE(effects.empty());
  expect_refused(submission_of(kFirst, 1), StatusCode::kAborted);
}

TEST_F(ReplicaCoreOfTwoRanks, DifferentTokensEndTheGroup) {
  serve();
  const auto plans = submit(submission_of(kFirst, 1));
  answer(result_of(plans[0], 0));
  step::StepResult other = result_of(plans[0], 1);
  other.token_hash = 1;
  answer(other);
  expect_lost(LossCause::kTokensDiffer, "replica 3: step 1: sampled tokens differ from rank 0's on rank 1",
              {submission_of(kFirst, 1).key()});
}

TEST_F(ServingReplicaCore, AnOverdueStepEndsTheGroup) {
  (void)submit(submission_of(kFirst, 1));
  const auto wakes = all_of<WakeReplicaAt>(effects);
  ASSERT_EQ(wakes.size(), 1U);
  effects.clear();
  core.on_timer(wakes[0].at, effects);
  expect_lost(LossCause::kOverdue, "replica 3: step 1 is overdue on rank 0", {submission_of(kFirst, 1).key()});
}

TEST_F(ServingReplicaCore, OneTimerWatchesManySteps) {
  const auto plans = submit(submission_of(kFirst, 1));
  const Instant first_wake = all_of<WakeReplicaAt>(effects).at(0).at;
  now = Instant{2'000'000'000};
  answer(result_of(plans[0]));
  answer(result_of(plans[1]));
  EXPECT_TRUE(all_of<WakeReplicaAt>(effects).empty());
  effects.clear();
  core.on_timer(first_wake, effects);  // step 3 is out since 2 s
  ASSERT_EQ(effects.size(), 1U);
  EXPECT_EQ(std::get<WakeReplicaAt>(effects[0]).at, Instant{4'000'000'001});
}

TEST_F(ServingReplicaCore, AnIdleOneNeedsNoTimer) {
  effects.clear();
  core.on_timer(now, effects);
  EXPECT_TRUE(effects.empty());
}

TEST_F(ServingReplicaCore, DropsAndCountsResultsOfAnotherEpochOrStep) {
  const auto plans = submit(submission_of(kFirst, 1));
  step::StepResult stale = result_of(plans[0]);
  stale.epoch = Epoch(4);
  answer(stale);
  EXPECT_TRUE(effects.empty());
  stale.epoch = Epoch(5);
  stale.step = StepId(9);
  stale.status = {StatusCode::kInternal, "of another life"};
  answer(stale);
  EXPECT_TRUE(effects.empty());
  EXPECT_EQ(core.stats().stale_results, 2U);
}

TEST_F(ServingReplicaCore, StopsBehindItsLastResult) {
  const auto plans = submit(submission_of(kFirst, 1));
  effects.clear();
  core.on_stop(now, effects);
  EXPECT_TRUE(effects.empty());
  expect_refused(submission_of(kFirst, 2), StatusCode::kAborted);
  answer(result_of(plans[0]));
  EXPECT_EQ(deltas().size(), 1U);
  EXPECT_TRUE(all_of<ExecuteOnRanks>(effects).empty());
  EXPECT_FALSE(core.ended());
  answer(result_of(plans[1]));
  ASSERT_EQ(effects.size(), 4U);
  EXPECT_EQ(std::get<SayLost>(effects[2]).loss.cause, LossCause::kStopped);
  EXPECT_TRUE(std::holds_alternative<EndRanks>(effects[3]));
  EXPECT_TRUE(core.ended());
}

TEST_F(ReplicaCoreOfTwoRanks, StoppedBeforeItServedTellsWhoWaits) {
  core.on_stop(now, effects);
  ASSERT_EQ(effects.size(), 2U);
  EXPECT_EQ(std::get<SayStartFailed>(effects[0]).why.message(), "the replica was stopped");
  EXPECT_TRUE(std::holds_alternative<EndRanks>(effects[1]));
}

}  // namespace
}  // namespace herd::replica
