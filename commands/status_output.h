#pragma once
// What `herd up --output json` and `herd status --output json` print: one line, the same shape.
//
//   {"config":FILE,
//    "endpoints":[{"name","url"}],                                    gateways
//    "metrics":[{"role","name","url"}],
//    "processes":[{"role","name","pid","node","leader","state","epoch","restarts","last_death"}],
//    "replicas":[{"name","state","node","epoch","why"}]}
// A pid, node or text that is not known is null.

#include <string>

#include "cluster/report/process_report.h"

namespace herd::commands {

// With its line feed. `config`: the cluster's file, as whoever asked named it.
[[nodiscard]] std::string cluster_status_json(const std::string& config, const report::ClusterStatusReport& report);
// For a person: tables of replicas and processes.
[[nodiscard]] std::string cluster_status_text(const report::ClusterStatusReport& report);

}  // namespace herd::commands
