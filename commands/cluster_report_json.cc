// A ClusterReport as JSON (cluster_report.h).

#include <boost/json.hpp>

#include "cluster/config/setting_table.h"
#include "commands/cluster_report.h"

namespace herd::commands {
namespace {

namespace json = boost::json;

json::value number_or_null(std::int64_t number) { return number > 0 ? json::value(number) : json::value(); }

json::array lines(const std::vector<std::string>& texts) {
  json::array array;
  for (const std::string& text : texts) array.emplace_back(text);
  return array;
}

json::object rank_object(const ClusterReport& report, const placement::PlacedReplica& replica, const placement::PlacedRank& rank) {
  const config::NodeSpec& node = report.parsed.spec.nodes[replica.node];
  json::object object{{"replica", replica.replica.value},
                      {"rank", rank.rank},
                      {"device", node.devices[rank.device]},
                      {"threads", number_or_null(rank.threads)},
                      {"memory", nullptr}};
  if (!report.model) return object;
  const model::RankMemory& memory = report.model->ranks[rank.rank];
  const auto& kv = report.kv[replica.replica.value];
  const bool on_gpu = placement::is_gpu(node.devices[rank.device]);  // whose buffers are measured when they are there
  object["memory"] = json::object{{"weights_bytes", memory.weights},
                                  {"step_buffer_bytes", on_gpu ? json::value() : json::value(memory.step_buffers)},
                                  {"rope_table_bytes", on_gpu ? json::value() : json::value(memory.rope_table)},
                                  {"kv_bytes", kv ? json::value(kv->num_blocks * report.model->block_bytes[rank.rank]) : json::value()}};
  return object;
}

json::array nodes_array(const ClusterReport& report) {
  json::array nodes;
  for (std::size_t i = 0; i < report.parsed.spec.nodes.size(); ++i) {
    const config::NodeSpec& node = report.parsed.spec.nodes[i];
    json::array ranks;
    for (const placement::PlacedReplica& replica : report.plan.replicas)
      if (replica.node == i)
        for (const placement::PlacedRank& rank : replica.ranks) ranks.push_back(rank_object(report, replica, rank));
    json::object labels;
    for (const auto& [name, text] : node.labels) labels[name] = text;
    nodes.push_back(json::object{{"name", node.name},
                                 {"address", node.address},
                                 {"devices", lines(node.devices)},
                                 {"memory_bytes", number_or_null(node.memory)},
                                 {"model_path", node.model_path.empty() ? json::value() : json::value(node.model_path)},
                                 {"labels", std::move(labels)},
                                 {"ranks", std::move(ranks)}});
  }
  return nodes;
}

json::array replicas_array(const ClusterReport& report) {
  json::array replicas;
  for (const placement::PlacedReplica& replica : report.plan.replicas) {
    const std::size_t number = replica.replica.value;
    json::object object{{"replica", number}, {"node", report.parsed.spec.nodes[replica.node].name}};
    const bool known = number < report.kv.size() && report.kv[number];
    object["num_blocks"] = known ? json::value(report.kv[number]->num_blocks) : json::value();
    object["max_model_len"] = known ? json::value(report.kv[number]->max_model_len) : json::value();
    replicas.push_back(std::move(object));
  }
  return replicas;
}

json::value directory_value(const ClusterReport& report) {
  const auto bytes = directory_bytes(report);
  return bytes ? json::value(*bytes) : json::value();
}

}  // namespace

std::string check_json(const ClusterReport& report) {
  json::array problems;
  for (const config::Problem& problem : report.parsed.problems)
    problems.push_back(json::object{{"line", number_or_null(problem.line)}, {"key", problem.key}, {"what", problem.what}});
  return json::serialize(json::object{{"file", report.file},
                                      {"valid", report.parsed.problems.empty()},
                                      {"problems", std::move(problems)},
                                      {"prefix_directory_bytes", directory_value(report)},
                                      {"notes", lines(report.notes)}}) +
         "\n";
}

std::string report_json(const ClusterReport& report) {
  const config::ClusterSpec& spec = report.parsed.spec;
  json::array coordinators, gateways;
  for (const config::CoordinatorSpec& coordinator : spec.coordinators)
    coordinators.push_back(json::object{{"name", coordinator.name}, {"address", coordinator.address}});
  for (const config::GatewaySpec& gateway : spec.gateways)
    gateways.push_back(json::object{{"name", gateway.name},
                                    {"host", gateway.host},
                                    {"port", gateway.port},
                                    {"node", gateway.node.empty() ? json::value() : json::value(gateway.node)}});
  json::object settings;
  for (const config::EffectiveSetting& setting : config::effective_settings(spec))
    settings[setting.key] = setting.value.empty() ? json::value() : json::value(setting.value);
  json::object model{{"path", spec.model.model_path}, {"encoding", nullptr}, {"unreadable", nullptr}};
  if (report.model) model["encoding"] = report.model->encoding;
  else model["unreadable"] = report.model_unreadable;
  return json::serialize(json::object{{"cluster", spec.name},
                                      {"model", std::move(model)},
                                      {"coordinators", std::move(coordinators)},
                                      {"gateways", std::move(gateways)},
                                      {"any_node_with_certificate", spec.any_node_with_certificate},
                                      {"nodes", nodes_array(report)},
                                      {"replicas", replicas_array(report)},
                                      {"prefix_directory_bytes", directory_value(report)},
                                      {"settings", std::move(settings)},
                                      {"notes", lines(report.notes)}}) +
         "\n";
}

}  // namespace herd::commands
