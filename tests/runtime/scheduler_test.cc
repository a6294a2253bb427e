#include "runtime/scheduler/scheduler.h"

#include <algorithm>
#include <deque>
#include <limits>
#include <map>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "tests/runtime/preemption_probe.h"
#include "tests/runtime/scheduler_fixture.h"
#include "tests/sim/plan_checker.h"
#include "tests/sim/toy_shard.h"

namespace herd::scheduler {
namespace {

TEST(SchedulerConfig, NamesTheFieldItRefuses) {
  SchedulerConfig config = config_of(10);
  EXPECT_TRUE(config.validate().ok());
  config.max_num_batched_tokens = 7;
  EXPECT_NE(config.validate().message().find("max_num_batched_tokens"), std::string::npos);
  config = config_of(10);
  config.steps_ahead = 3;
  EXPECT_NE(config.validate().message().find("steps_ahead"), std::string::npos);
  config = config_of(10);
  config.block_size = 24;
  EXPECT_NE(config.validate().message().find("block_size"), std::string::npos);
}

TEST_F(SchedulerTest, IdleSchedulerHasNoPlan) {
  start(config_of(10));
  EXPECT_FALSE(scheduler_->plan_step({}).has_value());
  EXPECT_TRUE(scheduler_->idle());
}

TEST_F(SchedulerTest, RefusesWhatItCouldNeverRun) {
  start(config_of(4));
  EXPECT_EQ(refusal(submission_of(1, 0, 5)), StatusCode::kBadInput);
  EXPECT_EQ(refusal(submission_of(1, 5, 0)), StatusCode::kBadInput);
  EXPECT_EQ(refusal(submission_of(1, 256, 5)), StatusCode::kBadInput) << "no room for a token in the context";
  const Status status = scheduler_->on_submit(submission_of(1, 10, 100), {});
  EXPECT_EQ(status.code(), StatusCode::kBadInput);
  EXPECT_NE(status.message().find("lower max_tokens to 55"), std::string::npos) << status.message();
  submit(submission_of(1, 10, 55));
  EXPECT_EQ(refusal(submission_of(1, 10, 5)), StatusCode::kBadInput) << "the id is open";
}

TEST_F(SchedulerTest, RefusesWhatTheQueueCannotHold) {
  SchedulerConfig config = config_of(40);
  config.queue_requests_max = 2;
  start(config);
  submit(submission_of(1, 4, 4));
  submit(submission_of(2, 4, 4));
  EXPECT_EQ(refusal(submission_of(3, 4, 4)), StatusCode::kOverloaded);
  plan();  // admits both
  submit(submission_of(3, 4, 4));
}

// Budget 64: a prompt of 100 is computed in 64 + 36 rows, and only the last row samples.
TEST_F(SchedulerTest, LongPromptsPrefillInChunksOfTheBudget) {
  start(config_of(40));
  submit(submission_of(1, 100, 2));
  const step::StepPlan first = plan();
  EXPECT_EQ(first.started.front().tokens.size(), 100U);
  EXPECT_EQ(first.slices.front().rows, 64U);
  EXPECT_EQ(first.slices.front().new_blocks.size(), 7U);
  EXPECT_FALSE(first.slices.front().sample);
  const step::StepPlan second = plan();
  EXPECT_TRUE(second.started.empty());
  EXPECT_EQ(second.slices.front(), (step::SequenceSlice{SequenceId{1}, 64, 36, {}, true, 0}));
}

TEST_F(SchedulerTest, DecodesGoBeforePrefills) {
  start(config_of(40));
  submit(submission_of(1, 10, 10));
  step();
  submit(submission_of(2, 100, 2));
  const step::StepPlan mixed = plan();
  ASSERT_EQ(mixed.slices.size(), 2U);
  EXPECT_EQ(mixed.slices[0], (step::SequenceSlice{SequenceId{1}, 10, 1, {}, true, 1}));
  EXPECT_EQ(mixed.slices[1].rows, 63U);
}

// Plan 2 is made before the token of plan 1 is known; its slice lies one past the known tokens.
TEST_F(SchedulerTest, PlansOneStepAheadOfTheTokensItKnows) {
  start(config_of(40));
  submit(submission_of(1, 10, 10));
  const step::StepPlan first = plan();
  const step::StepPlan second = plan();
  EXPECT_EQ(second.slices.front(), (step::SequenceSlice{SequenceId{1}, 10, 1, {}, true, 1}));
  EXPECT_FALSE(scheduler_->plan_step({}).has_value()) << "two plans are out";
  EXPECT_EQ(done(result_of(first)).front().token.output_index, 0U);
  EXPECT_EQ(plan().slices.front().position, 11U);
}

TEST_F(SchedulerTest, DropsTheTokenComputedPastTheEnd) {
  start(config_of(40));
  step::Submission submission = submission_of(1, 10, 10);
  submission.eos_ids = {0};  // the first token of result_of
  submit(submission);
  const step::StepPlan first = plan();
  const step::StepPlan second = plan();
  const auto deltas = done(result_of(first));
  ASSERT_EQ(deltas.size(), 1U);
  EXPECT_TRUE(deltas.front().has_token);
  EXPECT_EQ(deltas.front().finish, step::FinishReason::kStop);
  EXPECT_GT(scheduler_->stats().blocks.num_held, 0U) << "the second step still writes to them";
  const step::StepPlan third = plan();
  EXPECT_EQ(third.released, std::vector{SequenceId{1}});
  EXPECT_TRUE(third.slices.empty());
  EXPECT_TRUE(done(result_of(second)).empty());
  EXPECT_EQ(scheduler_->stats().blocks.num_held, 0U);
  EXPECT_EQ(scheduler_->stats().tokens_discarded, 1U);
  EXPECT_TRUE(done(result_of(third)).empty());
  EXPECT_TRUE(scheduler_->idle());
}

TEST_F(SchedulerTest, DoesNotPlanBeyondMaxTokens) {
  start(config_of(40));
  submit(submission_of(1, 10, 1));
  const step::StepPlan only = plan();
  EXPECT_FALSE(scheduler_->plan_step({}).has_value());
  EXPECT_EQ(done(result_of(only)).front().finish, step::FinishReason::kLength);
  EXPECT_EQ(scheduler_->stats().tokens_discarded, 0U);
}

TEST_F(SchedulerTest, EndsWithTheContextOfTheModel) {
  SchedulerConfig config = config_of(40);
  config.max_model_len = 12;
  start(config);
  submit(submission_of(1, 10, 1000));
  EXPECT_EQ(step().front().finish, step::FinishReason::kNone);
  EXPECT_EQ(step().front().finish, step::FinishReason::kLength);
}

TEST_F(SchedulerTest, EndIdsBeforeMinTokensAreOrdinary) {
  start(config_of(40));
  step::Submission submission = submission_of(1, 10, 10);
  submission.eos_ids = {0, 1};
  submission.sampling.stop_token_ids = {2};
  submission.sampling.min_tokens = 2;
  submit(submission);
  EXPECT_EQ(step().front().finish, step::FinishReason::kNone);
  EXPECT_EQ(step().front().finish, step::FinishReason::kNone);
  EXPECT_EQ(step().front().finish, step::FinishReason::kStop);
}

TEST_F(SchedulerTest, IgnoringEosKeepsStopTokens) {
  start(config_of(40));
  step::Submission submission = submission_of(1, 10, 10);
  submission.eos_ids = {0};
  submission.sampling.stop_token_ids = {1};
  submission.sampling.ignore_eos = true;
  submit(submission);
  EXPECT_EQ(step().front().finish, step::FinishReason::kNone);
  EXPECT_EQ(step().front().finish, step::FinishReason::kStop);
}

// A retry carries what was emitted elsewhere: it counts towards max_tokens and the output index goes on.
TEST_F(SchedulerTest, ContinuesAStreamThatBeganElsewhere) {
  start(config_of(40));
  step::Submission submission = submission_of(1, 10, 4);
  submission.tokens.insert(submission.tokens.end(), {0, 1, 2});
  submission.attempt = 2;
  submit(submission);
  const step::StepPlan first = plan();
  EXPECT_EQ(first.started.front().prompt_tokens, 10U);
  EXPECT_EQ(first.slices.front().rows, 13U);
  EXPECT_EQ(first.slices.front().output_index, 3U);
  const auto deltas = done(result_of(first));
  EXPECT_EQ(deltas.front().attempt, 2U);
  EXPECT_EQ(deltas.front().finish, step::FinishReason::kLength);
}

TEST_F(SchedulerTest, ReleasesAnAbortedSequenceInTheNextPlan) {
  start(config_of(40));
  submit(submission_of(1, 10, 10));
  submit(submission_of(2, 10, 10));
  const step::StepPlan first = plan();
  const auto delta = scheduler_->on_abort(SequenceId{1});
  ASSERT_TRUE(delta.has_value());
  EXPECT_EQ(delta->finish, step::FinishReason::kAborted);
  EXPECT_FALSE(scheduler_->on_abort(SequenceId{1}).has_value()) << "one terminal delta";
  EXPECT_FALSE(scheduler_->on_abort(SequenceId{99}).has_value());
  const step::StepPlan second = plan();
  EXPECT_EQ(second.released, std::vector{SequenceId{1}});
  EXPECT_EQ(second.slices.size(), 1U);
  EXPECT_EQ(done(result_of(first)).size(), 1U) << "the aborted one gets no token";
}

TEST_F(SchedulerTest, AbortedIdMayComeBackAtOnce) {
  start(config_of(40));
  submit(submission_of(1, 10, 10));
  const step::StepPlan first = plan();
  ASSERT_TRUE(scheduler_->on_abort(SequenceId{1}).has_value());
  submit(submission_of(1, 12, 10));
  const step::StepPlan second = plan();
  EXPECT_EQ(second.released, std::vector{SequenceId{1}});
  EXPECT_EQ(second.started.size(), 1U);
  EXPECT_TRUE(done(result_of(first)).empty()) << "the token belongs to the aborted one";
  EXPECT_EQ(done(result_of(second)).size(), 1U);
}

TEST_F(SchedulerTest, WaitingSequenceAbortsWithoutAPlan) {
  start(config_of(40));
  submit(submission_of(1, 10, 10));
  ASSERT_TRUE(scheduler_->on_abort(SequenceId{1}).has_value());
  EXPECT_FALSE(scheduler_->plan_step({}).has_value());
}

// Pool of 4 blocks: two sequences of 2 blocks; both need a third at 32 tokens.
//   expect  the later one gives its blocks up, returns with its tokens, and goes on with the next output index
TEST_F(SchedulerTest, PreemptsTheLatestAndResumesItWhereItWas) {
  SchedulerConfig config = config_of(4);
  config.steps_ahead = 1;
  config.prefix_caching = false;
  start(config);
  submit(submission_of(1, 31, 20));
  submit(submission_of(2, 31, 20));
  step();
  step();  // both hold 33 tokens now, of which 32 are computed
  const step::StepPlan third = plan();
  EXPECT_EQ(third.released, std::vector{SequenceId{2}});
  ASSERT_EQ(third.slices.size(), 1U);
  EXPECT_EQ(third.slices.front().new_blocks.size(), 1U);
  EXPECT_EQ(scheduler_->stats().preemptions, 1U);
  done(result_of(third));
  ASSERT_TRUE(scheduler_->on_abort(SequenceId{1}).has_value());
  const step::StepPlan fourth = plan();
  ASSERT_EQ(fourth.started.size(), 1U);
  EXPECT_EQ(fourth.started.front().tokens.size(), 33U);
  EXPECT_EQ(fourth.started.front().prompt_tokens, 31U);
  EXPECT_EQ(fourth.slices.front().output_index, 2U);
}

// One step ahead: the victim's token is under way. It is delivered, and the resumed sequence starts with it.
TEST_F(SchedulerTest, PreemptedSequenceKeepsItsTokenInFlight) {
  start(config_of(40));
  submit(submission_of(1, 10, 10));
  step();
  const step::StepPlan second = plan();
  force_preemption();
  const step::StepPlan third = plan();
  EXPECT_EQ(third.released, std::vector{SequenceId{1}});
  EXPECT_TRUE(third.slices.empty()) << "it waits for the step in flight";
  EXPECT_EQ(done(result_of(second)).front().token.output_index, 1U);
  const step::StepPlan fourth = plan();
  ASSERT_EQ(fourth.started.size(), 1U);
  EXPECT_EQ(fourth.started.front().tokens.size(), 12U);
  EXPECT_EQ(fourth.slices.front().output_index, 2U);
}

TEST_F(SchedulerTest, ServesByPriorityThenArrival) {
  SchedulerConfig config = config_of(40);
  config.policy = SchedulingPolicy::kPriority;
  config.max_num_seqs = 1;
  start(config);
  for (std::uint64_t id = 1; id <= 3; ++id) {
    step::Submission submission = submission_of(id, 10, 1);
    submission.priority = id == 3 ? -1 : 0;
    submit(submission);
  }
  for (const std::uint64_t id : {3U, 1U, 2U}) EXPECT_EQ(step().front().sequence, SequenceId{id});
}

TEST_F(SchedulerTest, SecondPromptStartsWithTheCachedPrefixOfTheFirst) {
  start(config_of(40));
  submit(submission_of(1, 40, 1));
  step();
  step::Submission again = submission_of(1, 40, 1);
  again.sequence = SequenceId{2};
  submit(again);
  const step::StepPlan second = plan();
  EXPECT_EQ(second.started.front().prefix_blocks.size(), 2U);
  EXPECT_EQ(second.slices.front().position, 32U);
  EXPECT_EQ(second.slices.front().new_blocks.size(), 1U);
  EXPECT_EQ(done(result_of(second)).front().cached_tokens, 32U);
}

// 18 prompts of 2^18 - 17 tokens that the cache holds but for the last block: 18 * 15 rows, and 18 MiB of tokens.
//   expect  as many begin in one plan as its message of 16 MiB holds, the others in the next
TEST_F(SchedulerTest, StartsNoMoreThanTheMessageOfAPlanHolds) {
  constexpr std::uint32_t kTokens = (1U << 18) - 17;
  SchedulerConfig config = config_of(1U << 15);
  config.max_num_seqs = 32;
  config.max_num_batched_tokens = 1U << 18;
  config.max_model_len = 1U << 18;
  config.queue_tokens_max = std::uint64_t{32} << 18;
  start(config);
  submit(submission_of(1, kTokens, 1));
  step();
  for (std::uint64_t id = 2; id <= 19; ++id) {
    step::Submission again = submission_of(1, kTokens, 4);
    again.sequence = SequenceId{id};
    submit(again);
  }
  const step::StepPlan first = plan();
  EXPECT_EQ(first.started.size(), 15U);
  const step::StepPlan second = plan();
  EXPECT_EQ(second.started.size(), 3U);
  EXPECT_EQ(second.slices.size(), 18U);
}

// Submitted at 1 s, planned at 3 s, first token at 3.5 s; preempted once; the cache holds 32 of its tokens.
//   expect  every delta from the first token on says so, the last one also how often it was preempted
TEST_F(SchedulerTest, DeltasTellCacheHitsAndWaitingTimesFromTheFirstTokenOn) {
  SchedulerConfig config = config_of(40);
  config.steps_ahead = 1;
  config.prefill_chunk_max = 16;
  start(config);
  submit(submission_of(1, 40, 1));
  while (!scheduler_->idle()) step();
  step::Submission again = submission_of(1, 40, 3);
  again.sequence = SequenceId{2};
  again.tokens.resize(60, 7);
  again.prompt_tokens = 60;
  ASSERT_TRUE(scheduler_->on_submit(again, Instant{1'000'000'000}).ok());
  const auto chunk = scheduler_->plan_step(Instant{3'000'000'000});
  EXPECT_TRUE(scheduler_->on_step_done(result_of(*chunk), Instant{3'250'000'000}).empty());
  const auto last_chunk = scheduler_->plan_step(Instant{3'250'000'000});
  const auto first = scheduler_->on_step_done(result_of(*last_chunk), Instant{3'500'000'000}).front();
  force_preemption();
  const auto second = step().front();
  EXPECT_EQ(scheduler_->stats().preemptions, 1U);
  while (scheduler_->stats().num_running > 0) {
    const auto deltas = step();
    if (deltas.empty()) continue;
    EXPECT_EQ(deltas.front().finish, step::FinishReason::kLength);
    EXPECT_EQ(deltas.front().preemptions, 1U);
    EXPECT_EQ(deltas.front().queued_s, 2.0F);
    EXPECT_EQ(deltas.front().cached_tokens, 32U) << "of the first admission, not of the return from preemption";
  }
  for (const step::TokenDelta& delta : {first, second}) {
    EXPECT_TRUE(delta.has_token);
    EXPECT_EQ(delta.finish, step::FinishReason::kNone);
    EXPECT_EQ(delta.cached_tokens, 32U);
    EXPECT_EQ(delta.queued_s, 2.0F);
    EXPECT_EQ(delta.prefill_s, 0.5F);
    EXPECT_EQ(delta.preemptions, 0U) << "only the last delta counts";
  }
}

TEST_F(SchedulerTest, SequenceAbortedInTheQueueReportsNoService) {
  start(config_of(40));
  ASSERT_TRUE(scheduler_->on_submit(submission_of(1, 10, 10), Instant{5}).ok());
  const auto delta = scheduler_->on_abort(SequenceId{1});
  EXPECT_EQ(delta->queued_s, 0.0F);
  EXPECT_EQ(delta->prefill_s, 0.0F);
}

TEST_F(SchedulerTest, NanEndsItsSequenceOnlyAndIsNotCached) {
  start(config_of(40));
  submit(submission_of(1, 40, 5));
  submit(submission_of(2, 20, 5));
  const step::StepPlan first = plan();
  step::StepResult result = result_of(first);
  result.sampled[0].finite = false;
  const auto deltas = done(result);
  ASSERT_EQ(deltas.size(), 2U);
  EXPECT_EQ(deltas[0].finish, step::FinishReason::kFailed);
  EXPECT_FALSE(deltas[0].has_token);
  EXPECT_NE(deltas[0].error.message().find("not finite"), std::string::npos);
  EXPECT_EQ(deltas[1].finish, step::FinishReason::kNone);
  EXPECT_EQ(scheduler_->stats().blocks.published_blocks, 1U) << "of the second sequence";
}

TEST_F(SchedulerTest, ResultWithoutATokenFailsItsSequence) {
  start(config_of(40));
  submit(submission_of(1, 10, 5));
  step::StepResult result = result_of(plan());
  result.sampled.clear();
  EXPECT_EQ(done(result).front().finish, step::FinishReason::kFailed);
}

// The step ahead holds a row of it still; whatever comes of that is dropped. The ranks are told to forget it.
TEST_F(SchedulerTest, WhatRanksCannotDoForOneSequenceEndsThatOneOnly) {
  start(config_of(40));
  submit(submission_of(1, 40, 5));
  submit(submission_of(2, 20, 5));
  step::StepResult first = result_of(plan());
  step::StepResult second = result_of(plan());
  const Status why = {StatusCode::kInternal, "sequence 1: a block outside the pool"};
  first.sampled.erase(first.sampled.begin());
  first.failed = {{SequenceId{1}, why}};
  second.sampled.erase(second.sampled.begin());
  second.failed = first.failed;
  const auto deltas = done(first);
  ASSERT_EQ(deltas.size(), 2U);
  EXPECT_EQ(deltas[0].sequence, SequenceId{1});
  EXPECT_EQ(deltas[0].finish, step::FinishReason::kFailed);
  EXPECT_EQ(deltas[0].error, why);
  EXPECT_FALSE(deltas[0].has_token);
  EXPECT_TRUE(deltas[1].has_token);
  EXPECT_EQ(deltas[1].finish, step::FinishReason::kNone);
  EXPECT_EQ(scheduler_->stats().blocks.published_blocks, 1U) << "of the second sequence";
  EXPECT_EQ(scheduler_->stats().failed, 1U);
  const step::StepPlan next = plan();
  EXPECT_EQ(next.released, std::vector{SequenceId{1}});
  ASSERT_EQ(next.slices.size(), 1U);
  const auto later = done(second);
  ASSERT_EQ(later.size(), 1U);
  EXPECT_EQ(later[0].sequence, SequenceId{2});
  EXPECT_EQ(scheduler_->stats().tokens_discarded, 1U);
}

// In the middle of a prompt, where no token was to be sampled.
TEST_F(SchedulerTest, AChunkThatCouldNotBeComputedEndsItsSequence) {
  start(config_of(40));
  submit(submission_of(1, 100, 5));
  step::StepResult result = result_of(plan());
  EXPECT_TRUE(result.sampled.empty());
  result.failed = {{SequenceId{1}, {StatusCode::kInternal, "sequence 1: started twice"}}};
  const auto deltas = done(result);
  ASSERT_EQ(deltas.size(), 1U);
  EXPECT_EQ(deltas[0].finish, step::FinishReason::kFailed);
  EXPECT_EQ(deltas[0].error.message(), "sequence 1: started twice");
  EXPECT_EQ(scheduler_->num_open(), 0U);
}

TEST_F(SchedulerTest, FailedStepEndsEverySequence) {
  start(config_of(40));
  submit(submission_of(1, 10, 5));
  const step::StepPlan first = plan();
  submit(submission_of(2, 10, 5));
  step::StepResult result = result_of(first);
  result.status = {StatusCode::kAborted, "rank 1 is gone"};
  const auto deltas = done(result);
  ASSERT_EQ(deltas.size(), 2U);
  for (const step::TokenDelta& delta : deltas) {
    EXPECT_EQ(delta.finish, step::FinishReason::kFailed);
    EXPECT_EQ(delta.error.message(), "rank 1 is gone");
  }
  EXPECT_EQ(plan().released, std::vector{SequenceId{1}}) << "ranks never met the second";
}

TEST_F(SchedulerTest, ResultOfAnotherEpochHasNoEffect) {
  start(config_of(40));
  submit(submission_of(1, 10, 5));
  step::StepResult result = result_of(plan());
  result.epoch = Epoch{9};
  EXPECT_TRUE(done(result).empty());
  EXPECT_EQ(scheduler_->stats().stale_results, 1U);
  result.epoch = Epoch{1};
  EXPECT_EQ(done(result).size(), 1U);
}

TEST_F(SchedulerTest, LostReplicaReturnsOpenSequencesInOrderOfArrival) {
  start(config_of(40));
  for (const std::uint64_t id : {5U, 2U, 9U}) submit(submission_of(id, 10, 5));
  plan();
  EXPECT_EQ(scheduler_->on_replica_lost(), (std::vector{SequenceId{5}, SequenceId{2}, SequenceId{9}}));
  scheduler_->check_integrity();
  EXPECT_TRUE(scheduler_->idle());
  EXPECT_EQ(scheduler_->stats().blocks.num_held, 0U);
  EXPECT_EQ(refusal(submission_of(1, 10, 5)), StatusCode::kAborted);
}

// Scoring: every row of the prompt, chunk by chunk, nothing from the cache, no token.
TEST_F(SchedulerTest, ScoringReturnsEveryRowAndNoToken) {
  start(config_of(40));
  submit(submission_of(1, 100, 1));
  while (!scheduler_->idle()) step();
  step::Submission scoring = submission_of(1, 100, 0);
  scoring.sequence = SequenceId{2};
  scoring.output = step::OutputSelector::kLogitsAll;
  submit(scoring);
  std::uint32_t rows = 0;
  for (const bool last : {false, true}) {
    const step::StepPlan chunk = plan();
    const step::SequenceSlice& slice = chunk.slices.front();
    EXPECT_EQ(slice.position, rows);
    EXPECT_FALSE(slice.sample);
    step::StepResult result = result_of(chunk);
    result.outputs.push_back({slice.sequence, slice.position, slice.rows, 1, 1, std::vector<float>(slice.rows)});
    const auto deltas = done(result);
    ASSERT_EQ(deltas.size(), 1U);
    EXPECT_FALSE(deltas.front().has_token);
    EXPECT_EQ(deltas.front().finish, last ? step::FinishReason::kLength : step::FinishReason::kNone);
    rows += deltas.front().outputs.front().rows;
  }
  EXPECT_EQ(rows, 100U);
}

// What a rank says of a slice when prompt log-probabilities are asked for: minus the position.
step::StepResult prompt_logprobs_of(const step::StepPlan& plan, std::uint32_t prompt_tokens) {
  step::StepResult result = result_of(plan);
  for (const step::SequenceSlice& slice : plan.slices) {
    step::PromptLogprobs run{slice.sequence, slice.position + 1, {}};
    for (std::uint32_t i = slice.position + 1; i < std::min(slice.position + slice.rows + 1, prompt_tokens); ++i)
      run.tokens.push_back({static_cast<TokenId>(i), -static_cast<float>(i), {}});
    if (!run.tokens.empty()) result.prompt_logprobs.push_back(run);
  }
  return result;
}

// A cached prompt is computed all the same; preempted after its first token, the sequence asks for nothing more and
// may read the cache again.
TEST_F(SchedulerTest, PromptLogprobsOfEachTokenComeOnceInSpiteOfCacheChunksAndPreemption) {
  SchedulerConfig config = config_of(40);
  config.steps_ahead = 1;
  start(config);
  submit(submission_of(1, 100, 1));
  while (!scheduler_->idle()) step();
  step::Submission scoring = submission_of(1, 100, 5);
  scoring.sequence = SequenceId{2};
  scoring.output = step::OutputSelector::kPromptLogprobs;
  submit(scoring);
  std::uint32_t next = 1;
  const auto take = [&](const std::vector<step::TokenDelta>& deltas) {
    for (const step::TokenDelta& delta : deltas) {
      for (const step::PromptLogprobs& run : delta.prompt_logprobs) {
        EXPECT_EQ(run.position, next);
        for (const step::PromptLogprob& entry : run.tokens) EXPECT_EQ(entry.logprob, -static_cast<float>(next++));
      }
    }
  };
  const step::StepPlan first = plan();
  EXPECT_TRUE(first.started.front().prefix_blocks.empty()) << "rows asked for are computed";
  take(done(prompt_logprobs_of(first, 100)));
  EXPECT_EQ(next, 65U);
  take(done(prompt_logprobs_of(plan(), 100)));
  EXPECT_EQ(next, 100U);
  force_preemption();
  const step::StepPlan back = plan();
  ASSERT_EQ(back.started.size(), 1U);
  EXPECT_EQ(back.started.front().output, step::OutputSelector::kNone);
  EXPECT_FALSE(back.started.front().prefix_blocks.empty()) << "nothing is owed, so the cache serves";
  take(done(prompt_logprobs_of(back, 100)));
  while (!scheduler_->idle()) take(done(prompt_logprobs_of(plan(), 100)));
  EXPECT_EQ(next, 100U);
}

TEST_F(SchedulerTest, ScoringOfPromptLogprobsAloneEndsWithThePrompt) {
  start(config_of(40));
  step::Submission scoring = submission_of(1, 20, 0);
  scoring.output = step::OutputSelector::kPromptLogprobs;
  submit(scoring);
  const auto deltas = done(prompt_logprobs_of(plan(), 20));
  ASSERT_EQ(deltas.size(), 1U);
  EXPECT_EQ(deltas[0].finish, step::FinishReason::kLength);
  EXPECT_FALSE(deltas[0].has_token);
  ASSERT_EQ(deltas[0].prompt_logprobs.size(), 1U);
  EXPECT_EQ(deltas[0].prompt_logprobs[0].tokens.size(), 19U);
}

TEST_F(SchedulerTest, PromptTokenWhoseRowIsNotFiniteFailsItsSequence) {
  start(config_of(40));
  step::Submission scoring = submission_of(1, 20, 0);
  scoring.output = step::OutputSelector::kPromptLogprobs;
  submit(scoring);
  step::StepResult result = prompt_logprobs_of(plan(), 20);
  result.prompt_logprobs[0].tokens[6].logprob = std::numeric_limits<float>::quiet_NaN();
  const auto deltas = done(result);
  ASSERT_EQ(deltas.size(), 1U);
  EXPECT_EQ(deltas[0].finish, step::FinishReason::kFailed);
  EXPECT_TRUE(deltas[0].prompt_logprobs.empty());
  EXPECT_NE(deltas[0].error.message().find("prompt token 7"), std::string::npos) << deltas[0].error.message();
}

// The same submissions on roomy and on starved schedulers: bytes of the streams do not depend on the schedule.
TEST(SchedulerStreams, DoNotDependOnPreemptionChunksOrStepsAhead) {
  for (const std::uint32_t every : {0U, 1U, 3U}) {
    for (const std::uint32_t ahead : {1U, 2U}) {
      SchedulerConfig config = config_of(every == 3 ? 9 : 100);
      config.steps_ahead = ahead;
      config.max_num_batched_tokens = every == 1 ? 17 : 64;
      config.max_model_len = 120;
      Scheduler scheduler(config, Epoch{1}, preempting_every(every));
      sim::ToyShard shard({16, config.num_blocks, 64, 0, 0});
      sim::PlanChecker checker(config);
      std::map<SequenceId, std::vector<TokenId>> streams;
      std::map<SequenceId, sim::ToyStream> expected;
      for (std::uint64_t id = 1; id <= 6; ++id) {
        step::Submission submission = submission_of(id % 3, static_cast<std::uint32_t>(20 + id * 7), 60);
        for (TokenId& token : submission.tokens) token %= 64;
        submission.sequence = SequenceId{id};
        submission.sampling.seed = id;
        expected[submission.sequence] = sim::toy_stream(submission, config.max_model_len, 64);
        ASSERT_TRUE(scheduler.on_submit(submission, {}).ok());
      }
      std::deque<step::StepPlan> plans;
      while (!scheduler.idle()) {
        while (auto plan = scheduler.plan_step({})) {
          checker.on_plan(*plan);
          plans.push_back(*plan);
        }
        checker.on_result();
        for (const step::TokenDelta& delta : scheduler.on_step_done(shard.execute(plans.front()), {})) {
          if (delta.has_token) streams[delta.sequence].push_back(delta.token.token);
        }
        plans.pop_front();
        ASSERT_FALSE(shard.violation() || checker.violation());
      }
      for (const auto& [id, stream] : expected) EXPECT_EQ(streams[id], stream.tokens);
      EXPECT_EQ(scheduler.stats().preemptions > 0, every > 0);
    }
  }
}

}  // namespace
}  // namespace herd::scheduler
