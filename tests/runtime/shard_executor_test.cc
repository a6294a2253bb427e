// Plans in, results out, on one rank and on two, over a small model on CPUs.
#include "runtime/shard/shard_executor.h"

#include <array>
#include <thread>

#include <gtest/gtest.h>

#include "tests/runtime/shard_fixture.h"

namespace herd::shard {
namespace {

using namespace testing;  // NOLINT(google-build-using-namespace)
using std::chrono::microseconds;

constexpr std::uint32_t kPrompt = 20;

std::unique_ptr<ShardExecutor> ready_executor(std::shared_ptr<ProgressWord> progress = nullptr) {
  auto executor = make_executor(tiny_shard(), cpu(CpuIsa::kReference, std::move(progress)));
  const Status status = executor->prepare();
  EXPECT_TRUE(status.ok()) << status.message();
  return executor;
}

// The prompt from `begin` on; the sequence starts with the chunk at 0.
step::StepPlan chunk(Plans& plans, std::uint32_t begin, std::uint32_t end) {
  step::StepPlan plan = plans.next();
  if (begin == 0) plan.started.push_back(start_of(1, prompt(kPrompt, 5)));
  std::vector<BlockId> blocks;
  for (std::uint32_t block = (begin + 15) / 16; block < (end + 15) / 16; ++block) blocks.push_back(BlockId{7 - block});
  plan.slices.push_back(slice_of(1, begin, end - begin, std::move(blocks), end == kPrompt));
  return plan;
}

// The row of the token sampled last.
step::StepPlan decode(Plans& plans, std::uint32_t output_index) {
  step::StepPlan plan = plans.next();
  plan.slices.push_back(slice_of(1, kPrompt + output_index - 1, 1, {}, true, output_index));
  return plan;
}

TEST(ShardExecutor, ResultsComeInTheOrderOfPlansAndNameThem) {
  const auto executor = ready_executor();
  EXPECT_FALSE(executor->ready(microseconds(0)));
  Plans plans(Epoch{3});
  executor->submit(chunk(plans, 0, kPrompt));
  executor->submit(decode(plans, 1));
  for (std::uint64_t step = 1; step <= 2; ++step) {
    EXPECT_TRUE(executor->ready(microseconds(0))) << "a CPU returns when the step is done";
    const step::StepResult result = executor->collect();
    ASSERT_TRUE(result.status.ok()) << result.status.message();
    EXPECT_EQ(result.step, StepId{step});
    EXPECT_EQ(result.epoch, Epoch{3});
    EXPECT_EQ(result.stats.rows, step == 1 ? kPrompt : 1U);
    EXPECT_EQ(result.stats.prefill_rows, step == 1 ? kPrompt : 0U);
    EXPECT_EQ(result.stats.context_tokens, kPrompt + step - 1);
    EXPECT_EQ(result.sampled.size(), 1U);
  }
  EXPECT_FALSE(executor->ready(microseconds(0)));
}

TEST(ShardExecutor, ChunksOfAPromptGiveTheTokenOfTheWhole) {
  Plans plans;
  const step::StepResult whole = ready_executor()->execute(chunk(plans, 0, kPrompt));
  ASSERT_EQ(whole.sampled.size(), 1U);
  for (const std::uint32_t border : {1U, 7U, 16U, 19U}) {
    Plans again;
    const auto executor = ready_executor();
    const step::StepResult first = executor->execute(chunk(again, 0, border));
    EXPECT_TRUE(first.status.ok());
    EXPECT_TRUE(first.sampled.empty());
    const step::StepResult second = executor->execute(chunk(again, border, kPrompt));
    EXPECT_EQ(second.sampled, whole.sampled) << "cut at " << border;
    EXPECT_EQ(second.token_hash, whole.token_hash);
  }
}

// What a sequence goes on with is the token that its rank sampled itself: nobody tells it.
TEST(ShardExecutor, AReplayOfTheTokensGivesTheNextOne) {
  const auto executor = ready_executor();
  Plans plans;
  std::vector<TokenId> tokens = prompt(kPrompt, 5);
  tokens.push_back(executor->execute(chunk(plans, 0, kPrompt)).sampled.at(0).token);
  tokens.push_back(executor->execute(decode(plans, 1)).sampled.at(0).token);
  const step::StepResult third = executor->execute(decode(plans, 2));

  Plans again;
  step::StepPlan replay = again.next();
  replay.started.push_back(start_of(1, tokens));
  replay.started[0].prompt_tokens = kPrompt;
  replay.slices.push_back(slice_of(1, 0, kPrompt + 2, {BlockId{1}, BlockId{2}}, true, 2));
  EXPECT_EQ(ready_executor()->execute(replay).sampled, third.sampled);
}

TEST(ShardExecutor, APlanThatOnlyReleasesComputesNothing) {
  const auto executor = ready_executor();
  Plans plans;
  (void)executor->execute(chunk(plans, 0, kPrompt));
  step::StepPlan release = plans.next();
  release.released.push_back(SequenceId{1});
  const step::StepResult result = executor->execute(release);
  EXPECT_TRUE(result.status.ok()) << result.status.message();
  EXPECT_EQ(result.stats.rows, 0U);
  EXPECT_TRUE(result.sampled.empty());
  EXPECT_EQ(executor->execute(decode(plans, 1)).failed.size(), 1U) << "it is forgotten";
}

TEST(ShardExecutor, APlanThatIsWrongAsAWholeFailsAndTheNextGoesOn) {
  const auto executor = ready_executor();
  Plans plans;
  step::StepPlan wrong = plans.next();
  wrong.released.push_back(SequenceId{1});
  const step::StepResult failed = executor->execute(wrong);
  EXPECT_EQ(failed.status.code(), StatusCode::kInternal);
  EXPECT_NE(failed.status.message().find("released but not started"), std::string::npos) << failed.status.message();
  EXPECT_TRUE(failed.sampled.empty());
  EXPECT_EQ(executor->execute(chunk(plans, 0, kPrompt)).sampled.size(), 1U);
}

// The step of sequence 1, with one beside it that cannot be computed.
step::StepPlan with_a_spoilt_one(step::StepPlan plan) {
  plan.started.push_back(start_of(2, {3, kVocab}));
  plan.slices.push_back(slice_of(2, 0, 2, {BlockId{3}}, true));
  return plan;
}

TEST(ShardExecutor, WhatCannotBeDoneForOneSequenceFailsThatOneAlone) {
  Plans plans, others;
  const step::StepResult alone = ready_executor()->execute(chunk(plans, 0, kPrompt));
  const auto executor = ready_executor();
  const step::StepResult beside = executor->execute(with_a_spoilt_one(chunk(others, 0, kPrompt)));
  ASSERT_TRUE(beside.status.ok()) << beside.status.message();
  EXPECT_EQ(beside.sampled, alone.sampled);
  EXPECT_EQ(beside.stats.sequences, 1U);
  EXPECT_EQ(beside.stats.rows, kPrompt);
  ASSERT_EQ(beside.failed.size(), 1U);
  EXPECT_EQ(beside.failed[0].sequence, SequenceId{2});
  EXPECT_EQ(beside.failed[0].status.message(), "step plan: sequence 2: token id 160 outside the vocabulary");
  EXPECT_NE(beside.token_hash, alone.token_hash) << "ranks agree on who failed, too";
  step::StepPlan release = others.next();
  release.released.push_back(SequenceId{2});
  EXPECT_TRUE(executor->execute(release).status.ok());
}

TEST(ShardExecutor, AStepOfWhichNothingIsLeftIsDone) {
  Plans plans;
  step::StepPlan plan = plans.next();
  const step::StepResult result = ready_executor()->execute(with_a_spoilt_one(plan));
  EXPECT_TRUE(result.status.ok()) << result.status.message();
  EXPECT_EQ(result.stats.rows, 0U);
  EXPECT_EQ(result.failed.size(), 1U);
}

TEST(ShardExecutor, AGroupThatIsGivenUpFailsTheStepWithoutOutputs) {
  const auto executor = ready_executor();
  executor->collective().abort("the replica ends");
  Plans plans;
  step::StepPlan plan = chunk(plans, 0, kPrompt);
  plan.started[0].output = step::OutputSelector::kHiddenAll;
  const step::StepResult result = executor->execute(plan);
  EXPECT_NE(result.status.message().find("the replica ends"), std::string::npos) << result.status.message();
  EXPECT_TRUE(result.sampled.empty());
  EXPECT_TRUE(result.outputs.empty());
}

// ---- groups one after the other ----

TEST(ShardExecutor, APlanOfAnotherGroupFailsAndChangesNothing) {
  const auto executor = ready_executor();
  executor->join(Epoch{6});
  Plans plans(Epoch{6}), old(Epoch{5});
  const step::StepResult stale = executor->execute(chunk(old, 0, kPrompt));
  EXPECT_EQ(stale.status.message(), "step plan: step 1 of epoch 5, but this rank is in epoch 6");
  EXPECT_EQ(stale.epoch, Epoch{5});
  EXPECT_EQ(stale.stats.rows, 0U);
  EXPECT_TRUE(stale.sampled.empty());
  EXPECT_EQ(executor->execute(chunk(plans, 0, kPrompt)).sampled.size(), 1U) << "its sequence did not start";
  Plans twice(Epoch{6});
  EXPECT_EQ(executor->execute(chunk(twice, 0, kPrompt)).status.message(),
            "step plan: step 1 of epoch 6, but step 2 comes next");
  EXPECT_EQ(executor->execute(decode(plans, 1)).sampled.size(), 1U);
}

// What a rank computes in its next group is what it computed in its first: nothing of that one is left.
TEST(ShardExecutor, TheNextGroupBeginsAnewWithTheSameBits) {
  const auto executor = ready_executor();
  std::vector<std::vector<step::SampledToken>> sampled;
  for (const std::uint64_t epoch : {1U, 2U}) {
    executor->join(Epoch{epoch});
    Plans plans(Epoch{epoch});
    sampled.push_back(executor->execute(chunk(plans, 0, kPrompt)).sampled);
    sampled.push_back(executor->execute(decode(plans, 1)).sampled);
    executor->leave();
    EXPECT_EQ(executor->execute(decode(plans, 2)).status.message(),
              "step plan: step 3 of epoch " + std::to_string(epoch) + ", but this rank is in no group");
  }
  EXPECT_EQ(sampled[0].size(), 1U);
  EXPECT_EQ(sampled[2], sampled[0]);
  EXPECT_EQ(sampled[3], sampled[1]);
}

TEST(ShardExecutor, ResultsThatNobodyCollectedGoWithTheGroup) {
  const auto executor = ready_executor();
  executor->join(Epoch{1});
  Plans plans(Epoch{1});
  executor->submit(chunk(plans, 0, kPrompt));
  executor->leave();
  EXPECT_FALSE(executor->ready(microseconds(0)));
  executor->join(Epoch{2});
  Plans again(Epoch{2});
  EXPECT_EQ(executor->execute(chunk(again, 0, kPrompt)).step, StepId{1});
}

// ---- progress ----

constexpr int kBeforeLayers = 3;     // preparing, embedding, norm
constexpr int kLayerOperations = 9;  // 4 products, 2 sums, rotation and KV, attention, activation

TEST(ShardExecutor, AStepShowsInTheProgressWordAndIdleWhenItIsDone) {
  const auto word = std::make_shared<ProgressWord>();
  const auto executor = ready_executor(word);
  executor->join(Epoch{6});
  Plans plans(Epoch{6});
  executor->submit(chunk(plans, 0, kPrompt));
  const Progress first = word->read();
  EXPECT_EQ(first.epoch, 6);
  EXPECT_EQ(first.step, 1U);
  EXPECT_EQ(first.operation, Operation::kIdle);
  EXPECT_GT(first.number, kBeforeLayers + 2 * kLayerOperations + 3) << "rows, norm and head, then the sampler's";
  (void)executor->collect();
  EXPECT_EQ(word->read().step, 1U);
  (void)executor->execute(decode(plans, 1));
  EXPECT_EQ(word->read(), (Progress{6, 2, first.number, Operation::kIdle}));
  Plans old(Epoch{5});
  (void)executor->execute(chunk(old, 0, kPrompt));
  EXPECT_EQ(word->read().epoch, 6) << "a refused plan is no step";
}

// The other rank never comes: what was given up in the middle of a layer is not computed to the last one.
TEST(ShardExecutor, TheRestOfAStepIsSkippedWhenTheGroupIsGivenUp) {
  const auto word = std::make_shared<ProgressWord>();
  auto group = make_local_group(2);
  std::thread([&] {
    const auto executor =
        make_executor(tiny_shard(2, 0), cpu(CpuIsa::kReference, word), std::shared_ptr<Collective>(std::move(group[0])));
    ASSERT_TRUE(executor->prepare().ok());
    executor->join(Epoch{1});
    std::thread abort([&] { group[1]->abort("rank 1 died"); });
    Plans plans(Epoch{1});
    const step::StepResult result = executor->execute(chunk(plans, 0, kPrompt));
    abort.join();
    EXPECT_NE(result.status.message().find("rank 1 died"), std::string::npos) << result.status.message();
    EXPECT_LE(word->read().number, kBeforeLayers + kLayerOperations + 1) << "one layer at most, then idle";
    EXPECT_EQ(word->read().operation, Operation::kIdle);
  }).join();
}

// Rank 0 hands out what one rank alone would; the others a hash of it.
TEST(ShardExecutor, TwoRanksAnswerAsOne) {
  step::StepPlan plan = Plans().next();
  plan.started.push_back(start_of(1, prompt(kPrompt, 5)));
  plan.started[0].output = step::OutputSelector::kPromptLogprobs;
  plan.started[0].sampling.temperature = 1.0F;
  plan.started[0].sampling.logprobs = 2;
  plan.started.push_back(start_of(2, prompt(9, 8)));
  plan.started[1].output = step::OutputSelector::kLogitsAll;
  plan.slices.push_back(slice_of(1, 0, kPrompt, {BlockId{1}, BlockId{2}}, true));
  plan.slices.push_back(slice_of(2, 0, 9, {BlockId{3}}, true));
  plan.started.push_back(start_of(3, {kVocab}));
  plan.slices.push_back(slice_of(3, 0, 1, {BlockId{4}}, true));
  const step::StepResult alone = ready_executor()->execute(plan);
  ASSERT_TRUE(alone.status.ok()) << alone.status.message();
  ASSERT_EQ(alone.sampled.size(), 2U);

  auto group = make_local_group(2);
  std::array<step::StepResult, 2> results;
  std::vector<std::thread> ranks;
  for (int rank = 0; rank < 2; ++rank) {
    ranks.emplace_back([&, rank] {
      const auto at = static_cast<std::size_t>(rank);
      const auto executor = make_executor(tiny_shard(2, rank), cpu(), std::move(group[at]));
      EXPECT_TRUE(executor->prepare().ok());
      results[at] = executor->execute(plan);
    });
  }
  for (std::thread& rank : ranks) rank.join();
  EXPECT_EQ(results[0].sampled, alone.sampled);
  EXPECT_EQ(results[0].outputs, alone.outputs);
  EXPECT_EQ(results[0].prompt_logprobs, alone.prompt_logprobs);
  EXPECT_EQ(results[0].failed, alone.failed);
  EXPECT_EQ(alone.failed.size(), 1U);
  EXPECT_TRUE(results[1].status.ok()) << results[1].status.message();
  EXPECT_TRUE(results[1].sampled.empty());
  EXPECT_TRUE(results[1].outputs.empty());
  EXPECT_TRUE(results[1].prompt_logprobs.empty());
  EXPECT_TRUE(results[1].failed.empty());
  for (const step::StepResult& result : results) EXPECT_EQ(result.token_hash, alone.token_hash);
}

TEST(ShardExecutor, NoMemoryForTheKvBlocksIsMissing) {
  ShardConfig config = tiny_shard();
  config.blocks = std::int64_t{1} << 40;
  const auto executor = make_executor(config, cpu());
  EXPECT_EQ(executor->prepare().code(), StatusCode::kMissing);
}

}  // namespace
}  // namespace herd::shard
