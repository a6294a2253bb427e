#pragma once
// The cluster file as a process of the cluster reads it.

#include <string>

#include "cluster/config/cluster_spec.h"
#include "kernels/status.h"

namespace herd::commands {

// Its relative paths begin at the file. kBadInput: all that is wrong with it, a line each; kMissing: it cannot be read.
[[nodiscard]] Expected<config::ClusterSpec> read_cluster_spec(const std::string& path);

}  // namespace herd::commands
