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

#include <map>
#include <string>

#include "cluster/report/process_report.h"

namespace herd::commands {

// With its line feed. `config`: the cluster's file, as whoever asked named it.
[[nodiscard]] std::string cluster_status_json(const std::string& config, const report::ClusterStatusReport& report);
// Where the cluster's file has its processes: hosts, without ports and brackets.
struct ScrapeHosts {
  std::map<std::string, std::string> nodes;     // by name
  std::map<std::string, std::string> gateways;  // by name; left out: those that listen on every address of their machine
  std::string coordinator;
  std::string metrics_host;                     // of all metrics ports; empty: each process has its own host's
};
// Whom Prometheus is to scrape, as its http_sd_configs read it: [{"targets":["127.0.0.1:9101"],"labels":{"__meta_herd_role","…_name",
// "…_node","…_cluster"}}], each process that has said where its metrics are. Of what it said only the port counts: a process cannot have
// other machines scraped. A node that the file does not list is asked by its own name.
[[nodiscard]] std::string scrape_targets_json(const report::ClusterStatusReport& report, const ScrapeHosts& hosts);
// Tables of replicas and processes, then the notices.
[[nodiscard]] std::string cluster_status_text(const report::ClusterStatusReport& report);

}  // namespace herd::commands
