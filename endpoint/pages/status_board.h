#pragma once
// StatusBoard: what the status page shows. Looks at the cluster once a second, so that a page that is opened shows the last minutes,
// and tells the recent events what it sees change. Any thread.

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "actors/client/cluster_status.h"
#include "endpoint/pages/replica_changes.h"
#include "endpoint/pages/status_history.h"
#include "endpoint/pages/status_picture.h"
#include "observability/recent_events.h"
#include "observability/stats_line.h"

namespace herd::pages {

// The cluster at one moment.
struct StatusLook {
  std::shared_ptr<const actors::ClusterStatus> status;  // not null
  observability::StatsSample sample;
  std::vector<std::pair<std::string, std::uint64_t>> refused;  // so far, by reason
  std::string health;
  std::string reason;
  bool ready = false;
  std::optional<bool> hears_coordinator;
  std::uint64_t connections = 0;
  std::vector<NodePlace> nodes;
};

class StatusBoard {
 public:
  // `events` outlives it.
  StatusBoard(ServerWords server, observability::RecentEvents& events) : server_(std::move(server)), events_(events) {}

  // Once a StatusHistory::kBetween_s.
  void look(const StatusLook& look);
  // `now`: Unix seconds.
  [[nodiscard]] std::string json(StatusLook look, std::int64_t now) const;

 private:
  void tell_refusals(const StatusLook& look);
  void tell_coordinator(const StatusLook& look);

  const ServerWords server_;
  observability::RecentEvents& events_;
  mutable std::mutex mutex_;  // of the below
  ReplicaChanges changes_;
  StatusHistory history_;
  std::map<std::string, std::uint64_t> refused_;
  bool hears_coordinator_ = true;
};

}  // namespace herd::pages
