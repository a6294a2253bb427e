#pragma once
// ClusterView: what a gateway knows about replicas. The coordinator pushes a new one whenever something changes; a gateway
// routes from the last one it has, also while the coordinator is silent. Values.

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "cluster/routing/replica_generation.h"
#include "runtime/ids.h"

namespace herd::routing {

// Which bits a replica makes (docs/numerics.md): replicas of equal ids continue each other's streams. Text, at most 256
// bytes.
using NumericsId = std::string;

// How a replica is reached. Never a handle: the shell that sends knows what lies behind an address.
struct Route {
  ReplicaGeneration generation;
  std::string address;  // of the replica's leader
  NumericsId numerics;
  bool operator==(const Route&) const = default;
};

enum class ReplicaState : std::uint8_t {
  kMaking,   // it will serve; `generation` says as what
  kServing,
  kDraining,  // it finishes what it has and takes nothing new
  kLost,      // this generation is gone
};

struct ReplicaView {
  Route route;
  ReplicaState state = ReplicaState::kMaking;
  // kLost: it comes back under a later generation. A cluster in which nothing serves and nothing returns ends what it owes.
  bool returns = true;
  // What it takes at one time, running and waiting together; at least 1.
  std::uint32_t sequences_max = 64;
  std::int64_t max_model_len = 0;  // prompt + emitted tokens of one sequence; 0: not known
  bool operator==(const ReplicaView&) const = default;
};

inline constexpr std::size_t kReplicasMax = 1024;  // of a view, those that are lost for good included

struct ClusterView {
  Epoch cluster_epoch;        // of the coordinator that made it; a later coordinator has a larger one
  std::uint64_t number = 0;   // rises within an epoch; a view that is not newer than the last one is dropped
  std::vector<ReplicaView> replicas;  // rising replica ids, each once
  bool operator==(const ClusterView&) const = default;
};

}  // namespace herd::routing
