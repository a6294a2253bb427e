#pragma once
// What each role of a cluster exports beside the metrics of requests and replicas (serving_metrics.h). Each family is one role's, and
// each series one process's: a node speaks for its ranks, as it does in `herd status`. Pure.

#include <cstdint>
#include <map>
#include <string>

#include "cluster/report/process_report.h"
#include "observability/metrics_page.h"

namespace herd::observability {

// Connections of a process with others of its cluster. All but the last rise only.
struct LinkCounts {
  std::uint64_t accepted = 0;
  std::uint64_t turned_away = 0;   // too many at a time
  std::uint64_t opened = 0;
  std::uint64_t refused = 0;       // ended before they opened: certificate, cluster, version, …
  std::uint64_t lost = 0;          // ended after it
  std::uint64_t stale_frames = 0;  // of a generation that is over: dropped
  std::uint64_t half_open = 0;     // now
};

// What else a process says of itself.
struct ProcessCounts {
  LinkCounts links;
  std::uint64_t wakeups = 0;            // how often its threads gave up a CPU of their own accord
  std::uint64_t log_lines_dropped = 0;  // its own, and of processes whose lines pass through it
  std::int64_t certificate_expires = 0;  // Unix seconds; 0: it has none
};

// Every role: who it is, and its connections.
void add_process(MetricsPage& page, const report::ProcessReport& mine, const ProcessCounts& counts);

// A coordinator: the cluster as it knows it.
void add_cluster(MetricsPage& page, const report::ClusterStatusReport& cluster, std::uint64_t cluster_epoch);

// A node: its rank processes. `deaths`: how they ended ("killed by signal 9 (SIGKILL)"), how often.
void add_ranks(MetricsPage& page, const report::ProcessReports& processes, const std::map<std::string, std::uint64_t>& deaths);

}  // namespace herd::observability
