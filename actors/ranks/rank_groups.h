#pragma once
// RankGroup: the ranks of one generation of a replica, as they come into the collective they share. RankGroups: those of this
// process that are open, by the name that a rank is told (Rendezvous). Thread-safe.

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <utility>

#include "actors/ranks/group_seats.h"
#include "actors/ranks/rank.h"
#include "kernels/collective.h"
#include "kernels/device.h"
#include "kernels/status.h"
#include "runtime/ids.h"

namespace herd::actors {

class RankGroup {
 public:
  // A rank's member of the group; on its thread, may wait for the other ranks, and asks `given_up` meanwhile: not ok ends that.
  using MakeMember =
      std::function<Expected<std::unique_ptr<Collective>>(int rank, Device& device, const std::function<Status()>& given_up)>;
  // Every member passes through it; may be empty.
  using Wrap = std::function<std::unique_ptr<Collective>(std::unique_ptr<Collective>, int rank)>;

  RankGroup(int ranks, MakeMember make_member)
      : make_member_(std::move(make_member)), seats_(std::make_shared<GroupSeats>(ranks)) {}

  // Once a rank. `device` outlives what is returned. A failure gives the group up; its first reason is returned.
  [[nodiscard]] Expected<std::shared_ptr<Collective>> join(int rank, Device& device, const Wrap& wrap) const;
  // Ranks in a collective of this group return, now and later. The first reason counts, and is returned.
  Status abort(Status why) const { return seats_->abort(std::move(why)); }

 private:
  const MakeMember make_member_;
  const std::shared_ptr<GroupSeats> seats_;
};

// Members of a group of this process's threads.
[[nodiscard]] RankGroup::MakeMember local_members(int ranks, std::int64_t deadline_ms);

class RankGroups {
 public:
  // Those of earlier epochs of this replica are forgotten.
  Rendezvous open(ReplicaId replica, Epoch epoch, std::shared_ptr<const RankGroup> group);
  // Null: never opened, or given up meanwhile.
  [[nodiscard]] std::shared_ptr<const RankGroup> find(const Rendezvous& rendezvous) const;
  // The group is given up and forgotten. One that is not open is left alone.
  void abort(ReplicaId replica, Epoch epoch, const Status& why);

 private:
  struct Open {
    Epoch epoch;
    Rendezvous name;
    std::shared_ptr<const RankGroup> group;
  };
  mutable std::mutex mutex_;
  std::map<ReplicaId, Open> open_;
};

}  // namespace herd::actors
