#pragma once
// What `herd up` prints for a person once its cluster is ready. Pure.

#include <string>

#include "cluster/config/cluster_spec.h"
#include "cluster/report/process_report.h"

namespace herd::up {

// `config`: the cluster's file; `program`: what herd is called on this machine's command line.
[[nodiscard]] std::string welcome_text(const std::string& config, const std::string& program, const config::ClusterSpec& spec,
                                       const report::ClusterStatusReport& status);

}  // namespace herd::up
