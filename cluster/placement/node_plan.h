#pragma once
// NodePlan: how one node divides its machine among the replicas that it may be given: a slot for each, with CPUs and threads for
// every rank, and what every replica is: KV blocks, lengths, the scheduler's limits. Decided before any rank exists. Pure.

#include <cstdint>
#include <string>
#include <vector>

#include "cluster/config/cluster_spec.h"
#include "cluster/placement/replica_plan.h"
#include "kernels/status.h"

namespace herd::placement {

// What a node finds on its machine.
struct NodeMachine {
  std::vector<int> cpus;         // that it may run on, rising
  int usable_cpus = 1;           // at most as many as these: a quota may allow fewer
  std::int64_t free_bytes = 0;   // of memory
  int nodes = 1;                 // of the cluster on this machine, itself included: they share what no one of them is given
};

struct RankPlace {
  std::size_t device = 0;   // index into the node's devices
  std::vector<int> cpus;    // its own, no other rank's of this node; empty: it runs where its node may
  std::int32_t threads = 1;  // that compute
  bool operator==(const RankPlace&) const = default;
};

struct ReplicaSlot {
  std::vector<RankPlace> ranks;  // by rank
  bool operator==(const ReplicaSlot&) const = default;
};

struct NodePlan {
  std::vector<ReplicaSlot> slots;  // at least one: as many replicas as there is room for
  int cpu_sharers = 1;             // ranks that share the CPUs that one of them may run on, those of other nodes included
  ReplicaPlan replica;             // of every one
  std::vector<std::string> notes;  // a line each, for a person
};

// `wishes.data_parallel`: replicas of the cluster. kMissing: the node has no room for a single replica, and says what it lacks;
// kUsage: its ranks cannot be processes (GPUs), or its CPUs are not those of this machine.
[[nodiscard]] Expected<NodePlan> plan_node(const config::NodeSpec& node, const ShardedModel& model, const ReplicaWishes& wishes,
                                           StepSpeed speed, const NodeMachine& machine);

// Nodes of the file whose addresses are on the machine of `node`, itself included.
[[nodiscard]] int nodes_on_machine_of(const config::ClusterSpec& spec, const config::NodeSpec& node);

}  // namespace herd::placement
