#pragma once
// What a process of a cluster knows of itself, whatever its role.

#include <cstdint>
#include <memory>
#include <string>

#include "actors/link/link_host.h"
#include "cluster/config/cluster_spec.h"
#include "cluster/membership/restart_budget.h"
#include "cluster/report/process_report.h"
#include "endpoint/admin/admin_server.h"
#include "kernels/status.h"
#include "observability/event_log.h"
#include "observability/role_metrics.h"

namespace herd::commands {

// Of this process: its pid, and what whoever supervises it says of its earlier lives (HERD_RESTARTS, HERD_LAST_DEATH).
[[nodiscard]] report::ProcessReport own_report(handshake::Role role, const std::string& name, const std::string& node);

// The JSON lines of its log say from here on whose they are.
void name_writer(observability::EventLog& log, handshake::Role role, const std::string& name, const std::string& node);

// Of its connections, for its metrics; `stale_frames`: messages of generations that were over.
[[nodiscard]] observability::LinkCounts link_counts(const link::LinkHostStats& links, std::uint64_t stale_frames);

// How often threads of this process gave up a CPU of their own accord.
[[nodiscard]] std::uint64_t own_wakeups();

// From which level on the cluster's file has events logged.
[[nodiscard]] observability::LogLevel log_level_of(const config::ClusterSpec& spec);

// How often what it starts may end and be started again.
[[nodiscard]] membership::RestartBudget budget_of(const config::ClusterSpec& spec);

// Its port for /live, /ready and /metrics: taken, and answering that it starts. `port` 0: any free one.
[[nodiscard]] Expected<std::unique_ptr<admin::AdminServer>> open_admin(const std::string& host, std::int64_t port);

// The settings that hold, "section.key=value" each, for the log of a start.
[[nodiscard]] std::string settings_text(const config::ClusterSpec& spec);

}  // namespace herd::commands
