// The status of a cluster for a person (status_output.h).

#include <algorithm>
#include <vector>

#include "cluster/report/drain_progress.h"
#include "commands/status_output.h"

namespace herd::commands {
namespace {

using Row = std::vector<std::string>;

// Columns of equal width, but for the last, which is text.
std::string table_text(const std::vector<Row>& rows) {
  std::vector<std::size_t> widths(rows.front().size(), 0);
  for (const Row& row : rows)
    for (std::size_t i = 0; i + 1 < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  std::string text;
  for (const Row& row : rows) {
    std::string line;
    for (std::size_t i = 0; i < row.size(); ++i) line += row[i] + std::string(widths[i] > 0 ? widths[i] + 2 - row[i].size() : 0, ' ');
    line.erase(line.find_last_not_of(' ') + 1);
    text += line + "\n";
  }
  return text;
}

std::string or_dash(const std::string& text) { return text.empty() ? "-" : text; }
std::string number_or_dash(std::uint64_t number) { return number == 0 ? "-" : std::to_string(number); }

// Of its prefix cache: the share of tokens that were found there, what they would have taken to compute, what moved.
std::string hits_text(const report::ReplicaReportLine& line) {
  if (!line.cache || line.cache->query_tokens == 0) return "-";
  return std::to_string(100 * line.cache->hit_tokens / line.cache->query_tokens) + " %";
}
std::string saved_text(const report::ReplicaReportLine& line) {
  return line.cache ? std::to_string(static_cast<std::int64_t>(line.cache->saved_s + 0.5)) + " s" : "-";
}
std::string moved_text(const report::ReplicaReportLine& line, std::uint64_t report::CacheReport::*bytes) {
  if (!line.cache) return "-";
  return std::to_string((*line.cache.*bytes + 500'000) / 1'000'000) + " MB";
}

// What is worth a look: how far it has loaded, where it is reached, which model it has, how it ended last.
std::string about(const report::ClusterStatusReport& report, const report::ProcessReport& process) {
  std::string text = process.endpoint_url;
  const auto add = [&](const std::string& more) { text += (text.empty() ? "" : ", ") + more; };
  if (process.loaded_percent >= 0) add("loaded " + std::to_string(process.loaded_percent) + " %");
  if (process.leader) add("leader");
  if (!process.weights_digest.empty()) add("weights " + process.weights_digest);
  if (!process.tokenizer_digest.empty()) add("tokenizer " + process.tokenizer_digest);
  const bool drains = process.role == handshake::Role::kNode && process.state == report::ProcessState::kDraining;
  if (drains && report::may_be_stopped(report, process.name)) add("drained: may be stopped");
  if (!process.last_death.empty()) add("last death: " + process.last_death);
  return text;
}

}  // namespace

std::string cluster_status_text(const report::ClusterStatusReport& report) {
  std::vector<Row> replicas{{"REPLICA", "STATE", "NODE", "EPOCH", "CACHE HITS", "SAVED", "KV IN", "KV OUT", "WHY"}};
  for (const report::ReplicaReportLine& line : report.replicas)
    replicas.push_back({report::replica_name(line.replica), report::replica_condition_name(line.condition),
                        or_dash(line.node), number_or_dash(line.epoch), hits_text(line), saved_text(line),
                        moved_text(line, &report::CacheReport::bytes_in), moved_text(line, &report::CacheReport::bytes_out), line.why});
  std::vector<Row> processes{{"ROLE", "NAME", "STATE", "PID", "NODE", "RESTARTS", "ABOUT"}};
  for (const report::ProcessReport& process : report.processes)
    processes.push_back({handshake::role_name(process.role), process.name, report::process_state_name(process.state),
                         number_or_dash(static_cast<std::uint64_t>(process.pid)), or_dash(process.node),
                         std::to_string(process.restarts), about(report, process)});
  std::string notices = report.notices.empty() ? "" : "\n";
  for (const std::string& notice : report.notices) notices += notice + "\n";
  return "cluster " + report.cluster + "\n\n" + table_text(replicas) + "\n" + table_text(processes) + notices;
}

}  // namespace herd::commands
