#include "actors/roles/rank_steps.h"

#include <exception>
#include <string>
#include <utility>

namespace herd::actors {

using step::StepPlan;
using step::StepResult;

void RankSteps::on_plan(std::shared_ptr<const StepPlan> plan) {
  while (under_way_.size() >= static_cast<std::size_t>(shard::kStepsUnderWay)) collect();
  if (!broken_.ok()) return report_(failed(*plan, "it is in no known state"));
  try {
    executor_.submit(*plan);
  } catch (const std::exception& exception) {
    while (!under_way_.empty()) collect();  // results keep the order of their steps
    return report_(failed(*plan, exception.what()));
  }
  under_way_.push_back(std::move(plan));
  while (!under_way_.empty() && ready(std::chrono::microseconds(0))) collect();
}

void RankSteps::give(const step::BlockBytes& block) {
  if (!broken_.ok()) return;
  try {
    executor_.give(block);
  } catch (const std::exception& exception) {
    broken_ = {StatusCode::kInternal, "rank " + std::to_string(rank_) + " threw: " + exception.what()};
  }
}

void RankSteps::look(std::chrono::microseconds patience) {
  if (!under_way_.empty() && ready(patience)) collect();
}

void RankSteps::finish() {
  while (!under_way_.empty()) collect();
}

// An executor that cannot even tell has failed: collect() says how.
bool RankSteps::ready(std::chrono::microseconds patience) {
  try {
    return executor_.ready(patience);
  } catch (const std::exception&) {
    return true;
  }
}

void RankSteps::collect() {
  const std::shared_ptr<const StepPlan> plan = std::move(under_way_.front());
  under_way_.pop_front();
  StepResult result;
  try {
    result = executor_.collect();
    for (step::BlockBytes& block : executor_.take_blocks_read())
      if (report_block_) report_block_(std::move(block));
  } catch (const std::exception& exception) {
    result = failed(*plan, exception.what());
  }
  report_(std::move(result));
}

StepResult RankSteps::failed(const StepPlan& plan, const char* why) {
  StepResult result;
  result.epoch = plan.epoch;
  result.step = plan.step;
  result.rank = rank_;
  result.status = {StatusCode::kInternal, "rank " + std::to_string(rank_) + " threw: " + why};
  if (broken_.ok()) broken_ = result.status;
  return result;
}

}  // namespace herd::actors
