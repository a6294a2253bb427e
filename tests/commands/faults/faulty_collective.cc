#include "tests/commands/faults/faulty_collective.h"

#include <stdexcept>
#include <utility>

#include "tests/commands/faults/faulty_rank.h"

namespace herd::faults {

FaultyCollective::FaultyCollective(std::unique_ptr<Collective> member, std::shared_ptr<FaultSchedule> schedule, ReplicaId replica,
                                   std::uint32_t rank)
    : member_(std::move(member)), schedule_(std::move(schedule)), replica_(replica), rank_(rank) {}

bool FaultyCollective::begin() {
  const auto fault = schedule_->on_operation(replica_, rank_);
  if (!fault) return true;
  say_fault(fault->kind, replica_, rank_);
  if (fault->kind == FaultKind::kDieInCollective) throw std::runtime_error("a planted fault");
  if (fault->kind == FaultKind::kHangInCollective) hang();
  return fault->kind != FaultKind::kSkipCollective;
}

void FaultyCollective::all_gather(CollectiveName name, const void* send, void* receive, std::size_t bytes) {
  if (begin()) member_->all_gather(name, send, receive, bytes);
}
void FaultyCollective::exchange(CollectiveName name, const void* send, void* receive, std::size_t slice_bytes) {
  if (begin()) member_->exchange(name, send, receive, slice_bytes);
}
void FaultyCollective::send(CollectiveName name, int to, const void* data, std::size_t bytes) {
  if (begin()) member_->send(name, to, data, bytes);
}
void FaultyCollective::receive(CollectiveName name, int from, void* data, std::size_t bytes) {
  if (begin()) member_->receive(name, from, data, bytes);
}

}  // namespace herd::faults
