#include "actors/ranks/rank_groups.h"

#include <algorithm>
#include <string>
#include <vector>

#include "kernels/local_collective.h"

namespace herd::actors {

Expected<std::shared_ptr<Collective>> RankGroup::join(int rank, Device& device, const Wrap& wrap) const {
  const auto given_up = [this] { return seats_->aborted(); };
  if (Status why = given_up(); !why.ok()) return fail(std::move(why));  // nobody is left to wait for
  auto member = make_member_(rank, device, given_up);
  if (!member) return fail(abort(member.error()));
  if (wrap) *member = wrap(std::move(*member), rank);
  return seats_->take(rank, std::move(*member));
}

RankGroup::MakeMember local_members(int ranks, std::int64_t deadline_ms) {
  using Members = std::vector<std::unique_ptr<Collective>>;
  const auto members = std::make_shared<Members>(make_local_group(ranks, {.deadline_ms = deadline_ms}));
  return [members](int rank, Device&, const std::function<Status()>&) -> Expected<std::unique_ptr<Collective>> {
    std::unique_ptr<Collective>& own = members->at(static_cast<std::size_t>(rank));
    if (own == nullptr) return fail({StatusCode::kInternal, "rank " + std::to_string(rank) + " joins its group twice"});
    return std::move(own);
  };
}

Rendezvous RankGroups::open(ReplicaId replica, Epoch epoch, std::shared_ptr<const RankGroup> group) {
  Rendezvous name = "replica " + std::to_string(replica.value) + ", epoch " + std::to_string(epoch.value);
  const std::scoped_lock lock(mutex_);
  open_.insert_or_assign(replica, Open{epoch, name, std::move(group)});
  return name;
}

std::shared_ptr<const RankGroup> RankGroups::find(const Rendezvous& rendezvous) const {
  const std::scoped_lock lock(mutex_);
  const auto found = std::ranges::find_if(open_, [&](const auto& known) { return known.second.name == rendezvous; });
  return found == open_.end() ? nullptr : found->second.group;
}

void RankGroups::abort(ReplicaId replica, Epoch epoch, const Status& why) {
  std::shared_ptr<const RankGroup> group;
  {
    const std::scoped_lock lock(mutex_);
    const auto found = open_.find(replica);
    if (found == open_.end() || found->second.epoch != epoch) return;
    group = std::move(found->second.group);
    open_.erase(found);
  }
  (void)group->abort(why);
}

}  // namespace herd::actors
