// Chunks of prompts in steps that streams wait for.

#include <optional>
#include <utility>

#include "runtime/scheduler/chunk_rows.h"
#include "tests/runtime/scheduler_fixture.h"
#include "tests/runtime/step_cost_fixture.h"

namespace herd::scheduler {
namespace {

using Rows = std::vector<std::pair<std::uint64_t, std::uint32_t>>;  // sequence, rows

Rows rows_of(const step::StepPlan& plan) {
  Rows rows;
  for (const step::SequenceSlice& slice : plan.slices) rows.emplace_back(slice.sequence.value, slice.rows);
  return rows;
}

// A row of the small model takes 1.4 ms at first and 2 ms behind 250 tokens: 50 ms are some 30 rows.
class SchedulerStepTime : public SchedulerTest {
 protected:
  void start(SchedulerConfig config, std::uint32_t steps_ahead = 1) {
    config.max_num_batched_tokens = 200;
    config.max_model_len = 1000;
    config.queue_tokens_max = 100'000;
    config.steps_ahead = steps_ahead;
    SchedulerTest::start(config);
  }
  // A sequence that decodes from here on.
  void start_stream(std::uint64_t id) {
    submit(submission_of(id, 1, 500));
    next();
  }
  step::StepPlan next() {
    auto plan = scheduler_->plan_step({}, &cost_);
    scheduler_->check_integrity();
    EXPECT_TRUE(plan.has_value());
    if (!plan) return {};
    done(result_of(*plan));
    return *plan;
  }
  [[nodiscard]] double seconds_of(const step::StepPlan& plan) const { return cost_.step_seconds(shape_of(plan)); }

