// Faults that tests plant: their text, when they happen, and what they leave of a step.

#include <array>
#include <memory>
#include <stdexcept>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "tests/commands/faults/fault_schedule.h"
#include "tests/commands/faults/faulty_collective.h"
#include "tests/commands/faults/faulty_rank.h"
#include "tests/runtime/blocking_rank.h"

namespace herd::faults {
namespace {

constexpr ReplicaId kReplica{0};

std::shared_ptr<FaultSchedule> schedule_of(const char* text) {
  auto schedule = std::make_shared<FaultSchedule>();
  schedule->plant(parse_faults(text).value());
  return schedule;
}

step::StepPlan plan_of(std::uint64_t step) {
  step::StepPlan plan;
  plan.epoch = Epoch(3);
  plan.step = StepId(step);
  plan.slices.resize(1);
  return plan;
}

// Answers each plan with one token.
std::unique_ptr<shard::RankExecutor> sound_rank() {
  return std::make_unique<shard::BlockingRank>([](const step::StepPlan& plan) {
    step::StepResult result;
    result.step = plan.step;
    result.sampled.resize(1);
    result.sampled[0].token = 6;
    result.token_hash = 40;
    return result;
  });
}

step::StepResult run(shard::RankExecutor& rank, std::uint64_t step) {
  rank.submit(plan_of(step));
  EXPECT_TRUE(rank.ready(std::chrono::microseconds(0)));
  return rank.collect();
}

// A group of one that counts its operations.
class CountedMember final : public Collective {
 public:
  explicit CountedMember(int* operations) : operations_(operations) {}
  [[nodiscard]] int rank() const override { return 0; }
  [[nodiscard]] int size() const override { return 1; }
  void all_gather(CollectiveName, const void*, void*, std::size_t) override { ++*operations_; }
  void abort(const char*) override {}
  [[nodiscard]] Status status() const override { return {}; }

