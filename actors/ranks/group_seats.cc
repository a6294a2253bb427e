#include "actors/ranks/group_seats.h"

#include <utility>

#include "kernels/check.h"

namespace herd::actors {

std::shared_ptr<Collective> GroupSeats::take(int rank, std::unique_ptr<Collective> member) {
  const auto seat = static_cast<std::size_t>(rank);
  const std::scoped_lock lock(mutex_);
  HERD_CHECK(members_.at(seat) == nullptr, "one member a rank");
  if (!reason_.ok()) member->abort(reason_.message().c_str());
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

Status GroupSeats::abort(Status why) {
  HERD_CHECK(!why.ok(), "an abort has a reason");
  const std::scoped_lock lock(mutex_);
  if (reason_.ok()) reason_ = std::move(why);
  for (Collective* member : members_) {
    if (member != nullptr) member->abort(reason_.message().c_str());
  }
  return reason_;
}

Status GroupSeats::aborted() const {
  const std::scoped_lock lock(mutex_);
  return reason_;
}

}  // namespace herd::actors
