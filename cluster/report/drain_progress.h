#pragma once
// How far draining is, read from the status of a cluster. Pure.

#include <string>
#include <vector>

#include "cluster/report/process_report.h"

namespace herd::report {

// "replica-0"
[[nodiscard]] std::string replica_name(ReplicaId replica);

// Shows each of these nodes that serves as draining: it serves to its end what it has, and takes nothing new.
void show_draining(ClusterStatusReport& report, const std::vector<std::string>& idle_nodes);

// Whether that is a node or a replica that takes nothing new, or has ended.
[[nodiscard]] bool is_draining(const ClusterStatusReport& report, const std::string& target);
// What such a node or replica still has to end, a sentence each. Empty: its processes may be stopped.
[[nodiscard]] std::vector<std::string> still_at_work(const ClusterStatusReport& report, const std::string& target);
// Both: it drained, and nothing of it is left.
[[nodiscard]] bool may_be_stopped(const ClusterStatusReport& report, const std::string& target);

}  // namespace herd::report
