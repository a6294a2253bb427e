// A prefix is computed once: who is held back while another one computes it, until when, and who is not.

#include <deque>
#include <map>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "tests/runtime/scheduler_fixture.h"

namespace herd::scheduler {
namespace {

class SchedulerPrefixTest : public SchedulerTest {
 protected:
  // `shared` tokens that are equal in every such prompt, then `own` ones.
  static step::Submission prompt_of(std::uint64_t id, std::uint32_t shared, std::uint32_t own, std::uint32_t max_tokens = 2) {
    step::Submission submission = submission_of(0, shared, max_tokens);
    submission.sequence = SequenceId{id};
    for (std::uint32_t i = 0; i < own; ++i) submission.tokens.push_back(static_cast<TokenId>(id * 1000 + i));
    submission.prompt_tokens = shared + own;
    return submission;
  }
  // A prompt fits into one step.
  static SchedulerConfig roomy() {
    SchedulerConfig config = config_of(60);
    config.max_num_batched_tokens = 512;
    return config;
  }
  static std::vector<std::uint64_t> started(const step::StepPlan& plan) {
    std::vector<std::uint64_t> ids;
    for (const step::SequenceStart& start : plan.started) ids.push_back(start.sequence.value);
    return ids;
  }
  // To the end, as many plans out as may be. Returns the last delta of each sequence.
  std::map<std::uint64_t, step::TokenDelta> run() {
    std::map<std::uint64_t, step::TokenDelta> last;
    std::deque<step::StepPlan> plans;
    for (int step = 0; !scheduler_->idle(); ++step) {
      while (auto plan = scheduler_->plan_step({})) plans.push_back(std::move(*plan));
      scheduler_->check_integrity();
      if (plans.empty() || step > 1000) {
        ADD_FAILURE() << "no progress";
        break;
      }
      for (step::TokenDelta& delta : done(result_of(plans.front()))) last[delta.sequence.value] = std::move(delta);
      plans.pop_front();
    }
    return last;
  }
  [[nodiscard]] SchedulerStats stats() const { return scheduler_->stats(); }
};

using Ids = std::vector<std::uint64_t>;

// Three choices of one prompt of 100 tokens: six full blocks and 4 tokens more.
TEST_F(SchedulerPrefixTest, PromptOfSeveralChoicesIsComputedOnce) {
  for (const std::uint32_t ahead : {1U, 2U}) {
    SchedulerConfig config = config_of(40);
    config.steps_ahead = ahead;
    start(config);
    for (const std::uint64_t id : {1U, 2U, 3U}) submit(prompt_of(id, 100, 0));
    const auto last = run();
    EXPECT_EQ(stats().prefill_rows, 100U + 2U * 4U);
    EXPECT_EQ(stats().blocks.hit_tokens, 2U * 96U);
    EXPECT_EQ(stats().held_back, 2U);
    EXPECT_EQ(last.at(1).cached_tokens, 0U);
    EXPECT_EQ(last.at(2).cached_tokens, 96U);
    EXPECT_EQ(last.at(3).cached_tokens, 96U);
  }
}

// One long beginning, different ends, one of them longer than a step; the second and the third have more in common.
TEST_F(SchedulerPrefixTest, CommonBeginningIsComputedOnceAndEveryEndByItsOwner) {
  start(config_of(60));
  submit(prompt_of(1, 80, 90));
  step::Submission second = prompt_of(2, 80, 70);
  step::Submission third = second;
  third.sequence = SequenceId{3};
  third.tokens.push_back(7);
  ++third.prompt_tokens;
  submit(second);
  submit(third);
  const auto last = run();
  EXPECT_EQ(last.at(2).cached_tokens, 80U);
  EXPECT_EQ(last.at(3).cached_tokens, 144U);
  EXPECT_EQ(stats().prefill_rows, 170U + 70U + 7U);
}

TEST_F(SchedulerPrefixTest, ManyEqualPromptsNeedOnePrefill) {
  SchedulerConfig config = config_of(200);
  config.max_num_seqs = 33;
  start(config);
  for (std::uint64_t id = 1; id <= 32; ++id) submit(prompt_of(id, 97, 0));
  run();
  EXPECT_EQ(stats().prefill_rows, 97U + 31U * 1U);
}

TEST_F(SchedulerPrefixTest, OthersPassWhoIsHeldBack) {
  start(config_of(40));
  for (const std::uint64_t id : {1U, 2U}) submit(prompt_of(id, 100, 0));
  submit(submission_of(5, 20, 2));
  EXPECT_EQ(started(plan()), Ids{1});
  EXPECT_EQ(started(plan()), (Ids{5})) << "in the rows that the last chunk of the first leaves";
  EXPECT_EQ(stats().num_waiting, 1U);
  EXPECT_EQ(stats().num_held_back, 1U);
  EXPECT_EQ(stats().queue_tokens, 100U);
}

TEST_F(SchedulerPrefixTest, OthersLeaveASeatToWhoIsHeldBack) {
  SchedulerConfig config = config_of(40);
  config.max_num_seqs = 2;
  start(config);
  for (const std::uint64_t id : {1U, 2U}) submit(prompt_of(id, 70, 0, 10));
  submit(submission_of(5, 20, 2));
  const step::StepPlan first = plan();
  const step::StepPlan second = plan();
  EXPECT_EQ(started(first), Ids{1});
  EXPECT_EQ(started(second), Ids{});
  done(result_of(first));
  done(result_of(second));
  EXPECT_EQ(started(plan()), Ids{2});
}

// Pool of 10: the first takes 5, the second will take 2 beside the 4 it shares, so 3 are left to the third.
TEST_F(SchedulerPrefixTest, OthersLeaveTheBlocksThatWhoIsHeldBackWillTake) {
  for (const std::uint32_t tokens : {48U, 49U}) {
    start(config_of(10));
    submit(prompt_of(1, 64, 10));
    submit(prompt_of(2, 64, 20));
    submit(submission_of(5, tokens, 1));
    EXPECT_EQ(started(plan()), Ids{1});
    EXPECT_EQ(started(plan()), tokens == 48 ? Ids{5} : Ids{});
  }
}

// While the first computes, a later one with a long prompt passes the second.
//   expect  the second's few rows come before the rest of that prompt
TEST_F(SchedulerPrefixTest, LongPromptThatPassedDoesNotKeepTheStepsToItself) {
  start(config_of(60));
  for (const std::uint64_t id : {1U, 2U}) submit(prompt_of(id, 70, 0, 10));
  submit(submission_of(5, 250, 2));
  const step::StepPlan first = plan();
  const step::StepPlan second = plan();
  EXPECT_EQ(started(second), Ids{5});
  done(result_of(first));
  done(result_of(second));
  const step::StepPlan third = plan();
  EXPECT_EQ(started(third), Ids{2});
  ASSERT_EQ(third.slices.size(), 3U);
  EXPECT_EQ(third.slices[1].sequence, SequenceId{2});
  EXPECT_EQ(third.slices[1].rows, 6U);
  EXPECT_EQ(third.slices[2].sequence, SequenceId{5});
}

// The leader is aborted, its token is not finite, or its step brings none.
//   expect  the next one computes at once, the one behind waits for that
TEST_F(SchedulerPrefixTest, WithoutALeaderTheNextOneLeads) {
  enum class End { kAbort, kNotFinite, kNoToken };
  for (const End how : {End::kAbort, End::kNotFinite, End::kNoToken}) {
    SchedulerConfig config = config_of(60);
    config.steps_ahead = 1;
    config.max_num_batched_tokens = 128;
    start(config);
    for (const std::uint64_t id : {1U, 2U, 3U}) submit(prompt_of(id, 100, 0));
    step::StepResult result = result_of(plan());
    if (how == End::kAbort) {
      ASSERT_TRUE(scheduler_->on_abort(SequenceId{1}).has_value());
    } else if (how == End::kNotFinite) {
      result.sampled[0].finite = false;
    } else {
      result.sampled.clear();
    }
    done(result);
    EXPECT_EQ(stats().blocks.published_blocks, 0U);
    const step::StepPlan next = plan();
    EXPECT_EQ(started(next), Ids{2});
    EXPECT_TRUE(next.started[0].prefix_blocks.empty());
    EXPECT_EQ(stats().num_held_back, 1U);
    done(result_of(next));
    run();
    EXPECT_EQ(stats().prefill_rows, 100U + 100U + 4U);
  }
}

TEST_F(SchedulerPrefixTest, AbortedLeaderFreesItsFollowersWhileItsStepIsInFlight) {
  start(roomy());
  for (const std::uint64_t id : {1U, 2U}) submit(prompt_of(id, 100, 0));
  plan();
  EXPECT_EQ(stats().num_held_back, 1U);
  ASSERT_TRUE(scheduler_->on_abort(SequenceId{1}).has_value());
  scheduler_->check_integrity();
  EXPECT_EQ(started(plan()), Ids{2});
}

TEST_F(SchedulerPrefixTest, WhoIsHeldBackAbortsAsAnybodyWhoWaits) {
  start(roomy());
  for (const std::uint64_t id : {1U, 2U, 3U}) submit(prompt_of(id, 100, 0));
  plan();
  const auto delta = scheduler_->on_abort(SequenceId{2});
  scheduler_->check_integrity();
  ASSERT_TRUE(delta.has_value());
  EXPECT_EQ(delta->finish, step::FinishReason::kAborted);
  EXPECT_EQ(stats().num_held_back, 1U);
  EXPECT_EQ(stats().queue_tokens, 100U);
  ASSERT_TRUE(scheduler_->on_abort(SequenceId{1}).has_value());
  ASSERT_TRUE(scheduler_->on_abort(SequenceId{3}).has_value());
  scheduler_->check_integrity();
  EXPECT_EQ(stats().num_waiting, 0U);
}

TEST_F(SchedulerPrefixTest, FailedStepEndsWhoIsHeldBackToo) {
  start(roomy());
  for (const std::uint64_t id : {1U, 2U}) submit(prompt_of(id, 100, 0));
  step::StepResult result = result_of(plan());
  EXPECT_EQ(stats().num_held_back, 1U);
  result.status = {StatusCode::kAborted, "rank 1 is gone"};
  const auto deltas = done(result);
  ASSERT_EQ(deltas.size(), 2U);
  EXPECT_EQ(deltas[1].sequence, SequenceId{2});
  EXPECT_EQ(deltas[1].finish, step::FinishReason::kFailed);
}

TEST_F(SchedulerPrefixTest, LostReplicaReturnsWhoIsHeldBackToo) {
  start(roomy());
  for (const std::uint64_t id : {3U, 1U, 2U}) submit(prompt_of(id, 100, 0));
  plan();
  EXPECT_EQ(stats().num_held_back, 2U);
  EXPECT_EQ(scheduler_->on_replica_lost(), (std::vector{SequenceId{3}, SequenceId{1}, SequenceId{2}}));
  scheduler_->check_integrity();
  EXPECT_TRUE(scheduler_->idle());
}

TEST_F(SchedulerPrefixTest, WhoIsHeldBackFillsTheQueueAndIsTheOldestInIt) {
  SchedulerConfig config = roomy();
  config.queue_requests_max = 2;
  start(config);
  submit(prompt_of(1, 100, 0));
  ASSERT_TRUE(scheduler_->on_submit(prompt_of(2, 100, 0), Instant{5}).ok());
  plan();
  ASSERT_TRUE(scheduler_->on_submit(submission_of(5, 10, 1), Instant{7}).ok());
  EXPECT_EQ(stats().num_held_back, 1U);
  EXPECT_EQ(refusal(submission_of(6, 10, 1)), StatusCode::kOverloaded);
  EXPECT_EQ(stats().oldest_waiting_since, Instant{5});
}

// Two choices moved here from a lost replica: the prompt is theirs, the tokens emitted since are each one's own.
TEST_F(SchedulerPrefixTest, ChoicesThatBeganElsewhereShareTheirPrompt) {
  start(config_of(60));
  for (const std::uint64_t id : {1U, 2U}) {
    step::Submission submission = prompt_of(id, 96, 20, 40);
    submission.prompt_tokens = 96;
    submission.attempt = 2;
    submit(submission);
  }
  const auto last = run();
  EXPECT_EQ(last.at(2).cached_tokens, 96U);
  EXPECT_EQ(stats().prefill_rows, 116U + 20U);
}

// Pool of 10: three blocks of the first, seven of the second, which computes a prompt in small chunks. The third waits
// for that one.
//   then    the first grows by a block, so the second gives its own up in the middle of its prompt
//   expect  both wait, and when there is room again the second leads anew
TEST_F(SchedulerPrefixTest, PreemptedLeaderHoldsNobodyBack) {
  SchedulerConfig config = config_of(10);
  config.steps_ahead = 1;
  config.prefill_chunk_max = 8;
  start(config);
  submit(submission_of(5, 40, 50));
  for (int i = 0; i < 5; ++i) step();  // in chunks too
  submit(prompt_of(1, 97, 0));
  submit(prompt_of(2, 97, 0));
  step::StepPlan next = plan();
  EXPECT_EQ(started(next), Ids{1});
  for (int i = 0; stats().preemptions == 0; ++i) {
    ASSERT_LT(i, 20);
    EXPECT_EQ(stats().num_held_back, 1U);
    done(result_of(next));
    next = plan();
  }
  EXPECT_EQ(stats().num_held_back, 0U);
  EXPECT_EQ(stats().num_waiting, 2U);
  done(result_of(next));
  ASSERT_TRUE(scheduler_->on_abort(SequenceId{5}).has_value());
  EXPECT_EQ(started(plan()), Ids{1});
  EXPECT_EQ(stats().num_held_back, 1U);
}

// Its first token is in flight when it is preempted: that still publishes the prompt, so the second waits for it.
TEST_F(SchedulerPrefixTest, PreemptedLeaderWhoseTokenIsInFlightStillPublishes) {
  SchedulerConfig config = config_of(9);
  config.max_num_batched_tokens = 128;
  start(config);
  submit(submission_of(5, 16, 40));  // 1 block, then another one with its second token
  step();
  const step::StepPlan decode = plan();  // takes the second block
  EXPECT_EQ(decode.slices.size(), 1U);
  submit(prompt_of(1, 112, 0, 5));  // the other seven; its second token needs an eighth
  submit(prompt_of(2, 112, 0, 5));
  const step::StepPlan prompt = plan();
  EXPECT_EQ(started(prompt), Ids{1});
  done(result_of(decode));
  const step::StepPlan next = plan();
  EXPECT_EQ(next.released, std::vector{SequenceId{1}});
  EXPECT_EQ(stats().preemptions, 1U);
  EXPECT_EQ(stats().num_held_back, 1U) << "the prompt is about to be published";
  const auto deltas = done(result_of(prompt));
  EXPECT_EQ(deltas.size(), 2U);
  EXPECT_EQ(stats().num_held_back, 0U);
  EXPECT_GT(stats().blocks.published_blocks, 6U);
}

// What follows is computed at once, beside the one that computes the same.
class SchedulerPrefixNotHeldTest : public SchedulerPrefixTest {
 protected:
  void expect_both_start(const SchedulerConfig& config, const step::Submission& first, const step::Submission& second) {
    start(config);
    submit(first);
    submit(second);
    EXPECT_EQ(started(plan()), (Ids{1, 2}));
    EXPECT_EQ(stats().held_back, 0U);
  }
};

TEST_F(SchedulerPrefixNotHeldTest, LittleInCommon) {
  expect_both_start(roomy(), prompt_of(1, 63, 50), prompt_of(2, 63, 50));
  start(roomy());
  submit(prompt_of(1, 64, 50));
  submit(prompt_of(2, 64, 50));
  EXPECT_EQ(started(plan()), Ids{1}) << "one token more is enough";
}

TEST_F(SchedulerPrefixNotHeldTest, LittleInCommonBeyondWhatIsCached) {
  start(roomy());
  submit(prompt_of(1, 100, 0));
  run();
  submit(prompt_of(2, 150, 0));
  submit(prompt_of(3, 150, 0));
  const step::StepPlan next = plan();
  EXPECT_EQ(started(next), (Ids{2, 3})) << "48 tokens each, beside 96 that are cached";
}

TEST_F(SchedulerPrefixNotHeldTest, OtherSalt) {
  step::Submission second = prompt_of(2, 100, 0);
  second.cache_salt = 1;
  expect_both_start(roomy(), prompt_of(1, 100, 0), second);
}

TEST_F(SchedulerPrefixNotHeldTest, NoCache) {
  SchedulerConfig config = roomy();
  config.prefix_caching = false;
  expect_both_start(config, prompt_of(1, 100, 0), prompt_of(2, 100, 0));
}

TEST_F(SchedulerPrefixNotHeldTest, NeverWhenAskedNotTo) {
  SchedulerConfig config = roomy();
  config.shared_prefix_min = 0;
  expect_both_start(config, prompt_of(1, 100, 0), prompt_of(2, 100, 0));
}

TEST_F(SchedulerPrefixNotHeldTest, RowsAskedFor) {
  step::Submission second = prompt_of(2, 100, 0);
  second.output = step::OutputSelector::kPromptLogprobs;
  expect_both_start(roomy(), prompt_of(1, 100, 0), second);
}

// Scoring publishes nothing, so nobody waits for it; a prompt scored before its first token is published as any other.
TEST_F(SchedulerPrefixNotHeldTest, LeaderThatOnlyScores) {
  step::Submission first = prompt_of(1, 100, 0, 0);
  first.output = step::OutputSelector::kPromptLogprobs;
  expect_both_start(roomy(), first, prompt_of(2, 100, 0));
  first.max_tokens = 2;
  start(roomy());
  submit(first);
  submit(prompt_of(2, 100, 0));
  EXPECT_EQ(started(plan()), Ids{1});
}

TEST_F(SchedulerPrefixNotHeldTest, MoreUrgentThanWhoComputesIt) {
  for (const SchedulingPolicy policy : {SchedulingPolicy::kPriority, SchedulingPolicy::kFcfs}) {
    SchedulerConfig config = config_of(60);
    config.policy = policy;
    start(config);
    submit(prompt_of(1, 100, 0));
    plan();
    step::Submission urgent = prompt_of(2, 100, 0);
    urgent.priority = -1;
    submit(urgent);
    const step::StepPlan next = plan();
    EXPECT_EQ(started(next), policy == SchedulingPolicy::kPriority ? Ids{2} : Ids{});
    EXPECT_EQ(next.slices.front().sequence, SequenceId{policy == SchedulingPolicy::kPriority ? 2U : 1U});
  }
}

// With limited chunks both could compute side by side. 64 tokens are not worth the wait for 140, but for 120.
TEST_F(SchedulerPrefixNotHeldTest, LeaderWithALongWayToGo) {
  SchedulerConfig config = roomy();
  config.prefill_chunk_max = 16;
  expect_both_start(config, prompt_of(1, 64, 96), prompt_of(2, 64, 5));
  start(config);
  submit(prompt_of(1, 64, 80));
  submit(prompt_of(2, 64, 5));
  EXPECT_EQ(started(plan()), Ids{1});
  config.prefill_chunk_max = 0;
  start(config);
  submit(prompt_of(1, 64, 180));
  submit(prompt_of(2, 64, 5));
  EXPECT_EQ(started(plan()), Ids{1}) << "a whole prompt goes first in any case";
}

}  // namespace
}  // namespace herd::scheduler
