#pragma once
// ReplicaChanges: what became of the replicas of a cluster between two looks at its status, in words for an operator. Pure.

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "actors/client/cluster_status.h"
#include "cluster/report/process_report.h"
#include "observability/event_log.h"

namespace herd::pages {

// As `herd status` calls it. `one` is the status of the replica that `view` shows.
[[nodiscard]] report::ReplicaCondition condition_of(const routing::ReplicaView& view, const actors::ReplicaStatus& one);

struct Change {
  observability::LogLevel level = observability::LogLevel::kInfo;
  std::string what;
};

class ReplicaChanges {
 public:
  // Since the last call; the first tells what is there.
  std::vector<Change> on_status(const actors::ClusterStatus& status);

 private:
  struct Seen {
    report::ReplicaCondition condition = report::ReplicaCondition::kReforming;
    Epoch epoch;
  };
  std::map<ReplicaId, Seen> seen_;
  std::uint64_t ejections_ = 0;
};

}  // namespace herd::pages
