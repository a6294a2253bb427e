#include "tests/commands/faults/fault_schedule.h"

#include <utility>

namespace herd::faults {
namespace {

std::uint32_t draw_one(const Range& range, std::mt19937_64& draws) {
  return range.least + static_cast<std::uint32_t>(draws() % (std::uint64_t{range.most} - range.least + 1));
}

bool happens_in_operation(FaultKind kind) {
  return kind == FaultKind::kDieInCollective || kind == FaultKind::kSkipCollective || kind == FaultKind::kHangInCollective;
}

}  // namespace

void FaultSchedule::draw(Waiting& waiting) {
  waiting.replica = draw_one(waiting.fault.replica, waiting.draws);
  waiting.rank = draw_one(waiting.fault.rank, waiting.draws);
  waiting.step = draw_one(waiting.fault.step, waiting.draws);
}

void FaultSchedule::plant(const std::vector<PlantedFault>& faults) {
  const std::scoped_lock lock(mutex_);
  for (const PlantedFault& fault : faults) {
    Waiting waiting{.fault = fault, .draws = std::mt19937_64(fault.seed), .left = fault.repeat};
    draw(waiting);
    waiting_.push_back(std::move(waiting));
  }
}

std::optional<PlantedFault> FaultSchedule::on_step(ReplicaId replica, std::uint32_t rank) {
  const std::scoped_lock lock(mutex_);
  in_step_.erase({replica.value, rank});  // a step that ended before it got there
  std::optional<PlantedFault> happens;
  for (Waiting& waiting : waiting_) {
    if (waiting.replica != replica.value || waiting.rank != rank || waiting.step == 0 || --waiting.step > 0) continue;
    if (happens) {  // one a step: this one waits for the next
      waiting.step = 1;
      continue;
    }
    happens = waiting.fault;
    if (--waiting.left > 0) draw(waiting);
  }
  std::erase_if(waiting_, [](const Waiting& waiting) { return waiting.left == 0; });
  if (!happens || !happens_in_operation(happens->kind)) return happens;
  in_step_[{replica.value, rank}] = {*happens, happens->operation};
  return std::nullopt;
}

std::optional<PlantedFault> FaultSchedule::on_operation(ReplicaId replica, std::uint32_t rank) {
  const std::scoped_lock lock(mutex_);
  const auto found = in_step_.find({replica.value, rank});
  if (found == in_step_.end() || --found->second.operations > 0) return std::nullopt;
  const PlantedFault fault = found->second.fault;
  in_step_.erase(found);
  return fault;
}

}  // namespace herd::faults
