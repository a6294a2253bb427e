// The status of a cluster as JSON (status_output.h).

#include <algorithm>
#include <boost/json.hpp>
#include <string_view>
#include <utility>

#include "cluster/config/cluster_spec.h"
#include "cluster/report/drain_progress.h"
#include "commands/status_output.h"

namespace herd::commands {
namespace {

namespace json = boost::json;

json::value text_or_null(const std::string& text) { return text.empty() ? json::value() : json::value(text); }

json::object process_object(const report::ProcessReport& process) {
  return {{"role", handshake::role_name(process.role)},
          {"name", process.name},
          {"pid", process.pid == 0 ? json::value() : json::value(process.pid)},
          {"node", text_or_null(process.node)},
          {"leader", process.leader},
          {"state", report::process_state_name(process.state)},
          {"epoch", process.epoch},
          {"restarts", process.restarts},
          {"last_death", text_or_null(process.last_death)},
          {"loaded_percent", process.loaded_percent < 0 ? json::value() : json::value(process.loaded_percent)},
          {"weights_digest", text_or_null(process.weights_digest)},
          {"tokenizer_digest", text_or_null(process.tokenizer_digest)}};
}

json::value cache_value(const report::ReplicaReportLine& line) {
  if (!line.cache) return nullptr;
  const report::CacheReport& cache = *line.cache;
  return json::object{{"query_tokens", cache.query_tokens},
                      {"hit_tokens", cache.hit_tokens},
                      {"saved_seconds", cache.saved_s},
                      {"evicted_blocks", cache.evicted_blocks},
                      {"moved_in_bytes", cache.bytes_in},
                      {"moved_out_bytes", cache.bytes_out},
                      {"recomputed_blocks", cache.blocks_recomputed}};
}

json::object replica_object(const report::ReplicaReportLine& line) {
  return {{"name", report::replica_name(line.replica)},
          {"state", report::replica_condition_name(line.condition)},
          {"node", text_or_null(line.node)},
          {"epoch", line.epoch},
          {"cache", cache_value(line)},
          {"why", text_or_null(line.why)}};
}

// "10.0.0.1:9100" of "http://10.0.0.1:9100/metrics".
std::string target_of(const report::ProcessReport& process, const std::map<std::string, std::string>& hosts) {
  std::string_view address = process.metrics_url;
  address = address.substr(std::min(address.size(), std::string_view("http://").size()));
  address = address.substr(0, address.find('/'));
  const std::size_t colon = address.rfind(':');
  if (colon == std::string_view::npos) return {};
  const std::string port(address.substr(colon));
  if (!config::is_wildcard(config::host_of(std::string(address)))) return std::string(address);
  const auto known = hosts.find(process.node);
  const std::string machine = known != hosts.end() ? known->second : process.node;
  return (machine.find(':') == std::string::npos ? machine : "[" + machine + "]") + port;
}

}  // namespace

std::string scrape_targets_json(const report::ClusterStatusReport& report, const std::map<std::string, std::string>& hosts) {
  json::array targets;
  for (const report::ProcessReport& process : report.processes) {
    const std::string target = target_of(process, hosts);
    if (target.empty()) continue;
    json::object labels{{"__meta_herd_cluster", report.cluster},
                        {"__meta_herd_role", handshake::role_name(process.role)},
                        {"__meta_herd_name", process.name},
                        {"__meta_herd_node", process.node}};
    targets.push_back(json::object{{"targets", json::array{json::value(target)}}, {"labels", std::move(labels)}});
  }
  return json::serialize(targets) + "\n";
}

std::string cluster_status_json(const std::string& config, const report::ClusterStatusReport& report) {
  json::array endpoints, metrics, processes, replicas, may_be_stopped;
  const auto add_drained = [&](const std::string& name) {
    if (report::may_be_stopped(report, name)) may_be_stopped.emplace_back(name);
  };
  for (const report::ProcessReport& process : report.processes) {
    if (!process.endpoint_url.empty()) endpoints.push_back(json::object{{"name", process.name}, {"url", process.endpoint_url}});
    if (!process.metrics_url.empty())
      metrics.push_back(json::object{
          {"role", handshake::role_name(process.role)}, {"name", process.name}, {"url", process.metrics_url}});
    processes.push_back(process_object(process));
    if (process.role == handshake::Role::kNode && process.state == report::ProcessState::kDraining) add_drained(process.name);
  }
  for (const report::ReplicaReportLine& line : report.replicas) {
    replicas.push_back(replica_object(line));
    add_drained(report::replica_name(line.replica));
  }
  return json::serialize(json::object{{"config", config},
                                      {"endpoints", std::move(endpoints)},
                                      {"metrics", std::move(metrics)},
                                      {"processes", std::move(processes)},
                                      {"replicas", std::move(replicas)},
                                      {"may_be_stopped", std::move(may_be_stopped)},
                                      {"notices", json::array(report.notices.begin(), report.notices.end())}}) +
         "\n";
}

}  // namespace herd::commands
