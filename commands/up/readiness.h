#pragma once
// Whether the cluster that `herd up` has started can be used. Pure.

#include <optional>
#include <string>
#include <vector>

#include "cluster/config/cluster_spec.h"
#include "cluster/report/process_report.h"
#include "commands/up/host_plan.h"

namespace herd::up {

// What it still waits for, for a person; nullopt: nothing. Waited for are the processes of this host, the ranks of its nodes, and
// replicas that serve: all of them when every node of the file is on this host, else one.
[[nodiscard]] std::optional<std::string> waits_for(const report::ClusterStatusReport& status, const config::ClusterSpec& spec,
                                                   const std::vector<HostProcess>& here);

}  // namespace herd::up
