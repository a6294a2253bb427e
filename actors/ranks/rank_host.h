#pragma once
// RankHost: what hosts ranks of a model in this process: their devices, their weights, the groups they meet in, and their
// executors. What differs between CPUs and GPUs ends behind it. It takes specs and gives reports, values both, so that
// what decides (cluster/placement) may be another process.
//
//   made → load → (measure) → open → make_rank, on each rank's own thread → abort, any thread, any time after open

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "cluster/placement/replica_plan.h"
#include "kernels/gpu_backend.h"
#include "kernels/status.h"
#include "runtime/ids.h"
#include "runtime/model/llama_weights.h"
#include "runtime/model/weight_source.h"
#include "runtime/shard/rank_executor.h"

namespace herd::actors {

// How many ranks a host has: all of `replicas` replicas. Numbered through the replicas: a rank's place is
// replica * ranks + rank.
struct RankCounts {
  int replicas = 1;
  int ranks = 1;  // of one replica
};

// Called with (bytes done, bytes in all) on the loading thread.
using LoadProgress = std::function<void(std::size_t, std::size_t)>;

// Of one replica.
struct WeightSizes {
  std::size_t bytes = 0;
  std::size_t read_per_token = 0;  // by one decode step, all ranks
};

// What ranks compute on.
struct HostFacts {
  std::vector<std::string> devices;  // a place each
  std::vector<GpuInfo> gpus;         // likewise; empty on CPUs
  int threads_per_rank = 1;          // that compute
};

class RankHost {
 public:
  virtual ~RankHost() = default;

  [[nodiscard]] virtual placement::StepSpeed speed(const model::Encoding& encoding) const = 0;
  // Reads the weights of every rank. kMissing: memory; else the source's error.
  [[nodiscard]] virtual Status load(const placement::ShardedModel& model, const model::WeightSource& source,
                                    const LoadProgress& progress, model::LoadReport& report) = 0;

  // After load:
  [[nodiscard]] virtual WeightSizes weights() const = 0;
  // Device::numerics_class(), the same for all ranks.
  [[nodiscard]] virtual std::string numerics_class() const = 0;
  // The memory there is for KV beside ranks made as `trial` says, which are gone when it returns.
  [[nodiscard]] virtual Expected<placement::DeviceMemory> measure(const placement::RankSpec& trial) = 0;
  // Opens what the ranks meet in and share. Once.
  [[nodiscard]] virtual Status open(const placement::RankSpec& spec) = 0;

  // After open:
  [[nodiscard]] virtual HostFacts facts() const = 0;
  // Who holds how much memory, a line each, for a person.
  [[nodiscard]] virtual std::vector<std::string> memory_notes() const = 0;
  // A rank, prepared. Called once for each rank, on the thread that drives and destroys it; the ranks of a replica are
  // made at the same time, each waits for the others. The executor must not outlive the host.
  [[nodiscard]] virtual Expected<std::unique_ptr<shard::RankExecutor>> make_rank(ReplicaId replica,
                                                                                 std::uint32_t rank) = 0;
  // Ranks of this replica that wait for others return, now and later.
  virtual void abort(ReplicaId replica, const Status& why) = 0;
};

// Sizes of the weights of one replica, a rank each. `embedding_shared`: all ranks read the first one's embedding.
[[nodiscard]] WeightSizes sizes_of(std::span<const std::shared_ptr<const model::LlamaWeights>> replica,
                                   bool embedding_shared);

}  // namespace herd::actors
