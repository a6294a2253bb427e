#pragma once
// PlanChecker: watches the plans a scheduler makes and the results it gets, from outside, and checks what plans
// promise: budgets, one slice a sequence, started and released in pairs, and above all that no block is handed out
// for writing, by a sequence or by a copy, while a plan that uses it is not acknowledged by every rank, and that none is shared or
// copied before what fills it is.

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "runtime/ids.h"
#include "runtime/scheduler/scheduler.h"
#include "runtime/step/step_plan.h"

namespace herd::sim {

class PlanChecker {
 public:
  explicit PlanChecker(const scheduler::SchedulerConfig& config);

  void on_plan(const step::StepPlan& plan);
  // The oldest plan was acknowledged, with these of its writes damaged.
  void on_result(const std::vector<step::DamagedBlock>& damaged = {});

  [[nodiscard]] const std::optional<std::string>& violation() const { return violation_; }
  [[nodiscard]] std::size_t num_sequences() const { return tables_.size(); }

 private:
  void violate(const step::StepPlan& plan, const std::string& what);
  void take_new_block(const step::StepPlan& plan, SequenceId id, BlockId block);
  void start(const step::StepPlan& plan, const step::SequenceStart& start);
  void check_copies(const step::StepPlan& plan);

  struct Out {
    std::vector<BlockId> used;
    std::vector<BlockId> filled;  // by its rows, to the end
    std::vector<step::BlockCopy> writes;
  };

  scheduler::SchedulerConfig config_;
  std::map<SequenceId, std::vector<BlockId>> tables_;  // of sequences known to ranks
  std::map<SequenceId, std::uint32_t> known_tokens_;   // at the start
  std::vector<std::uint32_t> holders_;                 // by block: tables that list it
  std::vector<std::uint32_t> in_flight_;               // by block: plans not acknowledged that use it
  std::vector<bool> whole_;                            // by block: all of it is computed or copied, and acknowledged
  std::deque<Out> outstanding_;                        // by plan
  std::optional<std::string> violation_;
};

}  // namespace herd::sim
