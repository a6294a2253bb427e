#include "cluster/placement/cluster_plan.h"

#include <algorithm>
#include <numeric>
#include <optional>

#include "cluster/placement/replica_sizing.h"

namespace herd::placement {
namespace {

// A node while replicas are being placed on it.
struct Room {
  const config::NodeSpec* node = nullptr;
  std::size_t devices_taken = 0;
  std::int64_t memory_taken = 0;
  std::size_t replicas = 0;

  [[nodiscard]] std::size_t devices_left() const { return node->devices.size() - devices_taken; }
  [[nodiscard]] bool on_gpus() const { return is_gpu(node->devices.front()); }

  // Why it cannot take a replica more; empty: it can.
  [[nodiscard]] std::string lacks(std::size_t ranks, std::int64_t bytes) const {
    if (devices_left() < ranks)
      return "has " + std::to_string(devices_left()) + " of its " + counted(node->devices.size(), "device") + " left, " +
             std::to_string(ranks) + " are needed";
    // Weights on a GPU take none of the node's own memory.
    if (node->memory == 0 || on_gpus() || memory_taken + bytes <= node->memory) return {};
    return "has " + gigabytes(static_cast<double>(node->memory - memory_taken)) + " of its " +
           gigabytes(static_cast<double>(node->memory)) + " memory left, a replica takes " +
           gigabytes(static_cast<double>(bytes));
  }

  PlacedReplica take(ReplicaId replica, std::size_t index, std::size_t ranks, std::int64_t bytes) {
    PlacedReplica placed{replica, index, {}};
    for (std::size_t rank = 0; rank < ranks; ++rank)
      placed.ranks.push_back({static_cast<std::uint32_t>(rank), devices_taken + rank, 0});
    devices_taken += ranks;
    memory_taken += on_gpus() ? 0 : bytes;
    ++replicas;
    return placed;
  }
};

// The least loaded node that has room, or nothing.
std::optional<std::size_t> choose(const std::vector<Room>& rooms, std::size_t ranks, std::int64_t bytes) {
  std::optional<std::size_t> best;
  for (std::size_t i = 0; i < rooms.size(); ++i)
    if (rooms[i].lacks(ranks, bytes).empty() && (!best || rooms[i].replicas < rooms[*best].replicas)) best = i;
  return best;
}

Status no_room(const std::vector<Room>& rooms, std::size_t replica, std::size_t replicas, std::size_t ranks, std::int64_t bytes) {
  std::string text = "replica " + std::to_string(replica) + " of " + std::to_string(replicas) + " (" + counted(ranks, "rank") +
                     " on one node) has no place:";
  for (const Room& room : rooms) text += (&room == &rooms.front() ? " " : "; ") + room.node->name + " " + room.lacks(ranks, bytes);
  return missing(text + ". Lower parallelism.data_parallel_size or tensor_parallel_size, or give nodes more devices" +
                 (bytes > 0 ? " or memory" : ""));
}

// Threads of a node's CPU ranks, shared out evenly.
void share_threads(const std::vector<Room>& rooms, ClusterPlan& plan) {
  for (PlacedReplica& replica : plan.replicas) {
    const Room& room = rooms[replica.node];
    if (room.on_gpus()) continue;
    const config::NodeSpec& node = *room.node;
    const std::int64_t cpus = std::max<std::int64_t>(node.cpus, node.cpu_set.empty() ? 0 : config::cpus_in_set(node.cpu_set));
    const std::int64_t threads = node.threads > 0 ? node.threads : cpus;
    const auto ranks = static_cast<std::int64_t>(room.devices_taken);
    for (PlacedRank& rank : replica.ranks) rank.threads = threads == 0 ? 0 : std::max<std::int64_t>(1, threads / ranks);
  }
}

void add_notes(const std::vector<Room>& rooms, bool sizes_known, ClusterPlan& plan) {
  bool cpus = false, gpus = false;
  for (const PlacedReplica& replica : plan.replicas) (rooms[replica.node].on_gpus() ? gpus : cpus) = true;
  if (cpus && gpus)
    plan.notes.emplace_back("replicas on CPUs and on GPUs compute different bits: a stream whose replica is lost goes on only where "
                            "the other kind is not needed");
  for (const Room& room : rooms)
    if (room.devices_left() > 0)
      plan.notes.push_back(room.node->name + ": " + counted(room.devices_left(), "device") +
                           " without a rank, in reserve for replicas that lose theirs");
  for (const Room& room : rooms)
    if (sizes_known && !room.on_gpus() && room.node->memory == 0)
      plan.notes.push_back(room.node->name + ": whether its ranks fit was not checked: the file does not say its memory");
}

}  // namespace

bool is_gpu(const std::string& device) { return device.starts_with("gpu-"); }

Expected<ClusterPlan> plan_cluster(const config::ClusterSpec& spec, std::span<const std::int64_t> rank_bytes) {
  ClusterPlan plan;
  if (spec.any_node_with_certificate) {
    plan.notes.emplace_back("nodes join as they come; each replica is placed when a node with room for it has joined");
    return plan;
  }
  const auto ranks = static_cast<std::size_t>(spec.parallelism.tensor_parallel_size);
  const auto replicas = static_cast<std::size_t>(spec.parallelism.data_parallel_size);
  const std::int64_t bytes = std::accumulate(rank_bytes.begin(), rank_bytes.end(), std::int64_t{0});
  std::vector<Room> rooms;
  for (const config::NodeSpec& node : spec.nodes) rooms.push_back({.node = &node});
  for (std::size_t replica = 0; replica < replicas; ++replica) {
    const auto place = choose(rooms, ranks, bytes);
    if (!place) return fail(no_room(rooms, replica, replicas, ranks, bytes));
    plan.replicas.push_back(rooms[*place].take(ReplicaId{static_cast<std::uint32_t>(replica)}, *place, ranks, bytes));
  }
  share_threads(rooms, plan);
  add_notes(rooms, !rank_bytes.empty(), plan);
  return plan;
}

}  // namespace herd::placement
