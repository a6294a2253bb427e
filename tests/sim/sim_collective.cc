#include "tests/sim/sim_collective.h"

#include <string>
#include <utility>

namespace herd::sim {

void SimCollective::arrive(std::uint32_t rank, StepId step, Go go) {
  if (!status_.ok()) return go(status_);
  if (!waiting_.empty() && step != step_) {
    waiting_.emplace(rank, std::move(go));
    return abort({StatusCode::kAborted, "rank " + std::to_string(rank) + " is in step " + std::to_string(step.value) + ", rank " +
                                            std::to_string(waiting_.begin()->first) + " in step " + std::to_string(step_.value)});
  }
  step_ = step;
  waiting_.emplace(rank, std::move(go));
  if (waiting_.size() == ranks_) release({});
}

void SimCollective::abort(const Status& why) {
  if (!status_.ok()) return;
  status_ = {StatusCode::kAborted, why.message()};
  release(status_);
}

void SimCollective::release(const Status& status) {
  for (auto& [rank, go] : std::exchange(waiting_, {})) go(status);
}

}  // namespace herd::sim
