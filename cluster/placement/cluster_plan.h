#pragma once
// ClusterPlan: which rank of which replica computes on which device of which node. Pure: from what the cluster file says and what a
// rank of the model takes. The ranks of a replica are on one node and on one kind of device; replicas are spread over nodes.

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "cluster/config/cluster_spec.h"
#include "kernels/status.h"
#include "runtime/ids.h"

namespace herd::placement {

// One rank's place.
struct PlacedRank {
  std::uint32_t rank = 0;     // within its replica
  std::size_t device = 0;     // index into the node's devices
  std::int64_t threads = 0;   // that compute; 0: on a GPU, or as many as the node finds
  bool operator==(const PlacedRank&) const = default;
};

struct PlacedReplica {
  ReplicaId replica;
  std::size_t node = 0;           // index into the spec's nodes
  std::vector<PlacedRank> ranks;  // by rank
  bool operator==(const PlacedReplica&) const = default;
};

struct ClusterPlan {
  std::vector<PlacedReplica> replicas;  // by number; empty when nodes join unlisted: they are placed as nodes come
  std::vector<std::string> notes;       // a line each, for a person
  bool operator==(const ClusterPlan&) const = default;
};

// `rank_bytes`: what each rank of a replica takes of its node's memory at the least, by rank; empty: not known, so that memory
// decides nothing. Among nodes with room the one with the fewest replicas takes the next, of equals the first in the file.
// kMissing says which node lacks what.
[[nodiscard]] Expected<ClusterPlan> plan_cluster(const config::ClusterSpec& spec, std::span<const std::int64_t> rank_bytes);

[[nodiscard]] bool is_gpu(const std::string& device);

}  // namespace herd::placement
