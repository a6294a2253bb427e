// Suspects: sequences that share no step with another one until they have emitted enough (runtime/scheduler/probation.h).

#include <algorithm>
#include <vector>

#include <gtest/gtest.h>

#include "tests/runtime/scheduler_fixture.h"

namespace herd::scheduler {
namespace {

using Ids = std::vector<std::uint64_t>;

step::Submission suspect_of(std::uint64_t id, std::uint32_t prompt_tokens, std::uint32_t max_tokens,
                            std::uint32_t alone_until) {
  step::Submission submission = submission_of(id, prompt_tokens, max_tokens);
  submission.alone_until = alone_until;
  return submission;
}

Ids computing(const step::StepPlan& plan) {
  Ids ids;
  for (const step::SequenceSlice& slice : plan.slices) ids.push_back(slice.sequence.value);
  return ids;
}

class SchedulerProbation : public SchedulerTest {
 protected:
  bool nothing_to_plan() {
    const bool nothing = !scheduler_->plan_step({}).has_value();
    scheduler_->check_integrity();
    return nothing;
  }
  // Who computes in each of the next plans, one plan out at a time.
  std::vector<Ids> steps(std::size_t count) {
    std::vector<Ids> who;
    for (std::size_t i = 0; i < count; ++i) {
      const step::StepPlan next = plan();
      who.push_back(computing(next));
      done(result_of(next));
    }
    return who;
  }
};

// Sequence 1 has a step out when suspect 2 comes.
//   expect  2 starts when that step has come back, runs one step ahead of itself, and 1 goes on when 2 has emitted 3 tokens
TEST_F(SchedulerProbation, ASuspectIsPlannedWhenNothingElseIsOut) {
  start(config_of(40));
  submit(submission_of(1, 10, 50));
  const step::StepPlan first = plan();
  submit(suspect_of(2, 10, 50, 2));
  EXPECT_TRUE(nothing_to_plan());
  done(result_of(first));
  step::StepPlan out = plan();
  EXPECT_EQ(computing(out), Ids{2});
  for (std::uint32_t emitted = 1; emitted <= 3; ++emitted) {
    const step::StepPlan ahead = plan();
    EXPECT_EQ(computing(ahead), Ids{2});
    EXPECT_EQ(done(result_of(out)).front().token.output_index, emitted - 1);
    out = ahead;
  }
  const step::StepPlan both = plan();
  EXPECT_EQ(computing(both), (Ids{1, 2}));
  EXPECT_TRUE(both.started.empty());
  EXPECT_EQ(scheduler_->stats().preemptions, 0U);
}

TEST_F(SchedulerProbation, TokensThatAreSubmittedCountAsEmitted) {
  start(config_of(40));
  submit(submission_of(1, 10, 50));
  step::Submission suspect = suspect_of(2, 10, 50, 4);
  suspect.prompt_tokens = 6;  // 4 are emitted: one more and it has passed
  submit(suspect);
  EXPECT_EQ(steps(3), (std::vector<Ids>{{1}, {2}, {1, 2}}));
}

// A whole prompt in three chunks: nobody fills the rest of a step.
TEST_F(SchedulerProbation, ThePrefillOfASuspectIsAloneToo) {
  SchedulerConfig config = config_of(40);
  config.prefill_chunk_max = 16;
  start(config);
  submit(submission_of(1, 10, 50));
  submit(suspect_of(2, 48, 50, 1));
  EXPECT_EQ(steps(6), (std::vector<Ids>{{1}, {2}, {2}, {2}, {2}, {1, 2}}));
}

// The others get a plan between two suspects.
TEST_F(SchedulerProbation, SuspectsRunOneAfterTheOther) {
  start(config_of(40));
  submit(submission_of(1, 10, 50));
  for (const std::uint64_t id : {2U, 3U}) submit(suspect_of(id, 10, 50, 1));
  submit(submission_of(4, 10, 50));
  EXPECT_EQ(steps(7), (std::vector<Ids>{{1}, {2}, {2}, {1, 2}, {3}, {3}, {1, 2, 3, 4}}));
}

TEST_F(SchedulerProbation, AloneFromTheStartItNeedsToWaitForNobody) {
  start(config_of(40));
  submit(suspect_of(1, 10, 50, 1));
  submit(submission_of(2, 10, 50));
  EXPECT_EQ(steps(3), (std::vector<Ids>{{1}, {1}, {1, 2}}));
}

TEST_F(SchedulerProbation, ASuspectThatEndsSetsTheOthersFree) {
  start(config_of(40));
  submit(submission_of(1, 10, 50));
  submit(suspect_of(2, 10, 2, 30));
  EXPECT_EQ(steps(4), (std::vector<Ids>{{1}, {2}, {2}, {1}}));
}

// Its rows are computed all the same: should they be fatal, nobody else may have been under way.
TEST_F(SchedulerProbation, TheStepOfAnAbortedSuspectIsWaitedFor) {
  start(config_of(40));
  submit(submission_of(1, 10, 50));
  step();
  submit(suspect_of(2, 10, 50, 5));
  const step::StepPlan out = plan();
  EXPECT_EQ(computing(out), Ids{2});
  EXPECT_TRUE(scheduler_->on_abort(SequenceId{2}).has_value());
  const step::StepPlan release = plan();
  EXPECT_EQ(release.released, std::vector{SequenceId{2}});
  EXPECT_TRUE(release.slices.empty());
  done(result_of(out));
  EXPECT_EQ(computing(plan()), Ids{1});
}

// The same for one that gave its blocks up while its step was out.
TEST_F(SchedulerProbation, TheStepOfAPreemptedSuspectIsWaitedFor) {
  start(config_of(40));
  submit(submission_of(1, 10, 50));
  step();
  submit(suspect_of(2, 10, 50, 5));
  step();
  const step::StepPlan out = plan();
  EXPECT_EQ(computing(out), Ids{2});
  force_preemption();
  const step::StepPlan release = plan();
  EXPECT_EQ(release.released, std::vector{SequenceId{2}});
  EXPECT_TRUE(release.slices.empty());
  done(result_of(out));
  done(result_of(release));
  EXPECT_EQ(computing(plan()), Ids{1}) << "the others are next";
  EXPECT_TRUE(nothing_to_plan());
}

// 4 blocks of 16; sequence 1 takes 3 in the end, the suspect 3.
TEST_F(SchedulerProbation, OthersGoOnWhileASuspectDoesNotFit) {
  SchedulerConfig config = config_of(4);
  config.prefix_caching = false;
  start(config);
  submit(submission_of(1, 31, 10));
  step();
  submit(suspect_of(2, 40, 4, 2));
  for (std::uint32_t token = 1; token < 10; ++token) EXPECT_EQ(steps(1).front(), Ids{1});
  EXPECT_EQ(steps(1).front(), Ids{2});
  EXPECT_EQ(scheduler_->stats().preemptions, 0U);
}

// All seats are taken: nothing waits for the suspect, one step ahead stays.
TEST_F(SchedulerProbation, OthersStayOneStepAheadWhileThereIsNoSeat) {
  SchedulerConfig config = config_of(40);
  config.max_num_seqs = 1;
  start(config);
  submit(submission_of(1, 10, 50));
  submit(suspect_of(2, 10, 50, 2));
  (void)plan();
  EXPECT_EQ(computing(plan()), Ids{1});
}

// The suspect's prefix is being computed by sequence 1, in chunks.
TEST_F(SchedulerProbation, ASuspectIsHeldBackForItsPrefix) {
  SchedulerConfig config = config_of(40);
  config.prefill_chunk_max = 48;
  start(config);
  submit(submission_of(1, 128, 50));
  step::Submission suspect = suspect_of(1, 128, 50, 1);
  suspect.sequence = SequenceId{2};
  EXPECT_EQ(steps(1).front(), Ids{1});
  submit(suspect);
  EXPECT_EQ(steps(2), (std::vector<Ids>{{1}, {1}}));
  const step::StepPlan alone = plan();
  EXPECT_EQ(computing(alone), Ids{2});
  EXPECT_EQ(alone.slices.front().position, 112U) << "what sequence 1 has computed";
}

TEST_F(SchedulerProbation, ASuspectThatIsOnlyScoredIsAloneToItsEnd) {
  start(config_of(40));
  submit(submission_of(1, 10, 50));
  step::Submission scored = suspect_of(2, 10, 0, 1);
  scored.output = step::OutputSelector::kLogitsLast;
  submit(scored);
  EXPECT_EQ(steps(3), (std::vector<Ids>{{1}, {2}, {1}}));
}

// 6 blocks of 16. The suspect came first, and grows at the cost of the one served after it.
TEST_F(SchedulerProbation, ASuspectGrowsAtTheCostOfWhoIsServedAfterIt) {
  SchedulerConfig config = config_of(6);
  config.prefix_caching = false;
  config.policy = SchedulingPolicy::kPriority;
  start(config);
  submit(submission_of(1, 40, 30));  // 3 blocks
  step();
  step::Submission suspect = suspect_of(2, 47, 20, 6);  // 3 blocks, soon 4
  suspect.priority = -1;
  submit(suspect);
  for (std::uint32_t token = 0; token < 7; ++token) EXPECT_EQ(steps(1).front(), Ids{2});
  EXPECT_EQ(scheduler_->stats().preemptions, 1U);
  EXPECT_EQ(steps(1).front(), Ids{2}) << "sequence 1 does not fit beside it";
}

}  // namespace
}  // namespace herd::scheduler