 private:
  int* const operations_;
};

TEST(PlantedFault, IsReadFromText) {
  const auto faults = parse_faults("kind=die,rank=1,step=37;kind=hang_for,seconds=0.5,replica=0-1,step=10-40,repeat=5,seed=7");
  ASSERT_TRUE(faults);
  const PlantedFault die{.kind = FaultKind::kDie, .rank = {1, 1}, .step = {37, 37}};
  const PlantedFault late{
      .kind = FaultKind::kHangFor, .replica = {0, 1}, .step = {10, 40}, .seconds = 0.5, .repeat = 5, .seed = 7};
  EXPECT_EQ(*faults, (std::vector<PlantedFault>{die, late}));
  EXPECT_TRUE(parse_faults("").value().empty());
}

TEST(PlantedFault, RefusesWhatItDoesNotKnow) {
  for (const char* text : {"kind=die", "step=3", "kind=dye,step=3", "kind=die,step=0", "kind=die,step=5-4", "kind=die,step=",
                           "kind=die,step=3x", "kind=die,step=-3", "kind=die,step=3,repeat=0", "kind=die,step=3,operation=0",
                           "kind=die,step=3,seconds=1", "kind=hang_for,step=3", "kind=hang_for,step=3,seconds=nan",
                           "kind=hang_for,step=3,seconds=601", "kind=die,step=3,color=red", "kind=die,step=3,", "kind=die;step=3", "die"}) {
    const bool is_trailing_comma = std::string_view(text) == "kind=die,step=3,";
    const auto faults = parse_faults(text);
    EXPECT_EQ(faults.has_value(), is_trailing_comma) << text;
    if (!faults) {
      EXPECT_EQ(faults.error().code(), StatusCode::kUsage) << text;
    }
  }
}

TEST(FaultSchedule, CountsTheStepsOfThatRankAlone) {
  const auto schedule = schedule_of("kind=fail,rank=1,step=3");
  for (int step = 1; step <= 5; ++step) {
    EXPECT_FALSE(schedule->on_step(kReplica, 0));
    EXPECT_FALSE(schedule->on_step(ReplicaId(1), 1));
    EXPECT_EQ(schedule->on_step(kReplica, 1).has_value(), step == 3) << step;
  }
}

TEST(FaultSchedule, RepeatsWithWhatItDraws) {
  const auto schedule = schedule_of("kind=die,rank=0-1,step=2-6,repeat=50,seed=3");
  std::array<int, 2> died{};
  for (int step = 0; step < 400; ++step) {
    for (const std::uint32_t rank : {0U, 1U}) died.at(rank) += schedule->on_step(kReplica, rank) ? 1 : 0;
  }
  EXPECT_EQ(died[0] + died[1], 50);
  EXPECT_GT(died[0], 10);
  EXPECT_GT(died[1], 10);
}

TEST(FaultSchedule, TwoThatMeetHappenOneAfterTheOther) {
  const auto schedule = schedule_of("kind=fail,step=2;kind=die,step=2");
  EXPECT_FALSE(schedule->on_step(kReplica, 0));
  EXPECT_EQ(schedule->on_step(kReplica, 0)->kind, FaultKind::kFail);
  EXPECT_EQ(schedule->on_step(kReplica, 0)->kind, FaultKind::kDie);
  EXPECT_FALSE(schedule->on_step(kReplica, 0));
}

TEST(FaultyRank, FailsOneStepAndComputesTheRest) {
  FaultyRank rank(sound_rank(), schedule_of("kind=fail,step=2"), kReplica, 0);
  EXPECT_TRUE(run(rank, 1).status.ok());
  const step::StepResult failed = run(rank, 2);
  EXPECT_EQ(failed.status.code(), StatusCode::kInternal);
  EXPECT_EQ(failed.step, StepId(2));
  EXPECT_EQ(failed.epoch, Epoch(3));
  EXPECT_EQ(run(rank, 3).step, StepId(3));
}

TEST(FaultyRank, PlansThatComputeNothingAreNotCounted) {
  FaultyRank rank(sound_rank(), schedule_of("kind=fail,step=1"), kReplica, 0);
  step::StepPlan release = plan_of(1);
  release.slices.clear();
  rank.submit(release);
  EXPECT_TRUE(rank.collect().status.ok());
  EXPECT_FALSE(run(rank, 2).status.ok());
}

TEST(FaultyRank, DiesByThrowing) {
  FaultyRank rank(sound_rank(), schedule_of("kind=die,step=1"), kReplica, 0);
  EXPECT_THROW(rank.submit(plan_of(1)), std::runtime_error);
}

TEST(FaultyRank, SaysAnotherToken) {
  FaultyRank rank(sound_rank(), schedule_of("kind=flip_token,step=1"), kReplica, 0);
  const step::StepResult flipped = run(rank, 1);
  EXPECT_EQ(flipped.token_hash, 41U);
  EXPECT_EQ(flipped.sampled[0].token, 7);
  EXPECT_EQ(run(rank, 2).token_hash, 40U);
}

TEST(FaultyCollective, SkipsOrDiesInOneOperationOfThatStep) {
  const auto schedule = schedule_of("kind=skip_collective,step=1,operation=2;kind=die_in_collective,step=3");
  FaultyRank rank(sound_rank(), schedule, kReplica, 0);
  int operations = 0;
  FaultyCollective group(std::make_unique<CountedMember>(&operations), schedule, kReplica, 0);
  const auto gather = [&group] { group.all_gather(CollectiveName::kTest, nullptr, nullptr, 0); };
  run(rank, 1);
  for (int i = 0; i < 3; ++i) gather();
  EXPECT_EQ(operations, 2);
  run(rank, 2);
  gather();
  EXPECT_EQ(operations, 3);
  run(rank, 3);
  EXPECT_THROW(gather(), std::runtime_error);
  gather();
  EXPECT_EQ(operations, 4);
}

}  // namespace
}  // namespace herd::faults