  StepCost cost_ = small_cost({2e8, 1e12, 1e-6});
};

TEST_F(SchedulerStepTime, APromptBesideAStreamIsComputedInChunksOfLimitedTime) {
  start(config_of(400));
  start_stream(1);
  submit(submission_of(2, 250, 5));
  for (std::uint32_t position = 0; position < 250;) {
    const step::StepPlan plan = next();
    ASSERT_EQ(plan.slices.size(), 2U);
    const step::SequenceSlice& chunk = plan.slices[1];
    EXPECT_EQ(chunk.position, position);
    position += chunk.rows;
    EXPECT_LE(seconds_of(plan), 0.050);
    if (position < 250) {
      EXPECT_GT(seconds_of(plan), 0.046) << "a longer chunk fits";
      EXPECT_GT(chunk.rows, 16U);
    }
  }
}

TEST_F(SchedulerStepTime, WithoutStreamsItIsAsLongAsTheStep) {
  start(config_of(400));
  submit(submission_of(1, 600, 5));
  EXPECT_EQ(rows_of(next()), (Rows{{1, 200}}));
  submit(submission_of(2, 600, 5));
  EXPECT_EQ(rows_of(next()), (Rows{{1, 200}}));
  EXPECT_EQ(rows_of(next()), (Rows{{1, 200}})) << "its first token comes with this step, and nobody waits for it but itself";
}

// A step ahead of its first token it waits for the next one already.
TEST_F(SchedulerStepTime, AStreamWhoseFirstTokenIsUnderWayRunsAlready) {
  start(config_of(400), 2);
  submit(submission_of(1, 10, 50));
  submit(submission_of(2, 600, 5));
  EXPECT_EQ(rows_of(*scheduler_->plan_step({}, &cost_)), (Rows{{1, 10}, {2, 190}}));
  const auto ahead = scheduler_->plan_step({}, &cost_);
  EXPECT_EQ(rows_of(*ahead).front(), (std::pair<std::uint64_t, std::uint32_t>{1, 1}));
  EXPECT_LE(seconds_of(*ahead), 0.050);
}

// Its last token is under way: nothing of this step is for it.
TEST_F(SchedulerStepTime, AStreamThatNeedsNoMoreStepsBoundsNone) {
  start(config_of(400), 2);
  submit(submission_of(1, 10, 1));
  submit(submission_of(2, 600, 5));
  EXPECT_EQ(rows_of(*scheduler_->plan_step({}, &cost_)), (Rows{{1, 10}, {2, 190}}));
  EXPECT_EQ(rows_of(*scheduler_->plan_step({}, &cost_)), (Rows{{2, 200}}));
}

TEST_F(SchedulerStepTime, WhatWaitsGetsSixteenRowsHoweverLongTheyTake) {
  SchedulerConfig config = config_of(400);
  config.max_step_ms = 1;
  start(config);
  start_stream(1);
  for (std::uint64_t id = 2; id < 5; ++id) submit(submission_of(id, 40, 500));
  EXPECT_EQ(rows_of(next()), (Rows{{1, 1}, {2, 16}}));
  EXPECT_EQ(rows_of(next()), (Rows{{1, 1}, {2, 16}}));
  // Together, and nobody after them.
  EXPECT_EQ(rows_of(next()), (Rows{{1, 1}, {2, 8}, {3, 8}}));
  EXPECT_EQ(rows_of(next()), (Rows{{1, 1}, {2, 1}, {3, 16}}));
}

TEST_F(SchedulerStepTime, ShortPromptsShareTheTimeInOrderOfService) {
  start(config_of(400));
  start_stream(1);
  for (std::uint64_t id = 2; id < 8; ++id) submit(submission_of(id, 17, 500));
  const step::StepPlan plan = next();
  EXPECT_LE(seconds_of(plan), 0.050);
  ASSERT_GE(plan.slices.size(), 3U);
  for (std::size_t i = 1; i + 1 < plan.slices.size(); ++i) EXPECT_EQ(plan.slices[i].rows, 17U);
  EXPECT_LT(plan.slices.back().rows, 17U);
  EXPECT_EQ(plan.started.size(), plan.slices.size() - 1) << "nobody is admitted for whom there are no rows";
}

TEST_F(SchedulerStepTime, TheOtherBoundsOfChunksHoldBesideIt) {
  SchedulerConfig config = config_of(400);
  config.prefill_chunk_max = 5;
  config.max_prefill_seqs = 2;
  start(config);
  start_stream(1);
  for (std::uint64_t id = 2; id < 5; ++id) submit(submission_of(id, 40, 500));
  EXPECT_EQ(rows_of(next()), (Rows{{1, 1}, {2, 5}, {3, 5}}));
}

TEST_F(SchedulerStepTime, ZeroIsNoBoundAndAHugeOneNone) {
  for (const std::uint32_t ms : {0U, 600'000U}) {
    SchedulerConfig config = config_of(400);
    config.max_step_ms = ms;
    start(config);
    start_stream(1);
    submit(submission_of(2, 600, 5));
    EXPECT_EQ(rows_of(next()), (Rows{{1, 1}, {2, 199}})) << ms;
  }
}

// Its tokens so far are a prompt like any other when it comes back.
TEST_F(SchedulerStepTime, WhatIsComputedAgainIsBoundedToo) {
  start(config_of(400));
  start_stream(1);
  step::Submission replayed = submission_of(2, 300, 500);
  replayed.prompt_tokens = 100;  // 200 are emitted
  submit(replayed);
  EXPECT_LE(seconds_of(next()), 0.050);
}

// The streams wait for all of its steps, so short ones would help nobody.
TEST_F(SchedulerStepTime, ASuspectsChunksAreAsLongAsTheyLike) {
  start(config_of(400));
  start_stream(1);
  step::Submission suspect = submission_of(2, 600, 50);
  suspect.alone_until = 1;
  submit(suspect);
  for (int chunk = 0; chunk < 3; ++chunk) EXPECT_EQ(rows_of(next()), (Rows{{2, 200}}));
}

// The rates are those at planning.
TEST_F(SchedulerStepTime, ChunksFollowWhatStepsTake) {
  start(config_of(400));
  start_stream(1);
  submit(submission_of(2, 600, 5));
  const std::uint32_t rows = next().slices[1].rows;
  for (int step = 0; step < 20; ++step) cost_.on_step({40, 1, 400, 4000}, 0.100);
  const std::uint32_t of_slow_steps = next().slices[1].rows;
  EXPECT_LT(of_slow_steps, rows);
  EXPECT_GE(of_slow_steps, kPromptRowsMin);
}

}  // namespace
}  // namespace herd::scheduler
