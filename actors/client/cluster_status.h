#pragma once
// ClusterStatus: what a gateway knows of its cluster and of itself, as numbers. The gateway publishes a new one at every
// change of the cluster, whenever it becomes idle, and several times a second in between. Values.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "cluster/admission/admission_queue.h"
#include "cluster/gateway/request_ledger.h"
#include "cluster/replica/move_stats.h"
#include "cluster/routing/cluster_view.h"
#include "cluster/routing/routing_stats.h"
#include "runtime/clock.h"
#include "runtime/scheduler/scheduler.h"

namespace herd::actors {

struct ReplicaStatus {
  ReplicaId replica;
  bool serving = false;
  std::uint64_t steps = 0;              // finished
  scheduler::SchedulerStats scheduler;  // of a replica that serves, as it said last
  double saved_s = 0.0;                 // likewise: by its prefix cache
  replica::MoveStats moves;             // likewise: KV blocks from and to others
  double decode_step_s = 0.0;           // likewise, as the next; see replica::ReplicaStats
  double prompt_token_s = 0.0;
};

struct ClusterStatus {
  routing::ClusterView view;
  std::vector<ReplicaStatus> replicas;  // those of the view, rising ids
  gateway::RequestLedgerStats ledger;
  admission::AdmissionStats admission;
  std::size_t open_requests = 0;
  std::uint64_t replica_ejections = 0;  // GatewayCore::replica_ejections()
  routing::RoutingStats routing;
  std::size_t directory_blocks = 0;     // of all replicas' prefix caches that this gateway knows of
  std::size_t directory_bytes = 0;      // that knowing them takes
  std::optional<double> first_token_s;  // GatewayCore::first_token_seconds()
  // While sequences run or wait to: since when no step was finished of the replica that has been silent longest
  // (gateway::StepProgress).
  std::optional<Instant> silent_since;

  [[nodiscard]] std::size_t serving_replicas() const {
    std::size_t serving = 0;
    for (const ReplicaStatus& replica : replicas) serving += replica.serving ? 1 : 0;
    return serving;
  }
  // Replicas that do not serve now but are not lost for good: being made, lost and made again, or about to be heard of (the
  // view is ahead of what the replica says, or behind it).
  [[nodiscard]] std::size_t returning_replicas() const {
    std::size_t returning = 0;
    for (std::size_t i = 0; i < replicas.size(); ++i) {
      const routing::ReplicaView& known = view.replicas[i];
      const bool lost_for_good = known.state == routing::ReplicaState::kLost && !known.returns;
      returning += !replicas[i].serving && !lost_for_good ? 1 : 0;
    }
    return returning;
  }
};

}  // namespace herd::actors
