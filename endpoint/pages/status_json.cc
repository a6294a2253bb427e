// The status page's data as JSON (status_picture.h).

#include <cmath>
#include <string>

#include <boost/json.hpp>

#include "cluster/report/drain_progress.h"
#include "endpoint/pages/status_picture.h"
#include "runtime/text/utf8.h"

namespace herd::pages {
namespace {

namespace json = boost::json;

json::value text_or_null(const std::string& text) {
  return text.empty() ? json::value() : json::value(text::replace_invalid_utf8(text));
}

// Three digits behind the point are enough to draw.
double rounded(double number) { return std::round(number * 1e3) / 1e3; }

const char* level_name(observability::LogLevel level) {
  switch (level) {
    case observability::LogLevel::kDebug:
    case observability::LogLevel::kInfo: return "info";
    case observability::LogLevel::kWarning: return "warning";
    case observability::LogLevel::kError: return "error";
  }
  return "info";
}

json::object server_object(const StatusPicture& picture) {
  const ServerWords& server = picture.server;
  return {{"name", text_or_null(server.name)},
          {"cluster", text_or_null(server.cluster)},
          {"version", text_or_null(server.version)},
          {"model", text_or_null(server.model)},
          {"max_model_len", server.max_model_len},
          {"started", server.started},
          {"health", picture.health},
          {"ready", picture.ready},
          {"reason", text_or_null(picture.reason)},
          {"coordinator", picture.hears_coordinator ? json::value(*picture.hears_coordinator ? "heard" : "silent") : json::value()}};
}

json::object totals_object(const StatusPicture& picture) {
  const actors::ClusterStatus& status = *picture.status;
  json::object refused;
  for (const auto& [reason, times] : picture.refused)
    if (times > 0) refused[reason] = times;
  return {{"accepted", status.admission.accepted},
          {"expired", status.admission.expired},
          {"finished", status.ledger.finished},
          {"aborted", status.ledger.aborted},
          {"failed", status.ledger.failed},
          {"moved", status.ledger.moves},
          {"replayed", status.ledger.replayed},
          {"tokens", status.ledger.tokens_delivered},
          {"ejections", status.replica_ejections},
          {"refused", std::move(refused)}};
}

json::object now_object(const StatusPicture& picture) {
  const actors::ClusterStatus& status = *picture.status;
  return {{"open", status.open_requests},
          {"waiting", status.admission.waiting},
          {"waiting_tokens", status.admission.waiting_tokens},
          {"connections", picture.connections},
          {"capacity_tokens_per_s", rounded(status.admission.tokens_per_s)},
          {"directory_blocks", status.directory_blocks}};
}

json::object history_object(const StatusPicture& picture) {
  json::array generation, prompt, running, waiting, kv;
  for (const HistoryPoint& point : picture.history) {
    generation.emplace_back(rounded(point.generation));
    prompt.emplace_back(rounded(point.prompt));
    running.emplace_back(point.running);
    waiting.emplace_back(point.waiting);
    kv.emplace_back(rounded(point.kv_usage));
  }
  return {{"seconds", StatusHistory::kBetween_s}, {"points", StatusHistory::kPointsMax}, {"generation", std::move(generation)},
          {"prompt", std::move(prompt)},          {"running", std::move(running)},       {"waiting", std::move(waiting)},
          {"kv", std::move(kv)}};
}

json::object replica_object(const ReplicaPicture& replica) {
  const scheduler::SchedulerStats& work = replica.status.scheduler;
  const kv::BlockStats& blocks = work.blocks;
  return {{"name", report::replica_name(replica.replica)},
          {"node", text_or_null(replica.node)},
          {"address", text_or_null(replica.address)},
          {"state", report::replica_condition_name(replica.condition)},
          {"epoch", std::to_string(replica.epoch)},  // has more digits than a number of JavaScript
          {"running", work.num_running},
          {"waiting", work.num_waiting},
          {"steps", replica.status.steps},
          {"generation", rounded(replica.rates.generation)},
          {"prompt", rounded(replica.rates.prompt)},
          {"kv", json::object{{"blocks", blocks.num_blocks}, {"held", blocks.num_held}, {"cached", blocks.num_idle}}},
          {"cache", json::object{{"query_tokens", blocks.query_tokens},
                                 {"hit_tokens", blocks.hit_tokens},
                                 {"saved_seconds", rounded(replica.status.saved_s)}}},
          {"moved_in_bytes", replica.status.moves.bytes_in},
          {"moved_out_bytes", replica.status.moves.bytes_out}};
}

}  // namespace

std::string status_json(const StatusPicture& picture) {
  json::array nodes, replicas, events;
  for (const NodePlace& node : picture.nodes) nodes.push_back(json::object{{"name", node.name}, {"address", node.address}});
  for (const ReplicaPicture& replica : picture.replicas) replicas.push_back(replica_object(replica));
  for (const observability::RecentEvent& event : picture.events)
    events.push_back(json::object{{"number", event.number},
                                  {"at", event.at},
                                  {"times", event.times},
                                  {"level", level_name(event.level)},
                                  {"what", event.what}});
  return json::serialize(json::object{{"time", picture.now},
                                      {"server", server_object(picture)},
                                      {"now", now_object(picture)},
                                      {"totals", totals_object(picture)},
                                      {"history", history_object(picture)},
                                      {"nodes", std::move(nodes)},
                                      {"replicas", std::move(replicas)},
                                      {"events", std::move(events)}});
}

}  // namespace herd::pages
