#pragma once
// RankSteps: the steps of one rank that are under way, and their results in step order. Pure but for the executor it
// drives. Whatever an executor throws becomes the failed result of a step, behind the results of the steps before it; the rank
// is in no known state then.

#include <chrono>
#include <deque>
#include <functional>
#include <memory>

#include "kernels/status.h"
#include "runtime/step/block_bytes.h"
#include "runtime/step/step_plan.h"
#include "runtime/shard/rank_executor.h"

namespace herd::actors {

class RankSteps {
 public:
  using Report = std::function<void(step::StepResult)>;
  using ReportBlock = std::function<void(step::BlockBytes)>;

  // Used by the executor's own thread; the executor outlives this. `report` is called with every result as soon as it is there,
  // `report_block` before it with every block that the step has read.
  RankSteps(shard::RankExecutor& executor, std::uint32_t rank, Report report, ReportBlock report_block = {})
      : executor_(executor), rank_(rank), report_(std::move(report)), report_block_(std::move(report_block)) {}

  // Starts the step and reports what is done by then. With shard::kStepsUnderWay under way it waits for the oldest
  // first. A CPU's step is reported before this returns.
  void on_plan(std::shared_ptr<const step::StepPlan> plan);
  // Bytes of a block that a later plan writes.
  void give(const step::BlockBytes& block);
  // Reports the oldest step when it is done within `patience`.
  void look(std::chrono::microseconds patience);

  // Reports all that is under way. Where the group was given up, steps end soon.
  void finish();

  // Why the executor must not be used any more; ok as long as it threw nothing.
  [[nodiscard]] const Status& broken() const { return broken_; }
  [[nodiscard]] bool idle() const { return under_way_.empty(); }

 private:
  bool ready(std::chrono::microseconds patience);
  void collect();  // waits
  [[nodiscard]] step::StepResult failed(const step::StepPlan& plan, const char* why);

  shard::RankExecutor& executor_;
  const std::uint32_t rank_;
  const Report report_;
  const ReportBlock report_block_;
  std::deque<std::shared_ptr<const step::StepPlan>> under_way_;  // oldest first
  Status broken_;
};

}  // namespace herd::actors
