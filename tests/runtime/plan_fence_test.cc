// Plans of other groups, and plans that come too late, twice or too early.
#include "runtime/shard/plan_fence.h"

#include <string>

#include <gtest/gtest.h>

namespace herd::shard {
namespace {

step::StepPlan plan_of(std::uint64_t epoch, std::uint64_t step) {
  step::StepPlan plan;
  plan.epoch = Epoch{epoch};
  plan.step = StepId{step};
  return plan;
}

std::string refusal(PlanFence& fence, std::uint64_t epoch, std::uint64_t step) {
  const Status status = fence.admit(plan_of(epoch, step));
  EXPECT_EQ(status.code(), StatusCode::kInternal);
  return status.message();
}

TEST(PlanFence, AdmitsTheStepsOfItsGroupOneAfterTheOther) {
  PlanFence fence;
  fence.join(Epoch{4});
  for (std::uint64_t step = 1; step <= 3; ++step) EXPECT_TRUE(fence.admit(plan_of(4, step)).ok()) << step;
}

TEST(PlanFence, APlanOfAnotherGroupIsRefusedAndBothAreNamed) {
  PlanFence fence;
  fence.join(Epoch{4});
  EXPECT_EQ(refusal(fence, 3, 1), "step plan: step 1 of epoch 3, but this rank is in epoch 4");
  EXPECT_EQ(refusal(fence, 5, 1), "step plan: step 1 of epoch 5, but this rank is in epoch 4");
  EXPECT_TRUE(fence.admit(plan_of(4, 1)).ok()) << "what was refused changes nothing";
}

TEST(PlanFence, AStepTwiceOrOneTooFarIsRefused) {
  PlanFence fence;
  fence.join(Epoch{4});
  EXPECT_EQ(refusal(fence, 4, 0), "step plan: step 0 of epoch 4, but step 1 comes next");
  EXPECT_TRUE(fence.admit(plan_of(4, 1)).ok());
  EXPECT_EQ(refusal(fence, 4, 1), "step plan: step 1 of epoch 4, but step 2 comes next");
  EXPECT_EQ(refusal(fence, 4, 3), "step plan: step 3 of epoch 4, but step 2 comes next");
  EXPECT_TRUE(fence.admit(plan_of(4, 2)).ok());
}

TEST(PlanFence, WhoLeftTakesNoPlanUntilItJoinsAgain) {
  PlanFence fence;
  fence.join(Epoch{4});
  EXPECT_TRUE(fence.admit(plan_of(4, 1)).ok());
  fence.leave();
  EXPECT_EQ(refusal(fence, 4, 2), "step plan: step 2 of epoch 4, but this rank is in no group");
  EXPECT_EQ(refusal(fence, 5, 1), "step plan: step 1 of epoch 5, but this rank is in no group");
  fence.join(Epoch{5});
  EXPECT_TRUE(fence.admit(plan_of(5, 1)).ok()) << "steps begin anew";
  EXPECT_FALSE(fence.admit(plan_of(4, 2)).ok());
}

TEST(PlanFence, TheFirstPlanOfARankThatNobodyHadJoinSaysWhereItIs) {
  PlanFence fence;
  EXPECT_TRUE(fence.admit(plan_of(9, 1)).ok());
  EXPECT_FALSE(fence.admit(plan_of(8, 2)).ok());
  EXPECT_TRUE(fence.admit(plan_of(9, 2)).ok());
  PlanFence left;
  left.leave();
  EXPECT_FALSE(left.admit(plan_of(9, 1)).ok());
}

}  // namespace
}  // namespace herd::shard
