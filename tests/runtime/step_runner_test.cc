// The runner of a device whose memory is the host's. Its twin on a device of its own: device_steps_test.cc.
#include "runtime/shard/step_runner.h"

#include <gtest/gtest.h>

#include "runtime/shard/host_steps.h"
#include "tests/runtime/shard_fixture.h"

namespace herd::shard {
namespace {

using namespace testing;  // NOLINT(google-build-using-namespace)

// Three prompts, all sampled in this step, two of them with noise.
step::StepPlan three_prompts() {
  step::StepPlan plan = Plans().next();
  for (std::uint64_t id = 1; id <= 3; ++id) {
    const std::size_t tokens = 3 * id;
    plan.started.push_back(start_of(id, prompt(tokens, static_cast<TokenId>(id))));
    plan.started.back().sampling.temperature = id == 1 ? 0.0F : 1.0F;
    plan.started.back().sampling.seed = id;
    plan.slices.push_back(slice_of(id, 0, static_cast<std::uint32_t>(tokens), {BlockId{static_cast<std::uint32_t>(id)}}, true));
  }
  return plan;
}

struct Outcome {
  Status status;
  bool under_way = false;
  step::StepResult result;
};

Outcome run(TinyRank& rank, const step::StepPlan& plan) {
  Outcome outcome;
  auto runner = make_step_runner(rank.parts());
  if (!runner) return {runner.error(), false, {}};
  SequenceTable table(rank.limits());
  StepBatch batch;
  outcome.status = table.apply(plan, batch);
  if (!outcome.status.ok()) return outcome;
  auto under_way = (*runner)->start(batch, outcome.result);
  if (!under_way) outcome.status = under_way.error();
  outcome.under_way = under_way && *under_way != nullptr;
  return outcome;
}

TEST(HostSteps, AStepIsDoneWhenItsStartReturns) {
  TinyRank rank(tiny_shard(), cpu());
  const Outcome outcome = run(rank, three_prompts());
  ASSERT_TRUE(outcome.status.ok()) << outcome.status.message();
  EXPECT_FALSE(outcome.under_way);
  ASSERT_EQ(outcome.result.sampled.size(), 3U);
  for (std::size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(outcome.result.sampled[i].sequence, SequenceId{i + 1});
    EXPECT_TRUE(outcome.result.sampled[i].finite);
    EXPECT_NE(outcome.result.sampled[i].logits_hash, 0U);
  }
}

TEST(HostSteps, TokensDoNotDependOnThePiecesTheyAreSampledInNorOnTheKernels) {
  TinyRank whole(tiny_shard(), cpu());
  const Outcome expected = run(whole, three_prompts());
  ASSERT_EQ(expected.result.sampled.size(), 3U);
  for (const std::int64_t piece : {1, 2, 3}) {
    ShardConfig config = tiny_shard();
    config.logit_rows_max = piece;
    TinyRank cut(config, cpu(CpuIsa::kAuto));
    EXPECT_EQ(run(cut, three_prompts()).result.sampled, expected.result.sampled) << piece << " at a time";
  }
}

TEST(HostSteps, AGroupThatIsGivenUpFailsTheStep) {
  TinyRank rank(tiny_shard(), cpu());
  rank.group->abort("rank 1 is gone");
  const Outcome outcome = run(rank, three_prompts());
  EXPECT_EQ(outcome.status.code(), rank.group->status().code());
  EXPECT_NE(outcome.status.message().find("rank 1 is gone"), std::string::npos) << outcome.status.message();
}

TEST(HostSteps, NoMemoryForThePartsIsMissing) {
  ShardConfig config = tiny_shard();
  config.logit_rows_max = std::int64_t{1} << 46;
  TinyRank rank(tiny_shard(), cpu());
  const RankParts parts{config, kPositions, *rank.device, *rank.group, *rank.llama, *rank.kv};
  const auto runner = make_step_runner(parts);
  ASSERT_FALSE(runner);
  EXPECT_EQ(runner.error().code(), StatusCode::kMissing);
}

}  // namespace
}  // namespace herd::shard
