#pragma once
// StatusPicture: what the status page shows at one moment, and as the JSON that it reads. Values.

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "actors/client/cluster_status.h"
#include "cluster/report/process_report.h"
#include "endpoint/pages/node_places.h"
#include "endpoint/pages/status_history.h"
#include "observability/recent_events.h"

namespace herd::pages {

// Who shows it; the same from start to end.
struct ServerWords {
  std::string name;     // of the gateway; empty: a server without a cluster's file
  std::string cluster;  // likewise
  std::string version;
  std::string model;
  std::int64_t max_model_len = 0;
  std::int64_t started = 0;  // Unix seconds
};

struct ReplicaPicture {
  ReplicaId replica;
  std::string node;     // empty: of no node of the file
  std::string address;  // of its leader
  report::ReplicaCondition condition = report::ReplicaCondition::kReforming;
  std::uint64_t epoch = 0;
  actors::ReplicaStatus status;
  ReplicaRates rates;
};

struct StatusPicture {
  ServerWords server;
  std::int64_t now = 0;  // Unix seconds
  std::string health;    // "ok", "recovering", "draining", "unavailable"
  std::string reason;    // why it is another word than ok; or why it is not ready
  bool ready = false;
  std::optional<bool> hears_coordinator;  // nothing: it has none
  std::uint64_t connections = 0;
  std::shared_ptr<const actors::ClusterStatus> status;  // not null
  std::vector<std::pair<std::string, std::uint64_t>> refused;  // so far, by reason
  std::deque<HistoryPoint> history;
  std::vector<NodePlace> nodes;
  std::vector<ReplicaPicture> replicas;
  std::vector<observability::RecentEvent> events;  // newest first
};

[[nodiscard]] std::string status_json(const StatusPicture& picture);

}  // namespace herd::pages
