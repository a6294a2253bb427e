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
  explicit ReplicaCoreTest(const ReplicaCoreConfig& config = config_of(1)) : core(config) {}
  ~ReplicaCoreTest() override { core.check_integrity(); }

  void serve() {
    for (std::uint32_t rank = 0; rank < config_of(2).ranks; ++rank) core.on_rank_joined(rank, {}, effects);
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
  void expect_lost(LossCause cause, const std::string& why, const std::vector<step::AttemptKey>& in_step,
                   const std::vector<std::uint32_t>& blamed) {
    ASSERT_EQ(effects.size(), 3U);
    EXPECT_TRUE(std::holds_alternative<AbortGroup>(effects[0]));
    expect_loss_said(cause, why, in_step, blamed);
  }
  // The same, of a group that was aborted before.
  void expect_loss_said(LossCause cause, const std::string& why, const std::vector<step::AttemptKey>& in_step,
                        const std::vector<std::uint32_t>& blamed) {
    ASSERT_GE(effects.size(), 2U);
    const std::size_t said = effects.size() - 2;
    ASSERT_TRUE(std::holds_alternative<SayLost>(effects[said]));
    const routing::ReplicaLoss& loss = std::get<SayLost>(effects[said]).loss;
    EXPECT_EQ(loss.blamed, blamed);
    EXPECT_EQ(loss.replica, config_of(1).generation);
    EXPECT_EQ(loss.cause, cause);
    EXPECT_EQ(loss.why.message(), why);
    std::vector<step::AttemptKey> named;
    for (const routing::AttemptInStep& one : loss.in_step.value()) named.push_back(one.attempt);
    EXPECT_EQ(named, in_step);
    EXPECT_TRUE(std::holds_alternative<EndGeneration>(effects[said + 1]));
    EXPECT_TRUE(core.ended());
  }
  [[nodiscard]] Instant after(double seconds) const { return {now.ns + static_cast<std::int64_t>(seconds * 1e9)}; }
  // Looks at the ranks as often as the core asks for, all the while as they are: until it ends, at most so long. What it said
  // last is left in `effects`.
  double look(const std::vector<Progress>& ranks, double seconds_max) {
    const Instant begin = now;
    while (!core.ended() && seconds_between(begin, now) < seconds_max) {
      now = after(0.1);
      effects.clear();
      core.on_timer(now, ranks, effects);
      core.check_integrity();
    }
    return seconds_between(begin, now);
  }

  ReplicaCore core;
  ReplicaEffects effects;
  Instant now{1'000'000'000};
};

struct ReplicaCoreOfTwoRanks : ReplicaCoreTest {
  ReplicaCoreOfTwoRanks() : ReplicaCoreTest(config_of(2)) {}
};

TEST_F(ReplicaCoreOfTwoRanks, ServesWhenAllRanksHaveJoined) {
  core.on_rank_joined(1, {}, effects);
  core.on_rank_joined(1, {}, effects);
  core.on_rank_joined(2, {}, effects);
  EXPECT_TRUE(effects.empty());
  EXPECT_FALSE(core.serving());
  core.on_rank_joined(0, {}, effects);
  ASSERT_EQ(effects.size(), 1U);
  EXPECT_TRUE(std::holds_alternative<SayServing>(effects[0]));
  EXPECT_TRUE(core.serving());
}

TEST_F(ReplicaCoreOfTwoRanks, ARankThatCannotJoinIsALoss) {
  core.on_rank_joined(0, {}, effects);
  core.on_rank_joined(1, missing("no memory"), effects);
  ASSERT_EQ(effects.size(), 3U);
  EXPECT_EQ(std::get<AbortGroup>(effects[0]).why, missing("no memory"));
  const routing::ReplicaLoss loss = std::get<SayLost>(effects[1]).loss;
  EXPECT_EQ(loss.why, missing("replica 3: no memory"));
  EXPECT_EQ(loss.cause, LossCause::kDiedOfItself);
  EXPECT_EQ(loss.in_step, std::vector<routing::AttemptInStep>{});
  EXPECT_EQ(loss.blamed, std::vector<std::uint32_t>{1});
  EXPECT_TRUE(std::holds_alternative<EndGeneration>(effects[2]));
  effects.clear();
  core.on_rank_joined(1, {}, effects);
  core.on_rank_lost(0, LossCause::kKilled, {StatusCode::kAborted, "rank 0 died"}, effects);
  core.on_stop(now, effects);
  EXPECT_TRUE(effects.empty());
}

TEST_F(ReplicaCoreOfTwoRanks, ARankWhoseGroupWasGivenUpWhileItJoinedIsNotToBlame) {
  core.on_rank_joined(1, {StatusCode::kAborted, "rank 0 did not come"}, effects);
  ASSERT_EQ(effects.size(), 3U);
  EXPECT_EQ(std::get<SayLost>(effects[1]).loss.cause, LossCause::kOverdue);
  EXPECT_TRUE(std::get<SayLost>(effects[1]).loss.blamed.empty());
}

TEST_F(ReplicaCoreOfTwoRanks, RanksThatDoNotJoinInTimeAreALoss) {
  core.on_start(now, effects);
  core.on_rank_joined(0, {}, effects);
  for (Instant at = all_of<WakeReplicaAt>(effects).at(0).at; !core.ended(); at = all_of<WakeReplicaAt>(effects).at(0).at) {
    ASSERT_LE(at, after(config_of(2).step_seconds_max));
    effects.clear();
    core.on_timer(at, {}, effects);
    if (core.ended()) break;
  }
  expect_lost(LossCause::kOverdue, "replica 3: its ranks did not form a group in time", {}, {1});
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
  ServingReplicaCore() { core.on_rank_joined(0, {}, effects); }
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
  expect_lost(LossCause::kDiedOfItself, "replica 3: rank 0 failed step 1: no", {submission_of(kFirst, 4).key()}, {0});
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

// Of what was in the step only the one that the rank was at, under the name that its gateway knows.
TEST_F(ServingReplicaCore, ARankThatDiedOfItselfSaysWhatItWasWorkingOn) {
  const auto plans = submit(submission_of(kFirst, 4));
  const SequenceId own = plans.at(0).started.at(0).sequence;
  EXPECT_EQ(core.attempt_of(own), submission_of(kFirst, 4).key());
  EXPECT_EQ(core.attempt_of(SequenceId(own.value + 1)), std::nullopt);
  effects.clear();
  core.on_rank_lost(0, LossCause::kDiedOfItself, {StatusCode::kAborted, "rank 0 died"}, effects, own);
  EXPECT_EQ(std::get<SayLost>(effects[1]).loss.at_work, std::vector{submission_of(kFirst, 4).key()});
}

TEST_F(ServingReplicaCore, NobodyIsNamedForADeathFromOutside) {
  const SequenceId own = submit(submission_of(kFirst, 4)).at(0).started.at(0).sequence;
  effects.clear();
  core.on_rank_lost(0, LossCause::kKilled, {StatusCode::kAborted, "rank 0 died"}, effects, own);
  EXPECT_TRUE(std::get<SayLost>(effects[1]).loss.at_work.empty());
}

TEST_F(ServingReplicaCore, NobodyIsNamedWhenWhatTheRankNamesIsOver) {
  const SequenceId own = submit(submission_of(kFirst, 4)).at(0).started.at(0).sequence;
  effects.clear();
  core.on_rank_lost(0, LossCause::kDiedOfItself, {StatusCode::kAborted, "rank 0 died"}, effects, SequenceId(own.value + 1));
  EXPECT_TRUE(std::get<SayLost>(effects[1]).loss.at_work.empty());
}

// Two steps are out; both count, each attempt once.
TEST_F(ServingReplicaCore, AnAttemptThatEndedInAStepUnderWayIsBlamedToo) {
  (void)submit(submission_of(kSecond, 1));
  core.on_abort(submission_of(kSecond, 1).key(), now, effects);
  (void)submit(submission_of(kFirst, 1));
  effects.clear();
  core.on_rank_lost(0, LossCause::kDiedOfItself, {StatusCode::kAborted, "rank 0 died"}, effects);
  expect_lost(LossCause::kDiedOfItself, "replica 3: rank 0 died", {submission_of(kSecond, 1).key()}, {0});
}

TEST_F(ServingReplicaCore, ALostRankEndsTheGroupForTheCauseGiven) {
  effects.clear();
  core.on_rank_lost(0, LossCause::kKilled, {StatusCode::kAborted, "rank 0 died"}, effects);
  expect_lost(LossCause::kKilled, "replica 3: rank 0 died", {}, {0});
  effects.clear();
  core.on_rank_lost(0, LossCause::kDiedOfItself, {StatusCode::kAborted, "rank 0 died"}, effects);
  core.on_stop(now, effects);
  core.on_timer(now, {}, effects);
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
  expect_lost(LossCause::kTokensDiffer, "replica 3: step 1: sampled tokens differ between ranks 0 1",
              {submission_of(kFirst, 1).key()}, {0, 1});
}

// The last bound: every rank lives and moves, and the step never ends.
TEST_F(ServingReplicaCore, AnOverdueStepEndsTheGroup) {
  (void)submit(submission_of(kFirst, 1));
  ASSERT_EQ(all_of<WakeReplicaAt>(effects).size(), 1U);
  std::vector<Progress> ranks{{5, 1, 0, Operation::kMatmul}};
  while (!core.ended() && now < after(10)) {
    ++ranks[0].number;
    (void)look(ranks, 0.1);
  }
  expect_lost(LossCause::kOverdue, "replica 3: step 1 is overdue on rank 0", {submission_of(kFirst, 1).key()}, {0});
}

TEST_F(ServingReplicaCore, WithoutReadingsStepsStillHaveTheirDeadline) {
  (void)submit(submission_of(kFirst, 1));
  const double took_s = look({}, 10);
  expect_lost(LossCause::kOverdue, "replica 3: step 1 is overdue on rank 0", {submission_of(kFirst, 1).key()}, {0});
  EXPECT_NEAR(took_s, 2.05, 0.1);
}

TEST_F(ServingReplicaCore, ARankThatHangsIsNamedLongBeforeTheStepIsOverdue) {
  (void)submit(submission_of(kFirst, 1));
  const double took_s = look({{5, 1, 7, Operation::kMatmul}}, 10);
  expect_lost(LossCause::kOverdue, "replica 3: rank 0 has made no progress for 1.5 s in matmul (operation 7 of step 1)",
              {submission_of(kFirst, 1).key()}, {0});
  EXPECT_NEAR(took_s, 1.6, 0.1);
}

scheduler::StepCost slow_cost() {
  model::LlamaConfig model;
  model.hidden_size = 64;
  model.layers = 2;
  model.heads = model.kv_heads = 4;
  model.head_dim = 16;
  model.intermediate_size = 128;
  model.vocab_size = 100;
  return {model, {}, 1, {.flops_per_s = 2e4, .bytes_per_s = 2e4, .step_overhead_s = 0}};
}

struct SlowReplicaCore : ReplicaCoreTest {
  SlowReplicaCore() : ReplicaCoreTest(slow()) { core.on_rank_joined(0, {}, effects); }
  static ReplicaCoreConfig slow() {
    ReplicaCoreConfig config = config_of(1);
    config.step_seconds_max = 1e4;
    config.cost = slow_cost();
    return config;
  }
};

TEST_F(SlowReplicaCore, GivesARankTheTimeThatItsOperationIsPredictedToTake) {
  double predicted_s = 0;
  for (const step::StepPlan& plan : submit(submission_of(kFirst, 1)))
    predicted_s = std::max(predicted_s, slow_cost().operation_seconds(Operation::kMatmul, scheduler::shape_of(plan)));
  ASSERT_GT(predicted_s, 1.0);
  EXPECT_NEAR(look({{5, 1, 7, Operation::kMatmul}}, 1e3), 4 * predicted_s, 0.2);
  EXPECT_TRUE(core.ended());
}

TEST_F(SlowReplicaCore, SaysHowFastItIs) {
  const double one_s = slow_cost().step_seconds({.rows = 1, .logit_rows = 1, .context_tokens = 0, .attended = 0});
  EXPECT_EQ(core.stats().decode_step_s, one_s) << "nothing runs yet";
  const double token_s = core.stats().prompt_token_s;
  const std::uint32_t rows = config_of(1).scheduler.max_num_batched_tokens;
  const std::uint64_t pairs = std::uint64_t{rows} * (rows + 1) / 2;  // every row sees itself and those before it
  EXPECT_DOUBLE_EQ(token_s * rows,
                   slow_cost().step_seconds({.rows = rows, .logit_rows = 0, .context_tokens = rows, .attended = pairs}));
  for (std::uint64_t sequence = 1; sequence <= 4; ++sequence) (void)submit(submission_of(kFirst, sequence));
  EXPECT_GT(core.stats().decode_step_s, one_s);
  EXPECT_EQ(core.stats().prompt_token_s, token_s);
  const ReplicaCore unmeasured(config_of(1));
  EXPECT_EQ(unmeasured.stats().decode_step_s, 0.0);
  EXPECT_EQ(unmeasured.stats().prompt_token_s, 0.0);
}

// Its steps take seconds by prediction: a prompt beside a stream has the rows that it has in any case.
TEST_F(SlowReplicaCore, PlansChunksByWhatStepsArePredictedToTake) {
  auto out = submit(submission_of(kFirst, 1));
  step::Submission prompt = submission_of(kSecond, 1);
  prompt.tokens.resize(40, 5);
  prompt.prompt_tokens = 40;
  (void)submit(prompt);
  for (const step::StepPlan& plan : out) {
    answer(result_of(plan));
    const auto planned = all_of<ExecuteOnRanks>(effects);
    ASSERT_EQ(planned.size(), 1U);
    ASSERT_EQ(planned[0].plan.slices.size(), 2U);
    EXPECT_EQ(planned[0].plan.slices[1].rows, 16U);
  }
}

TEST_F(ReplicaCoreOfTwoRanks, APauseWhileRanksJoinIsNobodysFault) {
  core.on_start(now, effects);
  EXPECT_NEAR(look({}, 1.5), 1.5, 0.05);
  now = after(1000);
  EXPECT_NEAR(look({}, 0.3), 0.3, 0.05);
  EXPECT_FALSE(core.ended());
  (void)look({}, 1.0);
  EXPECT_TRUE(core.ended());
}

TEST_F(ServingReplicaCore, APauseOfTheWholeProcessIsNobodysFault) {
  (void)submit(submission_of(kFirst, 1));
  const std::vector<Progress> ranks{{5, 1, 7, Operation::kMatmul}};
  EXPECT_NEAR(look(ranks, 1.4), 1.4, 0.05);
  now = after(1000);
  EXPECT_NEAR(look(ranks, 1.4), 1.4, 0.05);
  EXPECT_FALSE(core.ended());
  (void)look(ranks, 1.0);
  EXPECT_TRUE(core.ended()) << "but it hangs now";
}

TEST_F(ServingReplicaCore, APauseDoesNotMakeAStepOverdue) {
  (void)submit(submission_of(kFirst, 1));
  EXPECT_NEAR(look({}, 1.5), 1.5, 0.05);
  now = after(1000);
  EXPECT_NEAR(look({}, 1.5), 1.5, 0.05);
  EXPECT_FALSE(core.ended());
  (void)look({}, 1.0);
  EXPECT_TRUE(core.ended());
}

// A rank that owes nothing may be idle as long as it likes; so may all, between requests.
TEST_F(ServingReplicaCore, ATimeWithoutStepsIsNotSilence) {
  const auto plans = submit(submission_of(kFirst, 1));
  const std::vector<Progress> ranks{{5, 2, 9, Operation::kIdle}};
  (void)look(ranks, 1.4);
  answer(result_of(plans[0]));
  const auto third = all_of<ExecuteOnRanks>(effects).at(0).plan;
  core.on_abort(submission_of(kFirst, 1).key(), now, effects);
  answer(result_of(plans[1]));
  const auto last = all_of<ExecuteOnRanks>(effects).at(0).plan;
  answer(result_of(third));
  answer(result_of(last));
  (void)look(ranks, 3.0);
  ASSERT_FALSE(core.ended());
  now = after(100);
  (void)submit(submission_of(kFirst, 2));
  EXPECT_NEAR(look(ranks, 10), 1.6, 0.2) << "it has not taken the new plan up";
}

TEST_F(ReplicaCoreOfTwoRanks, WhenBothWaitInTheSameCollectiveNobodyIsBlamed) {
  serve();
  (void)submit(submission_of(kFirst, 1));
  const Progress waits{5, 1, 6, Operation::kCollective};
  EXPECT_NEAR(look({waits, waits}, 10), 1.6, 0.1);
  EXPECT_TRUE(core.ended());
  EXPECT_TRUE(std::get<SayLost>(effects.at(1)).loss.blamed.empty());
}

// Who dies takes the others along; it is heard of them first.
struct AGroupThatWasGivenUp : ReplicaCoreOfTwoRanks {
  AGroupThatWasGivenUp() {
    serve();
    plans = submit(submission_of(kFirst, 1));
    step::StepResult gave_up = result_of(plans[0], 0);
    gave_up.status = {StatusCode::kAborted, "rank 1 did not come"};
    answer(gave_up);
    EXPECT_EQ(effects.size(), 1U);
    EXPECT_TRUE(std::holds_alternative<AbortGroup>(effects.at(0))) << "at once, so that the others return";
    EXPECT_FALSE(core.serving());
    effects.clear();
  }
  void give_up(std::uint32_t rank) {
    for (const step::StepPlan& plan : plans) {
      step::StepResult result = result_of(plan, rank);
      result.status = {StatusCode::kAborted, "rank " + std::to_string(1 - rank) + " did not come"};
      answer(result);
    }
  }
  std::vector<step::StepPlan> plans;
};

TEST_F(AGroupThatWasGivenUp, BecauseARankDiedOfItselfTellsSo) {
  core.on_rank_lost(1, LossCause::kDiedOfItself, {StatusCode::kAborted, "rank 1 died"}, effects);
  ASSERT_EQ(effects.size(), 2U);
  expect_loss_said(LossCause::kDiedOfItself, "replica 3: rank 1 died", {submission_of(kFirst, 1).key()}, {1});
}

TEST_F(AGroupThatWasGivenUp, BecauseARankFailedTellsSo) {
  step::StepResult failed = result_of(plans[0], 1);
  failed.status = {StatusCode::kInternal, "no"};
  answer(failed);
  ASSERT_EQ(effects.size(), 2U);
  expect_loss_said(LossCause::kDiedOfItself, "replica 3: rank 1 failed step 1: no", {submission_of(kFirst, 1).key()}, {1});
}

TEST_F(AGroupThatWasGivenUp, ByAllOfItsRanksHasNobodyToBlame) {
  give_up(0);
  EXPECT_FALSE(core.ended());
  give_up(1);
  expect_loss_said(LossCause::kOverdue, "replica 3: rank 0 failed step 1: rank 1 did not come", {submission_of(kFirst, 1).key()}, {});
}

TEST_F(AGroupThatWasGivenUp, ForARankThatSaysNothingNamesIt) {
  give_up(0);
  EXPECT_NEAR(look({{5, 1, 7, Operation::kCollective}, {5, 1, 6, Operation::kMatmul}}, 10), 1.5, 0.15);
  expect_loss_said(LossCause::kOverdue, "replica 3: rank 0 failed step 1: rank 1 did not come; rank 1 says nothing",
                   {submission_of(kFirst, 1).key()}, {1});
}

TEST_F(AGroupThatWasGivenUp, TakesNothingNewAndSendsNoPlans) {
  expect_refused(submission_of(kFirst, 2), StatusCode::kAborted);
  core.on_abort(submission_of(kFirst, 1).key(), now, effects);
  EXPECT_TRUE(all_of<ExecuteOnRanks>(effects).empty());
  core.on_stop(now, effects);
  EXPECT_TRUE(core.ended());
}

// Rank 0 was a step ahead: what both did before is done, and is not lost with the group.
TEST_F(ReplicaCoreOfTwoRanks, AStepThatAllRanksDidCountsThoughTheGroupWasGivenUp) {
  serve();
  const auto plans = submit(submission_of(kFirst, 1));
  answer(result_of(plans[0], 0));
  step::StepResult gave_up = result_of(plans[1], 0);
  gave_up.status = {StatusCode::kAborted, "rank 1 did not come"};
  answer(gave_up);
  answer(result_of(plans[0], 1));
  ASSERT_EQ(deltas().size(), 1U);
  EXPECT_FALSE(core.ended());
  core.on_rank_lost(1, LossCause::kDiedOfItself, {StatusCode::kAborted, "rank 1 died"}, effects);
  const auto loss = all_of<SayLost>(effects).at(0).loss;
  ASSERT_EQ(loss.in_step->size(), 1U);
  EXPECT_EQ(loss.in_step->at(0).emitted, 2U);
}

TEST_F(ServingReplicaCore, OneTimerWatchesManySteps) {
  const auto plans = submit(submission_of(kFirst, 1));
  EXPECT_EQ(all_of<WakeReplicaAt>(effects).at(0).at, after(0.1));
  answer(result_of(plans[0]));
  answer(result_of(plans[1]));
  EXPECT_TRUE(all_of<WakeReplicaAt>(effects).empty());
  effects.clear();
  now = after(0.1);
  core.on_timer(now, {}, effects);
  ASSERT_EQ(effects.size(), 1U);
  EXPECT_EQ(std::get<WakeReplicaAt>(effects[0]).at, after(0.1));
}

TEST_F(ServingReplicaCore, AnIdleOneNeedsNoTimer) {
  effects.clear();
  core.on_timer(now, {}, effects);
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
  EXPECT_TRUE(std::holds_alternative<EndGeneration>(effects[3]));
  EXPECT_TRUE(core.ended());
}

TEST_F(ServingReplicaCore, DrainsUntilNothingIsLeft) {
  auto plans = submit(submission_of(kFirst, 1));
  core.on_drain(30, now, effects);
  EXPECT_TRUE(core.draining());
  EXPECT_FALSE(core.serving());
  expect_refused(submission_of(kFirst, 2), StatusCode::kOverloaded);
  std::uint32_t tokens = 0;
  for (std::size_t step = 0; step < plans.size(); ++step) {
    ASSERT_FALSE(core.ended());
    answer(result_of(plans[step]));
    tokens += static_cast<std::uint32_t>(deltas().size());
    for (const ExecuteOnRanks& more : all_of<ExecuteOnRanks>(effects)) plans.push_back(more.plan);
  }
  EXPECT_EQ(tokens, submission_of(kFirst, 1).max_tokens);
  expect_loss_said(LossCause::kStopped, "replica 3: stopped", {}, {});
}

TEST_F(ServingReplicaCore, WithNothingToDoADrainIsOverAtOnce) {
  core.on_drain(30, now, effects);
  expect_loss_said(LossCause::kStopped, "replica 3: stopped", {}, {});
}

TEST_F(ServingReplicaCore, ADrainIsOverWhenItsLastSequenceIsAborted) {
  const auto plans = submit(submission_of(kFirst, 1));
  core.on_drain(30, now, effects);
  effects.clear();
  core.on_abort(submission_of(kFirst, 1).key(), now, effects);
  EXPECT_TRUE(all_of<ExecuteOnRanks>(effects).empty());
  EXPECT_FALSE(core.ended());  // steps are in flight
  answer(result_of(plans[0]));
  answer(result_of(plans[1]));
  EXPECT_TRUE(core.ended());
}

// What is left goes with the generation; its steps that are in flight are not wasted.
TEST_F(ServingReplicaCore, ADrainWhoseTimeIsOverFinishesItsSteps) {
  const auto plans = submit(submission_of(kFirst, 1));
  core.on_drain(0.45, now, effects);
  for (int looks = 0; looks < 5; ++looks) {
    now = after(0.1);
    core.on_timer(now, {}, effects);
  }
  answer(result_of(plans[0]));
  EXPECT_EQ(deltas().size(), 1U);
  EXPECT_TRUE(all_of<ExecuteOnRanks>(effects).empty());
  EXPECT_FALSE(core.ended());
  answer(result_of(plans[1]));
  EXPECT_TRUE(core.ended());
  EXPECT_EQ(all_of<SayLost>(effects).at(0).loss.cause, LossCause::kStopped);
}

TEST_F(ServingReplicaCore, ALaterDrainReplacesTheEarlier) {
  const auto plans = submit(submission_of(kFirst, 1));
  core.on_drain(0.15, now, effects);
  core.on_drain(30, now, effects);
  for (int looks = 0; looks < 5; ++looks) {
    now = after(0.1);
    core.on_timer(now, {}, effects);
  }
  answer(result_of(plans[0]));
  EXPECT_EQ(all_of<ExecuteOnRanks>(effects).size(), 1U);
  core.on_drain(0, now, effects);
  answer(result_of(plans[1]));
  EXPECT_TRUE(all_of<ExecuteOnRanks>(effects).empty());
}

TEST_F(ServingReplicaCore, DrainingItStillNoticesAHang) {
  (void)submit(submission_of(kFirst, 1));
  core.on_drain(30, now, effects);
  for (int looks = 0; looks < 30 && !core.ended(); ++looks) {
    now = after(0.1);
    core.on_timer(now, {}, effects);
  }
  EXPECT_EQ(all_of<SayLost>(effects).at(0).loss.cause, LossCause::kOverdue);
}

TEST_F(ReplicaCoreOfTwoRanks, DrainedBeforeItServedItIsStopped) {
  core.on_start(now, effects);
  effects.clear();
  core.on_drain(30, now, effects);
  expect_loss_said(LossCause::kStopped, "replica 3: stopped", {}, {});
}

TEST_F(ReplicaCoreOfTwoRanks, StoppedBeforeItServedIsAStopToo) {
  core.on_stop(now, effects);
  ASSERT_EQ(effects.size(), 2U);
  expect_loss_said(LossCause::kStopped, "replica 3: stopped", {}, {});
}

}  // namespace
}  // namespace herd::replica
