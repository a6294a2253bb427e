#include "endpoint/pages/replica_changes.h"

#include "cluster/report/drain_progress.h"

namespace herd::pages {

using observability::LogLevel;
using report::ReplicaCondition;

namespace {

Change change_of(const std::string& name, ReplicaCondition condition, Epoch epoch, bool known) {
  switch (condition) {
    case ReplicaCondition::kServing:
      return {LogLevel::kInfo, name + (known ? " serves again" : " serves") + ", epoch " + std::to_string(epoch.value)};
    case ReplicaCondition::kDraining: return {LogLevel::kInfo, name + " drains: it takes nothing new"};
    case ReplicaCondition::kReforming:
      return known ? Change{LogLevel::kWarning, name + " is lost: its ranks form a group again"}
                   : Change{LogLevel::kInfo, name + " is being made"};
    case ReplicaCondition::kLost: return {LogLevel::kError, name + " is lost and does not come back"};
  }
  return {LogLevel::kWarning, name};
}

}  // namespace

ReplicaCondition condition_of(const routing::ReplicaView& view, const actors::ReplicaStatus& one) {
  if (view.state == routing::ReplicaState::kDraining) return ReplicaCondition::kDraining;
  if (view.state == routing::ReplicaState::kLost && !view.returns) return ReplicaCondition::kLost;
  return one.serving ? ReplicaCondition::kServing : ReplicaCondition::kReforming;
}

std::vector<Change> ReplicaChanges::on_status(const actors::ClusterStatus& status) {
  std::vector<Change> changes;
  std::map<ReplicaId, Seen> now;
  for (std::size_t i = 0; i < status.replicas.size(); ++i) {
    const routing::ReplicaView& view = status.view.replicas[i];
    const Seen seen{condition_of(view, status.replicas[i]), view.route.generation.epoch};
    const ReplicaId id = status.replicas[i].replica;
    now.emplace(id, seen);
    const auto before = seen_.find(id);
    const bool known = before != seen_.end();
    // One that forms under another epoch has been told of already.
    const bool same = known && before->second.condition == seen.condition &&
                      (seen.condition != ReplicaCondition::kServing || before->second.epoch == seen.epoch);
    if (!same) changes.push_back(change_of(report::replica_name(id), seen.condition, seen.epoch, known));
  }
  for (const auto& [id, seen] : seen_)
    if (!now.contains(id)) changes.push_back({LogLevel::kWarning, report::replica_name(id) + " is no part of the cluster any more"});
  seen_ = std::move(now);
  if (status.replica_ejections > ejections_)
    changes.push_back({LogLevel::kWarning, "a replica is much slower than another: it is left alone for a while"});
  ejections_ = status.replica_ejections;
  return changes;
}

}  // namespace herd::pages
