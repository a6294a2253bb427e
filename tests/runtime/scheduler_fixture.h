#pragma once
// A small scheduler, submissions to it and the answers of a healthy rank.

#include <cstdint>
#include <memory>
#include <numeric>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "runtime/scheduler/scheduler.h"

namespace herd::scheduler {

inline SchedulerConfig config_of(std::uint32_t num_blocks) {
  SchedulerConfig config;
  config.max_num_seqs = 8;
  config.max_num_batched_tokens = 64;
  config.max_model_len = 256;
  config.queue_tokens_max = 4096;
  config.num_blocks = num_blocks;
  return config;
}

inline step::Submission submission_of(std::uint64_t id, std::uint32_t prompt_tokens, std::uint32_t max_tokens) {
  step::Submission submission;
  submission.sequence = SequenceId{id};
  submission.tokens.resize(prompt_tokens);
  std::iota(submission.tokens.begin(), submission.tokens.end(), static_cast<TokenId>(id * 1000));
  submission.prompt_tokens = prompt_tokens;
  submission.max_tokens = max_tokens;
  return submission;
}

// Answers a plan as a healthy rank would, with the output index as the token.
inline step::StepResult result_of(const step::StepPlan& plan) {
  step::StepResult result;
  result.epoch = plan.epoch;
  result.step = plan.step;
  result.blocks_written = static_cast<std::uint32_t>(plan.writes.size());
  for (const step::SequenceSlice& slice : plan.slices) {
    if (slice.sample)
      result.sampled.push_back(
          {slice.sequence, slice.output_index, static_cast<TokenId>(slice.output_index), 0, {}, 0, true});
  }
  return result;
}

class SchedulerTest : public testing::Test {
 protected:
  void start(const SchedulerConfig& config) {
    SchedulerProbe probe;
    probe.preemptions = [this](std::uint64_t) { return std::exchange(preempt_next_, 0); };
    scheduler_ = std::make_unique<Scheduler>(config, Epoch{1}, probe);
  }
  // At the next plan: one that has sampled since its admission.
  void force_preemption() { ++preempt_next_; }
  void submit(const step::Submission& submission) { ASSERT_TRUE(scheduler_->on_submit(submission, {}).ok()); }
  step::StepPlan plan() {
    auto plan = scheduler_->plan_step({});
    scheduler_->check_integrity();
    EXPECT_TRUE(plan.has_value());
    return plan.value_or(step::StepPlan{});
  }
  std::vector<step::TokenDelta> done(const step::StepResult& result) {
    auto deltas = scheduler_->on_step_done(result, {});
    scheduler_->check_integrity();
    return deltas;
  }
  std::vector<step::TokenDelta> step() { return done(result_of(plan())); }
  StatusCode refusal(const step::Submission& submission) { return scheduler_->on_submit(submission, {}).code(); }

  std::unique_ptr<Scheduler> scheduler_;
  std::uint32_t preempt_next_ = 0;
};

}  // namespace herd::scheduler
