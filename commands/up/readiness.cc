#include "commands/up/readiness.h"

#include <algorithm>

namespace herd::up {
namespace {

using handshake::Role;
using report::ProcessReport;
using report::ProcessState;

std::string state_of(const ProcessReport& process) {
  std::string text = process.name + ": " + report::process_state_name(process.state);
  if (process.loaded_percent >= 0 && process.state == ProcessState::kStarting)
    text += ", " + std::to_string(process.loaded_percent) + " % loaded";
  return text;
}

std::optional<std::string> why_not_serving(const report::ClusterStatusReport& status, const HostProcess& process) {
  const auto found = std::ranges::find_if(
      status.processes, [&process](const ProcessReport& it) { return it.role == process.role && it.name == process.name; });
  if (found == status.processes.end()) return process.name + ": not in the cluster yet";
  if (found->state != ProcessState::kServing) return state_of(*found);
  return std::nullopt;
}

bool has_node(const std::vector<HostProcess>& here, const std::string& name) {
  return std::ranges::count(here, HostProcess{Role::kNode, name}) > 0;
}

std::size_t replicas_wanted(const config::ClusterSpec& spec, const std::vector<HostProcess>& here) {
  const bool all_here = !spec.any_node_with_certificate &&
                        std::ranges::all_of(spec.nodes, [&here](const auto& node) { return has_node(here, node.name); });
  return all_here ? static_cast<std::size_t>(spec.parallelism.data_parallel_size) : 1;
}

}  // namespace

std::optional<std::string> waits_for(const report::ClusterStatusReport& status, const config::ClusterSpec& spec,
                                     const std::vector<HostProcess>& here) {
  // Those that others wait for come first: the first that is not there is the cause.
  for (const HostProcess& process : here)
    if (process.role != Role::kGateway)
      if (auto why = why_not_serving(status, process)) return why;
  for (const ProcessReport& process : status.processes)
    if (process.role == Role::kRank && has_node(here, process.node) && process.state != ProcessState::kServing)
      return state_of(process);
  for (const HostProcess& process : here)
    if (auto why = why_not_serving(status, process)) return why;
  const auto serving = std::ranges::count(status.replicas, report::ReplicaCondition::kServing, &report::ReplicaReportLine::condition);
  const std::size_t wanted = replicas_wanted(spec, here);
  if (static_cast<std::size_t>(serving) >= wanted) return std::nullopt;
  for (const report::ReplicaReportLine& replica : status.replicas)
    if (replica.condition != report::ReplicaCondition::kServing)
      return "replica-" + std::to_string(replica.replica.value) + ": " + report::replica_condition_name(replica.condition) +
             (replica.why.empty() ? "" : ", " + replica.why);
  return std::to_string(serving) + " of " + std::to_string(wanted) + " replicas serve";
}

}  // namespace herd::up
