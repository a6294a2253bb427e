// Step plans flattened for the kernels, and plans that contradict what a rank knows.
#include <string>

#include <gtest/gtest.h>

#include "runtime/shard/step_batch.h"

namespace herd::shard {
namespace {

using step::SequenceSlice;
using step::SequenceStart;
using step::StepPlan;

const StepLimits kLimits{.vocab_size = 100, .block_size = 16, .blocks = 8, .rows_max = 64, .positions_max = 128};

StepPlan start(SequenceId id, std::vector<TokenId> tokens, std::uint32_t prompt) {
  StepPlan plan;
  SequenceStart begin;
  begin.sequence = id;
  begin.tokens = std::move(tokens);
  begin.prompt_tokens = prompt;
  plan.started.push_back(begin);
  return plan;
}

SequenceSlice slice(SequenceId id, std::uint32_t position, std::uint32_t rows, std::vector<BlockId> blocks, bool sample) {
  return {id, position, rows, std::move(blocks), sample, 0};
}

// Sequence 7, block size 16, blocks 5 then 2: token 0 sits in slot 80, token 16 in slot 32.
TEST(SequenceTable, MapsPositionsToSlotsThroughTheBlockTable) {
  SequenceTable table(kLimits);
  StepBatch batch;
  StepPlan plan = start(SequenceId{7}, std::vector<TokenId>(18, 3), 18);
  plan.slices.push_back(slice(SequenceId{7}, 0, 18, {BlockId{5}, BlockId{2}}, true));
  ASSERT_TRUE(table.apply(plan, batch).ok());
  EXPECT_EQ(batch.slots.front(), 80);
  EXPECT_EQ(batch.slots[16], 32);
  EXPECT_EQ(batch.context_length, (std::vector<std::int32_t>{18}));
  EXPECT_EQ(batch.query_begin, (std::vector<std::int32_t>{0, 18}));
  EXPECT_EQ(batch.sample_row, (std::vector<std::int32_t>{17}));
}

TEST(SequenceTable, ACachedPrefixIsTheBeginningOfTheBlockTable) {
  SequenceTable table(kLimits);
  StepBatch batch;
  StepPlan plan = start(SequenceId{7}, std::vector<TokenId>(34, 4), 34);
  plan.started[0].prefix_blocks = {BlockId{6}, BlockId{1}};
  plan.slices.push_back(slice(SequenceId{7}, 32, 2, {BlockId{3}}, true));
  ASSERT_TRUE(table.apply(plan, batch).ok());
  EXPECT_EQ(batch.block_tables, (std::vector<std::uint32_t>{6, 1, 3}));
  EXPECT_EQ(batch.slots, (std::vector<std::int64_t>{48, 49}));
  EXPECT_EQ(batch.context_length, (std::vector<std::int32_t>{34}));
}

TEST(SequenceTable, NextPlanMayReferToTheTokenThisRankSampled) {
  SequenceTable table(kLimits);
  StepBatch batch;
  StepPlan plan = start(SequenceId{1}, {4, 5}, 2);
  plan.slices.push_back(slice(SequenceId{1}, 0, 2, {BlockId{0}}, true));
  ASSERT_TRUE(table.apply(plan, batch).ok());
  StepPlan next;
  next.slices.push_back(slice(SequenceId{1}, 2, 1, {}, true));
  StepBatch early;
  ASSERT_TRUE(SequenceTable(table).apply(next, early).ok());
  EXPECT_EQ(early.failed.size(), 1U) << "nothing sampled yet";
  step::SampledToken token;
  token.sequence = SequenceId{1};
  token.token = 42;
  table.on_sampled(table.expect_samples(batch), {token});
  ASSERT_TRUE(table.apply(next, batch).ok());
  EXPECT_EQ(batch.token_ids, (std::vector<std::int32_t>{42}));
  EXPECT_EQ(batch.positions, (std::vector<std::int32_t>{2}));
}

// On a device of its own the next step is prepared before the tokens of this one are known: it names their rows.
TEST(SequenceTable, ATokenUnderWayIsNamedByItsRowUntilItIsKnown) {
  SequenceTable table(kLimits);
  StepBatch batch;
  StepPlan plan = start(SequenceId{1}, {4, 5}, 2);
  plan.started.push_back(start(SequenceId{2}, {6}, 1).started[0]);
  plan.slices.push_back(slice(SequenceId{1}, 0, 2, {BlockId{0}}, true));
  plan.slices.push_back(slice(SequenceId{2}, 0, 1, {BlockId{1}}, true));
  ASSERT_TRUE(table.apply(plan, batch).ok());
  const auto first = table.expect_samples(batch);
  ASSERT_EQ(first.size(), 2U);

  StepPlan next;
  next.slices.push_back(slice(SequenceId{2}, 1, 1, {}, true));
  next.slices.push_back(slice(SequenceId{1}, 2, 1, {}, true));
  ASSERT_TRUE(table.apply(next, batch).ok());
  EXPECT_EQ(batch.token_ids, (std::vector<std::int32_t>{pending_token(1), pending_token(0)}));
  const auto second = table.expect_samples(batch);

  std::vector<step::SampledToken> sampled(2);
  sampled[0].token = 41;
  sampled[1].token = 42;
  table.on_sampled(first, sampled);
  StepPlan third;
  third.slices.push_back(slice(SequenceId{1}, 3, 1, {}, true));
  ASSERT_TRUE(table.apply(third, batch).ok());
  EXPECT_EQ(batch.token_ids, (std::vector<std::int32_t>{pending_token(1)}));  // sampled by the second row of `next`
  StepPlan again;  // a chunk computed anew sees what has become known
  again.slices.push_back(slice(SequenceId{1}, 1, 3, {}, false));
  ASSERT_TRUE(table.apply(again, batch).ok());
  EXPECT_EQ(batch.token_ids, (std::vector<std::int32_t>{5, 41, pending_token(1)}));
  sampled[0].token = 52;
  sampled[1].token = 51;
  table.on_sampled(second, sampled);
  ASSERT_TRUE(table.apply(again, batch).ok());
  EXPECT_EQ(batch.token_ids, (std::vector<std::int32_t>{5, 41, 51}));
}

TEST(SequenceTable, ATokenOfASequenceThatWasReleasedMeanwhileIsForgotten) {
  SequenceTable table(kLimits);
  StepBatch batch;
  StepPlan plan = start(SequenceId{1}, {4, 5}, 2);
  plan.slices.push_back(slice(SequenceId{1}, 0, 2, {BlockId{0}}, true));
  ASSERT_TRUE(table.apply(plan, batch).ok());
  const auto tickets = table.expect_samples(batch);
  StepPlan restart = start(SequenceId{1}, {4, 5}, 2);  // preempted and back, under the same id
  restart.released.push_back(SequenceId{1});
  restart.slices.push_back(slice(SequenceId{1}, 0, 2, {BlockId{0}}, true));
  ASSERT_TRUE(table.apply(restart, batch).ok());
  const auto anew = table.expect_samples(batch);
  std::vector<step::SampledToken> sampled(1);
  sampled[0].token = 40;
  table.on_sampled(tickets, sampled);
  StepPlan next;
  next.slices.push_back(slice(SequenceId{1}, 2, 1, {}, false));
  ASSERT_TRUE(table.apply(next, batch).ok());
  EXPECT_EQ(batch.token_ids, (std::vector<std::int32_t>{pending_token(0)}));
  sampled[0].token = 43;
  table.on_sampled(anew, sampled);
  ASSERT_TRUE(table.apply(next, batch).ok());
  EXPECT_EQ(batch.token_ids, (std::vector<std::int32_t>{43}));
}

TEST(SequenceTable, PenaltiesNeedTheTokensUnderWay) {
  for (const bool penalised : {false, true}) {
    SequenceTable table(kLimits);
    StepBatch batch;
    StepPlan plan = start(SequenceId{1}, {4, 5}, 2);
    if (penalised) plan.started[0].sampling.presence_penalty = 0.5F;
    plan.slices.push_back(slice(SequenceId{1}, 0, 2, {BlockId{0}}, true));
    EXPECT_FALSE(table.needs_pending(plan));
    ASSERT_TRUE(table.apply(plan, batch).ok());
    const auto tickets = table.expect_samples(batch);
    StepPlan next;
    next.slices.push_back(slice(SequenceId{1}, 2, 1, {}, true));
    EXPECT_EQ(table.needs_pending(next), penalised);
    table.on_sampled(tickets, std::vector<step::SampledToken>(1));
    EXPECT_FALSE(table.needs_pending(next));
  }
}

// A retry that knows 3 tokens computes rows 0-1, then row 2 (prefill still), then the row of a token sampled here.
TEST(SequenceTable, CountsRowsOfTokensKnownAtTheStartAsPrefill) {
  SequenceTable table(kLimits);
  StepBatch batch;
  StepPlan plan = start(SequenceId{1}, {4, 5, 6}, 2);
  plan.slices.push_back(slice(SequenceId{1}, 0, 2, {BlockId{0}}, false));
  ASSERT_TRUE(table.apply(plan, batch).ok());
  EXPECT_EQ(batch.prefill_rows, 2U);
  StepPlan next;
  next.slices.push_back(slice(SequenceId{1}, 2, 1, {}, true));
  ASSERT_TRUE(table.apply(next, batch).ok());
  EXPECT_EQ(batch.prefill_rows, 1U);
  step::SampledToken token;
  token.sequence = SequenceId{1};
  table.on_sampled(table.expect_samples(batch), {token});
  next.slices = {slice(SequenceId{1}, 3, 1, {}, true)};
  ASSERT_TRUE(table.apply(next, batch).ok());
  EXPECT_EQ(batch.prefill_rows, 0U);
}

// Prompt 4 5 6 7 8 in chunks of 2, 2 and 1 rows, then a decode: the rows of 4, 5, 6, 7 have a prompt token to predict.
TEST(SequenceTable, PromptLogprobsAskEveryRowForTheNextTokenOfThePrompt) {
  SequenceTable table(kLimits);
  StepBatch batch;
  StepPlan plan = start(SequenceId{1}, {4, 5, 6, 7, 8}, 5);
  plan.started[0].output = step::OutputSelector::kPromptLogprobs;
  plan.started[0].sampling.logprobs = 3;
  plan.slices.push_back(slice(SequenceId{1}, 0, 2, {BlockId{0}}, false));
  ASSERT_TRUE(table.apply(plan, batch).ok());
  ASSERT_EQ(batch.outputs.size(), 1U);
  EXPECT_EQ(batch.outputs[0].targets, (std::vector<TokenId>{5, 6}));
  EXPECT_EQ(batch.outputs[0].top, 3);
  StepPlan next;
  next.slices.push_back(slice(SequenceId{1}, 2, 2, {}, false));
  ASSERT_TRUE(table.apply(next, batch).ok());
  EXPECT_EQ(batch.outputs[0].targets, (std::vector<TokenId>{7, 8}));
  next.slices = {slice(SequenceId{1}, 4, 1, {}, true)};
  ASSERT_TRUE(table.apply(next, batch).ok());
  EXPECT_TRUE(batch.outputs.empty()) << "the last prompt token's row predicts what is sampled";
  step::SampledToken token;
  token.sequence = SequenceId{1};
  table.on_sampled(table.expect_samples(batch), {token});
  next.slices = {slice(SequenceId{1}, 5, 1, {}, true)};
  ASSERT_TRUE(table.apply(next, batch).ok());
  EXPECT_TRUE(batch.outputs.empty());
}

// The whole prompt and one emitted token in one slice, as after a failover.
TEST(SequenceTable, PromptLogprobsStopAtTheBorderOfThePrompt) {
  SequenceTable table(kLimits);
  StepBatch batch;
  StepPlan plan = start(SequenceId{1}, {4, 5, 6}, 2);
  plan.started[0].output = step::OutputSelector::kPromptLogprobs;
  plan.slices.push_back(slice(SequenceId{1}, 0, 3, {BlockId{0}}, true));
  ASSERT_TRUE(table.apply(plan, batch).ok());
  EXPECT_EQ(batch.outputs[0].targets, (std::vector<TokenId>{5}));
  EXPECT_EQ(batch.outputs[0].rows, 1);
}

TEST(SequenceTable, ReleasedSequenceIsForgottenBeforeOthersStart) {
  SequenceTable table(kLimits);
  StepBatch batch;
  ASSERT_TRUE(table.apply(start(SequenceId{1}, {4}, 1), batch).ok());
  StepPlan again = start(SequenceId{1}, {4, 9}, 1);
  again.released.push_back(SequenceId{1});
  EXPECT_TRUE(table.apply(again, batch).ok());
  EXPECT_EQ(table.size(), 1U);
}

// ---- plans that contradict what the rank knows ----

// Sequence 2 beside one that is spoilt.
StepPlan beside(StepPlan plan) {
  plan.started.push_back(start(SequenceId{2}, {6, 7}, 2).started[0]);
  plan.slices.push_back(slice(SequenceId{2}, 0, 2, {BlockId{1}}, true));
  return plan;
}

void expect_only_sequence_2(const StepBatch& batch) {
  EXPECT_EQ(batch.token_ids, (std::vector<std::int32_t>{6, 7}));
  EXPECT_EQ(batch.slots, (std::vector<std::int64_t>{16, 17}));
  EXPECT_EQ(batch.query_begin, (std::vector<std::int32_t>{0, 2}));
  EXPECT_EQ(batch.context_length, (std::vector<std::int32_t>{2}));
  EXPECT_EQ(batch.block_tables, (std::vector<std::uint32_t>{1}));
  EXPECT_EQ(batch.block_table_begin, (std::vector<std::int32_t>{0, 1}));
  EXPECT_EQ(batch.sample_row, (std::vector<std::int32_t>{1}));
  EXPECT_EQ(batch.prefill_rows, 2U);
}

TEST(SequenceTable, WhoContradictsWhatItKnowsFailsAloneAndSaysWhy) {
  const auto failure = [](const StepPlan& spoilt) {
    SequenceTable table(kLimits);
    StepBatch batch;
    EXPECT_TRUE(table.apply(beside(spoilt), batch).ok());
    expect_only_sequence_2(batch);
    if (batch.failed.size() != 1) return std::to_string(batch.failed.size()) + " failures";
    EXPECT_EQ(batch.failed[0].sequence, SequenceId{1});
    EXPECT_EQ(batch.failed[0].status.code(), StatusCode::kInternal);
    return batch.failed[0].status.message();
  };
  const auto computed = [](StepPlan plan, std::vector<BlockId> blocks) {
    plan.slices.push_back(slice(SequenceId{1}, 0, 1, std::move(blocks), true));
    return plan;
  };
  EXPECT_EQ(failure(computed({}, {BlockId{0}})), "step plan: sequence 1: not started");
  EXPECT_EQ(failure(computed(start(SequenceId{1}, {1}, 1), {BlockId{8}})), "step plan: sequence 1: block 8 outside the pool");
  EXPECT_EQ(failure(computed(start(SequenceId{1}, {1}, 1), {})), "step plan: sequence 1: position 0 without a block");
  EXPECT_EQ(failure(computed(start(SequenceId{1}, {100}, 1), {BlockId{0}})),
            "step plan: sequence 1: token id 100 outside the vocabulary");
  EXPECT_EQ(failure(computed(start(SequenceId{1}, {-1}, 1), {BlockId{0}})),
            "step plan: sequence 1: token id -1 outside the vocabulary");
  EXPECT_EQ(failure(computed(start(SequenceId{1}, {1}, 2), {BlockId{0}})),
            "step plan: sequence 1: prompt border past the tokens");
  StepPlan cached = start(SequenceId{1}, {1}, 1);
  cached.started[0].prefix_blocks = {BlockId{8}};
  EXPECT_EQ(failure(computed(cached, {})), "step plan: sequence 1: block 8 outside the pool");
  StepPlan twice = start(SequenceId{1}, {1}, 1);
  twice.started.push_back(twice.started.front());
  EXPECT_EQ(failure(computed(twice, {BlockId{0}})), "step plan: sequence 1: started twice");
  StepPlan beyond = start(SequenceId{1}, {1}, 1);
  beyond.slices.push_back(slice(SequenceId{1}, 1, 1, {BlockId{0}}, true));
  EXPECT_EQ(failure(beyond), "step plan: sequence 1: rows [1, 2) but 1 tokens known");
}

// A step ahead may hold it still; then it is released as others are, and may come again.
TEST(SequenceTable, WhoFailedHasNoRowsUntilItIsReleased) {
  SequenceTable table(kLimits);
  StepBatch batch;
  StepPlan unknown;
  unknown.slices.push_back(slice(SequenceId{1}, 0, 1, {BlockId{0}}, true));
  for (int time = 0; time < 2; ++time) {
    ASSERT_TRUE(table.apply(unknown, batch).ok());
    EXPECT_TRUE(batch.token_ids.empty());
    ASSERT_EQ(batch.failed.size(), 1U);
    EXPECT_EQ(batch.failed[0].status.message(), "step plan: sequence 1: not started");
  }
  StepPlan again = start(SequenceId{1}, {4}, 1);
  again.released.push_back(SequenceId{1});
  again.slices.push_back(slice(SequenceId{1}, 0, 1, {BlockId{0}}, true));
  ASSERT_TRUE(table.apply(again, batch).ok());
  EXPECT_TRUE(batch.failed.empty());
  EXPECT_EQ(batch.token_ids, (std::vector<std::int32_t>{4}));
}

TEST(SequenceTable, RefusesPlansThatAreWrongAsAWhole) {
  SequenceTable table(kLimits);
  StepBatch batch;
  StepPlan released;
  released.released.push_back(SequenceId{3});
  EXPECT_EQ(table.apply(released, batch).message(), "step plan: sequence 3: released but not started");
  StepPlan large = start(SequenceId{1}, std::vector<TokenId>(65, 3), 65);
  large.slices.push_back(
      slice(SequenceId{1}, 0, 65, {BlockId{0}, BlockId{1}, BlockId{2}, BlockId{3}, BlockId{4}}, true));
  EXPECT_EQ(table.apply(large, batch).message(), "step plan: 65 rows, at most 64 fit a step");
}

}  // namespace
}  // namespace herd::shard
