// Steps of a rank that finish late: submitted ahead, reported in order, failures at their place.

#include "actors/roles/rank_steps.h"

#include <gtest/gtest.h>

#include <deque>
#include <stdexcept>
#include <string>
#include <vector>

namespace herd::actors {
namespace {

using std::chrono::microseconds;

// An executor that does as the test says and writes down what it was asked.
class Scripted final : public shard::RankExecutor {
 public:
  struct Script {
    std::string log;                // "s1" submitted, "c1" collected, "r" a report
    bool done = false;              // what ready() says
    std::uint64_t throw_submit = 0;   // step
    std::uint64_t throw_collect = 0;  // step
    bool throw_ready = false;
  };
  explicit Scripted(Script& script) : script_(script) {}

  void submit(const step::StepPlan& plan) override {
    if (plan.step.value == script_.throw_submit) throw std::runtime_error("cannot be started");
    script_.log += std::string("s").append(std::to_string(plan.step.value));
    steps_.push_back(plan.step);
  }
  bool ready(microseconds) override {
    if (script_.throw_ready) throw std::runtime_error("cannot tell");
    return script_.done;
  }
  step::StepResult collect() override {
    step::StepResult result;
    result.step = steps_.at(0);
    steps_.pop_front();
    if (result.step.value == script_.throw_collect) throw std::runtime_error("the device is gone");
    script_.log += std::string("c").append(std::to_string(result.step.value));
    return result;
  }
  void give(step::BlockBytes) override {}
  std::vector<step::BlockBytes> take_blocks_read() override { return {}; }

 private:
  Script& script_;
  std::deque<StepId> steps_;
};

struct Driven {
  Scripted::Script script;
  std::vector<step::StepResult> results;
  Scripted executor{script};
  RankSteps steps{executor, 3, [this](step::StepResult result) {
                    script.log += "r";
                    results.push_back(std::move(result));
                  }};

  void plan(std::uint64_t step) {
    auto plan = std::make_shared<step::StepPlan>();
    plan->epoch = Epoch(7);
    plan->step = StepId(step);
    steps.on_plan(std::move(plan));
  }
};

TEST(RankSteps, AStepThatIsDoneAtOnceIsReportedBeforeTheNextMessage) {
  Driven rank;
  rank.script.done = true;
  rank.plan(1);
  EXPECT_EQ(rank.script.log, "s1c1r");
  EXPECT_TRUE(rank.steps.idle());
}

TEST(RankSteps, TheNextStepIsStartedWhileOneIsUnderWay) {
  Driven rank;
  rank.plan(1);
  rank.steps.look(microseconds(0));
  EXPECT_EQ(rank.script.log, "s1");
  EXPECT_FALSE(rank.steps.idle());
  rank.plan(2);
  EXPECT_EQ(rank.script.log, "s1s2");
  rank.script.done = true;
  rank.steps.look(microseconds(0));
  EXPECT_EQ(rank.script.log, "s1s2c1r");
  rank.steps.look(microseconds(0));
  EXPECT_EQ(rank.script.log, "s1s2c1rc2r");
  EXPECT_TRUE(rank.steps.idle());
  rank.steps.look(microseconds(0));
  EXPECT_EQ(rank.results.size(), 2U);
}

TEST(RankSteps, AThirdStepWaitsForTheFirst) {
  Driven rank;
  rank.plan(1);
  rank.plan(2);
  rank.plan(3);
  EXPECT_EQ(rank.script.log, "s1s2c1rs3");
}

TEST(RankSteps, StepsThatEndedMeanwhileAreReportedWithThePlanThatFindsThem) {
  Driven rank;
  rank.plan(1);
  rank.script.done = true;
  rank.plan(2);
  EXPECT_EQ(rank.script.log, "s1s2c1rc2r");
}

TEST(RankSteps, AStepThatCannotBeStartedFailsBehindTheOnesBeforeIt) {
  Driven rank;
  rank.script.throw_submit = 2;
  rank.plan(1);
  rank.plan(2);
  ASSERT_EQ(rank.results.size(), 2U);
  EXPECT_TRUE(rank.results[0].status.ok());
  EXPECT_EQ(rank.results[0].step, StepId(1));
  EXPECT_EQ(rank.results[1].step, StepId(2));
  EXPECT_EQ(rank.results[1].epoch, Epoch(7));
  EXPECT_EQ(rank.results[1].rank, 3U);
  EXPECT_EQ(rank.results[1].status.code(), StatusCode::kInternal);
  EXPECT_EQ(rank.results[1].status.message(), "rank 3 threw: cannot be started");
  EXPECT_EQ(rank.steps.broken(), rank.results[1].status);
  EXPECT_TRUE(rank.steps.idle());
}

TEST(RankSteps, AStepThatThrowsWhenCollectedHasFailedAndTheNextOneIsStillReported) {
  Driven rank;
  rank.script.throw_collect = 1;
  rank.plan(1);
  rank.plan(2);
  rank.script.done = true;
  rank.steps.look(microseconds(0));
  rank.steps.look(microseconds(0));
  ASSERT_EQ(rank.results.size(), 2U);
  EXPECT_EQ(rank.results[0].step, StepId(1));
  EXPECT_EQ(rank.results[0].status.message(), "rank 3 threw: the device is gone");
  EXPECT_EQ(rank.results[1].step, StepId(2));
  EXPECT_TRUE(rank.results[1].status.ok());
  EXPECT_EQ(rank.steps.broken(), rank.results[0].status) << "its rank is in no known state";
}

// A failed status is an answer: the rank goes on.
TEST(RankSteps, WithoutAThrowNothingIsBroken) {
  Driven rank;
  rank.plan(1);
  rank.plan(2);
  rank.steps.finish();
  EXPECT_EQ(rank.script.log, "s1s2c1rc2r");
  EXPECT_TRUE(rank.steps.idle());
  EXPECT_TRUE(rank.steps.broken().ok());
}

TEST(RankSteps, AnExecutorThatCannotTellIsNotAskedForEver) {
  Driven rank;
  rank.plan(1);
  rank.script.throw_ready = true;
  rank.script.throw_collect = 1;
  rank.steps.look(microseconds(0));
  ASSERT_EQ(rank.results.size(), 1U);
  EXPECT_FALSE(rank.results[0].status.ok());
  EXPECT_TRUE(rank.steps.idle());
}

}  // namespace
}  // namespace herd::actors
