#pragma once
// StepCollector: the results of all ranks, step by step. Pure. A group fails as one: a rank that failed a step, or
// ranks that sampled different tokens, end it. Results that come after that are still taken, so that it is seen who answers.

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <vector>

#include "cluster/routing/replica_loss.h"
#include "kernels/status.h"
#include "runtime/clock.h"
#include "runtime/ids.h"
#include "runtime/step/step_plan.h"

namespace herd::replica {

class StepCollector {
 public:
  StepCollector(Epoch epoch, std::uint32_t ranks) : epoch_(epoch), ranks_(ranks) {}

  // All ranks got the plan. In step order.
  void on_plan_sent(StepId step, Instant now);

  struct Done {
    step::StepResult result;  // rank 0's, but of blocks written and damaged: all ranks'
    // From the plan's sending, or from the end of the step before when that came later, to the last rank's result:
    // steps in flight together are not counted twice.
    double step_s = 0.0;
  };
  struct Failure {
    routing::LossCause cause;
    Status why;  // names the ranks
    std::vector<std::uint32_t> blamed;
    bool no_progress = false;  // a rank made none
  };
  // The steps that all ranks have now done, in order. An error: the group has failed; kOverdue: that rank gave its step up
  // (kAborted) because another did not come, and is not to blame. A result of another epoch, of a step nobody waits for, or a
  // repeat is dropped and counted.
  [[nodiscard]] tl::expected<std::vector<Done>, Failure> on_result(step::StepResult result, Instant now);

  // Set once the oldest step is out for longer: names the ranks that are missing.
  [[nodiscard]] std::optional<Failure> overdue(Instant now, double step_seconds_max) const;
  // The steps that are out have all their time again: none of it passed for the ranks.
  void restart_deadlines(Instant now);

  // Some step waits for that rank's answer.
  [[nodiscard]] bool owes(std::uint32_t rank) const;
  [[nodiscard]] std::vector<std::uint32_t> owing() const;  // rising
  [[nodiscard]] bool idle() const { return waiting_.empty(); }
  [[nodiscard]] std::uint64_t steps_done() const { return steps_done_; }
  [[nodiscard]] std::uint64_t stale_results() const { return stale_results_; }

 private:
  struct Step {
    StepId step;
    Instant sent;
    Instant deadline_from;
    std::vector<std::optional<step::StepResult>> results;  // by rank
    std::size_t missing = 0;
    bool failed = false;  // some rank has
  };

  Epoch epoch_;
  std::uint32_t ranks_;
  std::uint64_t steps_done_ = 0;
  std::uint64_t stale_results_ = 0;
  Instant last_done_;
  std::deque<Step> waiting_;  // at most the scheduler's steps_ahead
};

}  // namespace herd::replica
