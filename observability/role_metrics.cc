#include "observability/role_metrics.h"

#include <utility>

namespace herd::observability {
namespace {

using report::ProcessReport;
using report::ProcessState;
using report::ReplicaCondition;

constexpr ProcessState kStates[] = {ProcessState::kStarting, ProcessState::kServing, ProcessState::kDraining, ProcessState::kStopped,
                                    ProcessState::kFailed};
constexpr ReplicaCondition kConditions[] = {ReplicaCondition::kServing, ReplicaCondition::kReforming, ReplicaCondition::kDraining,
                                            ReplicaCondition::kLost};
constexpr handshake::Role kRoles[] = {handshake::Role::kCoordinator, handshake::Role::kNode, handshake::Role::kGateway,
                                      handshake::Role::kRank};

}  // namespace

void add_process(MetricsPage& page, const ProcessReport& mine, const ProcessCounts& counts) {
  const LinkCounts& links = counts.links;
  page.gauge("herd_process_info", "Always 1; the labels say which process of the cluster this is.");
  page.sample({{"role", handshake::role_name(mine.role)}, {"name", mine.name}, {"node", mine.node}}, 1);
  page.counter("herd_process_wakeups_total", "Times that a thread of the process waited.");
  page.sample({}, static_cast<double>(counts.wakeups));
  page.counter("herd_log_lines_dropped_total", "Lines of the log that were lost as its reader was too slow.");
  page.sample({}, static_cast<double>(counts.log_lines_dropped));
  if (counts.certificate_expires <= 0) return;
  page.gauge("herd_certificate_expiry_timestamp_seconds", "When the process's certificate ends, in seconds since 1970.");
  page.sample({}, static_cast<double>(counts.certificate_expires));
  page.counter("herd_links_total", "Connections with other processes of the cluster, by what became of them.");
  for (const auto& [outcome, count] : {std::pair{"accepted", links.accepted}, {"turned_away", links.turned_away},
                                       {"opened", links.opened}, {"refused", links.refused}, {"lost", links.lost}})
    page.sample({{"outcome", outcome}}, static_cast<double>(count));
  page.gauge("herd_links_half_open", "Connections that have not said hello yet.");
  page.sample({}, static_cast<double>(links.half_open));
  page.counter("herd_stale_frames_total", "Messages of a generation that is over, which were dropped.");
  page.sample({}, static_cast<double>(links.stale_frames));
}

void add_cluster(MetricsPage& page, const report::ClusterStatusReport& cluster, std::uint64_t cluster_epoch) {
  page.gauge("herd_cluster_epoch", "Epoch of the cluster; a coordinator that starts again has a larger one.");
  page.sample({}, static_cast<double>(cluster_epoch));
  std::map<ReplicaCondition, int> replicas;
  for (const report::ReplicaReportLine& line : cluster.replicas) ++replicas[line.condition];
  page.gauge("herd_cluster_replicas", "Replicas of the cluster, by state.");
  for (const ReplicaCondition condition : kConditions)
    page.sample({{"state", report::replica_condition_name(condition)}}, replicas[condition]);
  std::map<std::pair<handshake::Role, ProcessState>, int> processes;
  for (const ProcessReport& process : cluster.processes) ++processes[{process.role, process.state}];
  page.gauge("herd_cluster_processes", "Processes of the cluster, by role and state.");
  for (const handshake::Role role : kRoles)
    for (const ProcessState state : kStates)
      page.sample({{"role", handshake::role_name(role)}, {"state", report::process_state_name(state)}}, processes[{role, state}]);
  page.gauge("herd_replica_serving", "1 while the replica serves, or finishes what it has because it was told to drain.");
  for (const report::ReplicaReportLine& line : cluster.replicas) {
    const bool serves = line.condition == ReplicaCondition::kServing || line.condition == ReplicaCondition::kDraining;
    page.sample({{"engine", std::to_string(line.replica.value)}}, serves ? 1 : 0);
  }
}

void add_ranks(MetricsPage& page, const report::ProcessReports& processes, const std::map<std::string, std::uint64_t>& deaths) {
  const auto for_each_rank = [&processes](const auto& tell) {
    for (const ProcessReport& process : processes.processes)
      if (process.role == handshake::Role::kRank) tell(process);
  };
  page.counter("herd_rank_process_restarts_total", "Times that the rank's process was started again.");
  for_each_rank([&page](const ProcessReport& rank) { page.sample({{"name", rank.name}}, rank.restarts); });
  page.gauge("herd_rank_process_serving", "1 while the rank's process serves.");
  for_each_rank([&page](const ProcessReport& rank) { page.sample({{"name", rank.name}}, rank.state == ProcessState::kServing ? 1 : 0); });
  page.gauge("herd_rank_loaded_ratio", "Share of the rank's weights that is loaded, while they load.");
  for_each_rank([&page](const ProcessReport& rank) {
    if (rank.loaded_percent >= 0) page.sample({{"name", rank.name}}, rank.loaded_percent / 100.0);
  });
  page.counter("herd_rank_process_deaths_total", "Rank processes of this node that ended, by how they ended.");
  for (const auto& [how, count] : deaths) page.sample({{"how", how}}, static_cast<double>(count));
}

}  // namespace herd::observability
