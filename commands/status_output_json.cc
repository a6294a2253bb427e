// The status of a cluster as JSON (status_output.h).

#include <boost/json.hpp>
#include <charconv>
#include <cstdint>
#include <optional>
#include <string_view>
#include <utility>

#include "cluster/config/cluster_spec.h"
#include "cluster/report/drain_progress.h"
#include "commands/status_output.h"
#include "endpoint/http/host_port.h"

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

// The port of "http://10.0.0.1:9100/metrics", and the host without brackets; nullopt: it is another kind of text.
struct MetricsAddress {
  std::string host, port;
};
std::optional<MetricsAddress> metrics_address(std::string_view url) {
  constexpr std::string_view kScheme = "http://";
  if (!url.starts_with(kScheme)) return std::nullopt;
  url.remove_prefix(kScheme.size());
  const auto parts = http::split_host_port(url.substr(0, url.find('/')));
  if (!parts) return std::nullopt;
  std::uint16_t port = 0;
  const auto [end, error] = std::from_chars(parts->port.data(), parts->port.data() + parts->port.size(), port);
  if (error != std::errc{} || end != parts->port.data() + parts->port.size() || port == 0) return std::nullopt;
  return MetricsAddress{std::string(parts->host), std::string(parts->port)};
}

// Where the file, or a name that a certificate says, has that process.
std::string machine_of(const report::ProcessReport& process, const ScrapeHosts& hosts) {
  if (process.role == handshake::Role::kCoordinator) return hosts.coordinator;
  if (const auto known = hosts.gateways.find(process.name); process.role == handshake::Role::kGateway && known != hosts.gateways.end())
    return known->second;
  if (process.node.empty()) return hosts.coordinator;
  const auto known = hosts.nodes.find(process.node);
  return known != hosts.nodes.end() ? known->second : process.node;
}

// "10.0.0.1:9100"; empty: it has not said where its metrics are.
std::string target_of(const report::ProcessReport& process, const ScrapeHosts& hosts) {
  const auto said = metrics_address(process.metrics_url);
  if (!said) return {};
  const bool of_all = said->host == hosts.metrics_host && !config::is_wildcard(said->host);
  const std::string host = of_all ? hosts.metrics_host : machine_of(process, hosts);
  return (host.find(':') == std::string::npos ? host : "[" + host + "]") + ":" + said->port;
}

}  // namespace

std::string scrape_targets_json(const report::ClusterStatusReport& report, const ScrapeHosts& hosts) {
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
