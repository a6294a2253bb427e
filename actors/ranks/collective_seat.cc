#include "actors/ranks/collective_seat.h"

namespace herd::actors {

template <class Work>
void CollectiveSeat::collective(Work work) {
  progress_->begin(Operation::kCollective);
  if (member_) work(*member_);
  progress_->begin(Operation::kHost);  // whoever hangs from here on does not wait for others
}

void CollectiveSeat::all_gather(CollectiveName name, const void* send, void* receive, std::size_t bytes) {
  collective([&](Collective& member) { member.all_gather(name, send, receive, bytes); });
}

void CollectiveSeat::exchange(CollectiveName name, const void* send, void* receive, std::size_t slice_bytes) {
  collective([&](Collective& member) { member.exchange(name, send, receive, slice_bytes); });
}

void CollectiveSeat::send(CollectiveName name, int to, const void* data, std::size_t bytes) {
  collective([&](Collective& member) { member.send(name, to, data, bytes); });
}

void CollectiveSeat::receive(CollectiveName name, int from, void* data, std::size_t bytes) {
  collective([&](Collective& member) { member.receive(name, from, data, bytes); });
}

void CollectiveSeat::abort(const char* reason) {
  if (member_) member_->abort(reason);
}

Status CollectiveSeat::status() const {
  return member_ ? member_->status() : Status{StatusCode::kAborted, "rank " + std::to_string(rank_) + " is in no group"};
}

}  // namespace herd::actors
