#include "cluster/replica/steps_out.h"

#include <gtest/gtest.h>

#include <vector>

namespace herd::replica {
namespace {

struct Steps : testing::Test {
  static step::AttemptKey key(std::uint64_t sequence) { return {GatewayId(7), SequenceId(sequence), 0}; }
  // A sequence that begins with a prompt of 10 tokens and so many emitted ones.
  SequenceId start(std::uint64_t sequence, std::size_t emitted, step::StepPlan& plan) {
    const SequenceId own = attempts.add(key(sequence));
    step::SequenceStart start;
    start.sequence = own;
    start.tokens.assign(10 + emitted, 1);
    start.prompt_tokens = 10;
    plan.started.push_back(start);
    return own;
  }
  std::vector<routing::AttemptInStep> out_after(const step::StepPlan& plan) {
    steps.push(plan, attempts);
    return steps.attempts();
  }

  AttemptTable attempts;
  StepsOut steps;
};

using Attempts = std::vector<routing::AttemptInStep>;

TEST_F(Steps, AStepThatSamplesCountsItsToken) {
  step::StepPlan plan{.step = StepId(1)};
  const SequenceId own = start(1, 3, plan);
  plan.slices.push_back({.sequence = own, .position = 0, .rows = 13, .sample = true, .output_index = 3});
  EXPECT_EQ(out_after(plan), (Attempts{{key(1), 4}}));
}

// Else what it emitted before would look like the token of this step: a suspect that had emitted enough to be let among others,
// was preempted and is computed again would be taken for one that is still alone.
TEST_F(Steps, AStepOfAPromptCountsTheTokenAfterIt) {
  step::StepPlan plan{.step = StepId(1)};
  const SequenceId own = start(1, 3, plan);
  plan.slices.push_back({.sequence = own, .position = 0, .rows = 5});
  EXPECT_EQ(out_after(plan), (Attempts{{key(1), 4}}));
}

TEST_F(Steps, SayWhichCopyBlocks) {
  steps.push(step::StepPlan{.step = StepId(1)}, attempts);
  step::StepPlan reads{.step = StepId(2)}, writes{.step = StepId(3)};
  reads.reads = {{TransferId(1), 0, BlockId(4)}};
  writes.writes = {{TransferId(1), 0, BlockId(4)}};
  steps.push(reads, attempts);
  steps.push(writes, attempts);
  EXPECT_FALSE(steps.pop(StepId(1)).copies);
  EXPECT_TRUE(steps.pop(StepId(2)).copies);
  EXPECT_TRUE(steps.pop(StepId(3)).copies);
}

TEST_F(Steps, OfAnAttemptInTwoStepsTheLaterCounts) {
  step::StepPlan plan{.step = StepId(1)};
  const SequenceId first = start(1, 0, plan), second = start(2, 0, plan);
  plan.slices.push_back({.sequence = first, .position = 0, .rows = 10, .sample = true, .output_index = 0});
  plan.slices.push_back({.sequence = second, .position = 0, .rows = 4});
  steps.push(plan, attempts);
  step::StepPlan next{.step = StepId(2)};
  next.slices.push_back({.sequence = first, .position = 10, .rows = 1, .sample = true, .output_index = 1});
  EXPECT_EQ(out_after(next), (Attempts{{key(1), 2}, {key(2), 1}}));
  EXPECT_EQ(steps.pop(StepId(1)).step, StepId(1));
  EXPECT_EQ(steps.attempts(), (Attempts{{key(1), 2}}));
}

}  // namespace
}  // namespace herd::replica
