#include "cluster/report/drain_progress.h"

#include <algorithm>

namespace herd::report {
namespace {

using handshake::Role;

const ProcessReport* node_called(const ClusterStatusReport& report, const std::string& name) {
  const auto found = std::ranges::find_if(
      report.processes, [&](const ProcessReport& process) { return process.role == Role::kNode && process.name == name; });
  return found == report.processes.end() ? nullptr : &*found;
}

const ReplicaReportLine* replica_called(const ClusterStatusReport& report, const std::string& name) {
  const auto found = std::ranges::find(report.replicas, name, [](const ReplicaReportLine& line) { return replica_name(line.replica); });
  return found == report.replicas.end() ? nullptr : &*found;
}

bool lives(const ProcessReport& process) {
  return process.state != ProcessState::kStopped && process.state != ProcessState::kFailed;
}

std::string at_work(const ReplicaReportLine& line) {
  return replica_name(line.replica) + " is " + replica_condition_name(line.condition) + " on node " + line.node +
         (line.why.empty() ? "" : ": " + line.why);
}

}  // namespace

std::string replica_name(ReplicaId replica) { return "replica-" + std::to_string(replica.value); }

void show_draining(ClusterStatusReport& report, const std::vector<std::string>& idle_nodes) {
  for (ProcessReport& process : report.processes) {
    const bool serves = process.role == Role::kNode && process.state == ProcessState::kServing;
    if (serves && std::ranges::find(idle_nodes, process.name) != idle_nodes.end()) process.state = ProcessState::kDraining;
  }
}

bool is_draining(const ClusterStatusReport& report, const std::string& target) {
  if (const ProcessReport* node = node_called(report, target)) return node->state == ProcessState::kDraining || !lives(*node);
  const ReplicaReportLine* line = replica_called(report, target);
  return line != nullptr && line->condition == ReplicaCondition::kDraining;
}

std::vector<std::string> still_at_work(const ClusterStatusReport& report, const std::string& target) {
  std::vector<std::string> left;
  const bool is_node = node_called(report, target) != nullptr;
  for (const ReplicaReportLine& line : report.replicas)
    if (!line.node.empty() && (is_node ? line.node : replica_name(line.replica)) == target) left.push_back(at_work(line));
  if (!is_node) return left;
  for (const ProcessReport& process : report.processes)
    if (process.role == Role::kRank && process.node == target && lives(process)) left.push_back(process.name + " has not ended");
  return left;
}

bool may_be_stopped(const ClusterStatusReport& report, const std::string& target) {
  return is_draining(report, target) && still_at_work(report, target).empty();
}

}  // namespace herd::report
