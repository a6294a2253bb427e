#pragma once
// What `herd up --output json` and `herd status --output json` print: one line, the same shape; and `herd status` for a person.
//
//   {"config":FILE,
//    "endpoints":[{"name","url"}],                                    gateways
//    "metrics":[{"role","name","url"}],
//    "processes":[{"role","name","pid","node","leader","state","epoch","restarts","last_death","loaded_percent"}],
//    "replicas":[{"name","state","node","epoch","why"}],
//    "may_be_stopped":[NAME],                                         nodes and replicas that have drained
//    "notices":[TEXT]}                                                what an operator should look at
// What is not known, or does not apply, is null.

#include <string>
#include <vector>

#include "cluster/report/process_report.h"

namespace herd::commands {

// With its line feed. `config`: the cluster's file, as whoever asked named it.
[[nodiscard]] std::string cluster_status_json(const std::string& config, const report::ClusterStatusReport& report);
// Tables of replicas and processes, then the notices.
[[nodiscard]] std::string cluster_status_text(const report::ClusterStatusReport& report);

}  // namespace herd::commands
