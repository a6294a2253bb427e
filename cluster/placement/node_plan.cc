#include "cluster/placement/node_plan.h"

#include <algorithm>
#include <utility>

#include "cluster/placement/cluster_plan.h"

namespace herd::placement {
namespace {

Status named(const config::NodeSpec& node, const Status& status) { return {status.code(), "node " + node.name + ": " + status.message()}; }

Status check_devices(const config::NodeSpec& node, std::size_t ranks) {
  for (const std::string& device : node.devices)
    if (is_gpu(device))
      return usage_error("device " + device + ": ranks on GPUs are no processes yet, so a node has only devices named cpu; "
                         "`herd serve --devices " + device + "` serves from one process");
  if (node.devices.size() >= ranks) return {};
  return missing(counted(node.devices.size(), "device") + ", a replica needs " + std::to_string(ranks) +
                 "; lower parallelism.tensor_parallel_size or give it more devices");
}

// The replicas that a node has room for: how many, and what each of them is.
struct Fitting {
  std::size_t replicas = 0;
  ReplicaPlan plan;
};

// As many replicas as fit, at most `most` of them: with one less, each has more memory for KV.
Expected<Fitting> find_room(const config::NodeSpec& node, const ShardedModel& model, ReplicaWishes wishes, StepSpeed speed,
                            const NodeMachine& machine, std::size_t most) {
  const auto ranks = rank_memories(model, wishes);
  if (!ranks) return fail(ranks.error());
  std::int64_t replica_bytes = 0;
  for (const model::RankMemory& rank : *ranks) replica_bytes += rank.total();
  const std::int64_t memory = node.memory > 0 ? node.memory : machine.free_bytes / std::max(1, machine.nodes);
  Status why;
  for (std::size_t replicas = most; replicas >= 1; --replicas) {
    const std::int64_t left = memory - replica_bytes * static_cast<std::int64_t>(replicas);
    if (left <= 0) {
      why = missing("a replica takes " + gigabytes(static_cast<double>(replica_bytes)) + " beside its KV cache, of " +
                    gigabytes(static_cast<double>(memory)) + (node.memory > 0 ? " that the file gives the node" : " that are free") +
                    "; give it more memory, or take a smaller model or more nodes with parallelism.tensor_parallel_size");
      continue;
    }
    wishes.data_parallel = static_cast<int>(replicas);
    DeviceMemory free;
    free.free_bytes = left;
    auto plan = plan_replicas(model, wishes, free, speed);
    if (plan) return Fitting{replicas, std::move(*plan)};
    if (plan.error().code() != StatusCode::kMissing) return fail(plan.error());
    why = plan.error();
  }
  return fail(why);
}

// The CPUs that the node may give away, and whether they are its alone.
struct Cpus {
  std::vector<int> set;
  bool own = false;
};

Expected<Cpus> cpus_of(const config::NodeSpec& node, const NodeMachine& machine) {
  if (node.cpu_set.empty()) {
    // With a quota, or beside other nodes, nobody knows which CPUs will have time; else any are as good as others.
    const bool own = machine.nodes <= 1 && static_cast<std::size_t>(machine.usable_cpus) == machine.cpus.size();
    Cpus cpus{machine.cpus, own};
    if (own && node.cpus > 0) cpus.set.resize(std::min(cpus.set.size(), static_cast<std::size_t>(node.cpus)));
    return cpus;
  }
  Cpus cpus{config::cpus_of_set(node.cpu_set), true};
  std::ranges::sort(cpus.set);
  for (const int cpu : cpus.set)
    if (std::ranges::find(machine.cpus, cpu) == machine.cpus.end())
      return fail(usage_error("cpu_set " + node.cpu_set + ": CPU " + std::to_string(cpu) +
                              " is none that this process may run on"));
  return cpus;
}

// Compute threads of all ranks together.
std::size_t threads_of(const config::NodeSpec& node, const NodeMachine& machine, const Cpus& cpus) {
  if (node.threads > 0) return static_cast<std::size_t>(node.threads);
  if (!node.cpu_set.empty()) return std::min(cpus.set.size(), static_cast<std::size_t>(machine.usable_cpus));
  if (node.cpus > 0) return static_cast<std::size_t>(std::min<std::int64_t>(node.cpus, machine.usable_cpus));
  return static_cast<std::size_t>(std::max(1, machine.usable_cpus / std::max(1, machine.nodes)));
}

// The i-th of `parts` parts, as equal as they can be and next to each other.
std::vector<int> part_of(const std::vector<int>& cpus, std::size_t part, std::size_t parts) {
  const auto border = [&](std::size_t i) { return static_cast<std::ptrdiff_t>(i * cpus.size() / parts); };
  return {cpus.begin() + border(part), cpus.begin() + border(part + 1)};
}

void add_slots(const config::NodeSpec& node, const NodeMachine& machine, const Cpus& cpus, std::size_t replicas, std::size_t ranks,
               NodePlan& plan) {
  const std::size_t all = replicas * ranks;
  const bool enough = cpus.own && cpus.set.size() >= all;
  // A rank bound to one CPU computes where its connections and its scheduler run too: decode at half the speed on two CPUs.
  const bool apart = enough && (!node.cpu_set.empty() || cpus.set.size() >= 2 * all);
  const std::size_t threads = std::max<std::size_t>(1, threads_of(node, machine, cpus) / all);
  for (std::size_t slot = 0; slot < replicas; ++slot) {
    ReplicaSlot places;
    for (std::size_t rank = 0; rank < ranks; ++rank) {
      const std::size_t device = slot * ranks + rank;
      RankPlace place{device, {}, static_cast<std::int32_t>(threads)};
      if (apart) place.cpus = part_of(cpus.set, device, all);
      else if (!node.cpu_set.empty()) place.cpus = cpus.set;
      places.ranks.push_back(std::move(place));
    }
    plan.slots.push_back(std::move(places));
  }
  if (enough) return;
  plan.cpu_sharers = static_cast<int>(all) * (node.cpu_set.empty() ? std::max(1, machine.nodes) : 1);
}

}  // namespace

Expected<NodePlan> plan_node(const config::NodeSpec& node, const ShardedModel& model, const ReplicaWishes& wishes, StepSpeed speed,
                             const NodeMachine& machine) {
  const std::size_t ranks = model.shards.size();
  if (Status status = check_devices(node, ranks); !status.ok()) return fail(named(node, status));
  const auto cpus = cpus_of(node, machine);
  if (!cpus) return fail(named(node, cpus.error()));
  const std::size_t most = std::min(node.devices.size() / ranks, static_cast<std::size_t>(std::max(1, wishes.data_parallel)));
  auto room = find_room(node, model, wishes, speed, machine, most);
  if (!room) return fail(named(node, room.error()));
  NodePlan plan;
  plan.replica = std::move(room->plan);
  plan.notes = std::exchange(plan.replica.notes, {});
  if (room->replicas < most)
    plan.notes.push_back("memory for " + counted(room->replicas, "replica") + ", devices for " + std::to_string(most));
  add_slots(node, machine, *cpus, room->replicas, ranks, plan);
  return plan;
}

int nodes_on_machine_of(const config::ClusterSpec& spec, const config::NodeSpec& node) {
  const auto machine = [](const config::NodeSpec& one) { return config::plain_host(config::host_of(one.address)); };
  const auto beside = std::ranges::count_if(spec.nodes, [&](const config::NodeSpec& other) { return machine(other) == machine(node); });
  return std::max(1, static_cast<int>(beside));
}

}  // namespace herd::placement
