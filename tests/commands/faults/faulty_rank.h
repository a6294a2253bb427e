#pragma once
// FaultyRank: a rank's executor to which planted faults happen.

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>

#include "runtime/ids.h"
#include "runtime/shard/rank_executor.h"
#include "tests/commands/faults/fault_schedule.h"

namespace herd::faults {

// Says on stderr what happens to whom, and in which thread: "faults: die: replica 0, rank 1, thread 4711".
void say_fault(FaultKind kind, ReplicaId replica, std::uint32_t rank);
// For good; the thread neither computes nor looks at anything.
[[noreturn]] void hang();

class FaultyRank final : public shard::RankExecutor {
 public:
  FaultyRank(std::unique_ptr<shard::RankExecutor> executor, std::shared_ptr<FaultSchedule> schedule, ReplicaId replica,
             std::uint32_t rank);
  void submit(const step::StepPlan& plan) override;
  bool ready(std::chrono::microseconds patience) override;
  step::StepResult collect() override;
  void give(step::BlockBytes block) override { executor_->give(std::move(block)); }
  std::vector<step::BlockBytes> take_blocks_read() override;

 private:
  struct UnderWay {
    std::optional<step::StepResult> failed{};  // instead of the executor's
    bool flips_token = false;
    bool damages_block = false;
  };
  // What the fault leaves of the step.
  UnderWay happen(const PlantedFault& fault, const step::StepPlan& plan) const;

  const std::unique_ptr<shard::RankExecutor> executor_;
  const std::shared_ptr<FaultSchedule> schedule_;
  const ReplicaId replica_;
  const std::uint32_t rank_;
  bool has_said_thread_ = false;
  std::deque<UnderWay> steps_;
  std::uint32_t blocks_to_damage_ = 0;
};

}  // namespace herd::faults
