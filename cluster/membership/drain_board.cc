#include "cluster/membership/drain_board.h"

#include <algorithm>
#include <utility>

#include "cluster/report/drain_progress.h"

namespace herd::membership {

bool DrainBoard::undo(const std::string& node) { return std::exchange(nodes_[node], std::nullopt).has_value(); }
bool DrainBoard::undo(ReplicaId replica) { return std::exchange(replicas_[replica], std::nullopt).has_value(); }

void DrainBoard::on_join(const std::string& node, const NodeJoin& join, bool fresh, std::uint32_t replicas) {
  if (fresh) leaving_.erase(node);
  if (join.drains) nodes_.try_emplace(node, kDrainSecondsKept);
  for (const ReplicaId replica : join.drained)
    if (replica.value < replicas) replicas_.try_emplace(replica, kDrainSecondsKept);
}

void DrainBoard::forget(const std::string& node) {
  leaving_.erase(node);
  if (!is_drained(node)) nodes_.erase(node);
}

std::vector<std::string> DrainBoard::names() const {
  std::vector<std::string> names = nodes();
  for (const ReplicaId replica : replicas()) names.push_back(report::replica_name(replica));
  return names;
}

std::vector<std::string> DrainBoard::idle_nodes() const {
  std::vector<std::string> idle = nodes();
  for (const auto& [node, drain_s] : leaving_)
    if (!is_drained(node)) idle.push_back(node);
  std::ranges::sort(idle);
  return idle;
}

std::optional<double> DrainBoard::seconds(ReplicaId replica, const std::string& node) const {
  // A node that ends does not wait for what others were given.
  if (const auto leaving = leaving_.find(node); leaving != leaving_.end()) return leaving->second;
  const auto of_replica = seconds_in(replicas_, replica);
  const auto of_node = seconds_in(nodes_, node);
  if (of_replica && of_node) return std::min(*of_replica, *of_node);
  return of_replica ? of_replica : of_node;
}

}  // namespace herd::membership
