#include "actors/ranks/group_seats.h"

#include <utility>

#include "kernels/check.h"

namespace herd::actors {

std::shared_ptr<Collective> GroupSeats::take(int replica, int rank, std::unique_ptr<Collective> member) {
  const auto seat = static_cast<std::size_t>(replica * ranks_ + rank);
  const std::scoped_lock lock(mutex_);
  HERD_CHECK(members_[seat] == nullptr, "one member a rank");
  const Status& why = reasons_[static_cast<std::size_t>(replica)];
  if (!why.ok()) member->abort(why.message().c_str());
  members_[seat] = member.get();
  return {member.release(), [self = shared_from_this(), seat](Collective* leaving) {
            self->leave(seat);
            delete leaving;
          }};
}

void GroupSeats::leave(std::size_t seat) {
  const std::scoped_lock lock(mutex_);
  members_[seat] = nullptr;
}

Status GroupSeats::abort(int replica, Status why) {
  HERD_CHECK(!why.ok(), "an abort has a reason");
  const std::scoped_lock lock(mutex_);
  Status& first = reasons_[static_cast<std::size_t>(replica)];
  if (first.ok()) first = std::move(why);
  for (int rank = 0; rank < ranks_; ++rank) {
    if (Collective* member = members_[static_cast<std::size_t>(replica * ranks_ + rank)])
      member->abort(first.message().c_str());
  }
  return first;
}

Status GroupSeats::aborted(int replica) const {
  const std::scoped_lock lock(mutex_);
  return reasons_[static_cast<std::size_t>(replica)];
}

}  // namespace herd::actors
