#pragma once
// RankSite: what the ranks of this process share: the weights they read once, what is known of their devices, the groups they
// meet in. It makes ranks (rank_host.h). What differs between CPUs and GPUs ends behind it. It takes specs and gives reports,
// values both, so that what decides (cluster/placement) may be another process.
//
//   made → load → (measure) → open → ranks are made, form groups, end and are made again, on threads of their own

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "actors/ranks/rank_ground.h"
#include "actors/ranks/rank_groups.h"
#include "cluster/placement/rank_spec.h"
#include "cluster/placement/replica_plan.h"
#include "kernels/gpu_backend.h"
#include "kernels/status.h"
#include "runtime/ids.h"
#include "runtime/model/llama_weights.h"
#include "runtime/model/rope_table.h"
#include "runtime/model/weight_source.h"
#include "runtime/shard/rank_executor.h"

namespace herd::actors {

// How many ranks a site has: all of `replicas` replicas. Numbered through the replicas: a rank's place is
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
struct SiteFacts {
  std::vector<std::string> devices;  // a place each
  std::vector<GpuInfo> gpus;         // likewise; empty on CPUs
  int threads_per_rank = 1;          // that compute
};

// Decorators, for tests and for the wire: a rank's executor when it is made, its member of a group when it joins. On the rank's
// own thread.
using WrapRank =
    std::function<std::unique_ptr<shard::RankExecutor>(std::unique_ptr<shard::RankExecutor>, ReplicaId, std::uint32_t rank)>;
using WrapGroup = std::function<std::unique_ptr<Collective>(std::unique_ptr<Collective>, ReplicaId, std::uint32_t rank)>;
struct RankHooks {
  WrapRank wrap_rank;    // may be empty
  WrapGroup wrap_group;  // may be empty
  // What a person should know of a rank's memory, on any thread; may be empty.
  std::function<void(const std::string&)> warn;
  bool commit_memory = false;  // see EngineOptions
};

class RankHost;

// Made as a std::shared_ptr: its ranks keep it.
class RankSite : public RankGround, public std::enable_shared_from_this<RankSite> {
 public:
  [[nodiscard]] virtual placement::StepSpeed speed(const model::Encoding& encoding) const = 0;
  // Reads the weights of every rank. `source` is kept: a rank may have to read its own again. kMissing: memory; else the source's
  // error.
  [[nodiscard]] Status load(const placement::ShardedModel& model, std::shared_ptr<const model::WeightSource> source,
                            const LoadProgress& progress, model::LoadReport& report);

  // After load:
  [[nodiscard]] virtual WeightSizes weights() const = 0;
  // What the ranks of one replica read in a decode step (LlamaWeights::read_per_token), a rank each; empty where that is not
  // memory of this process. It lives as long as the site, unless a rank reads its weights again.
  [[nodiscard]] virtual std::vector<std::vector<PackedMatrix>> read_per_token() const { return {}; }
  // Device::numerics_class(), the same for all ranks.
  [[nodiscard]] virtual std::string numerics_class() const = 0;
  // The memory there is for KV beside ranks made as `trial` says, which are gone when it returns.
  [[nodiscard]] virtual Expected<placement::DeviceMemory> measure(const placement::RankSpec& trial) = 0;
  // Ranks are made so from here on; which one, and what it computes on, is said in its turn.
  [[nodiscard]] virtual Status open(const placement::RankSpec& spec);

  // After open:
  [[nodiscard]] virtual SiteFacts facts() const = 0;
  // Who holds how much memory, a line each, for a person.
  [[nodiscard]] virtual std::vector<std::string> memory_notes() const = 0;
  [[nodiscard]] placement::RankSpec spec_of(ReplicaId replica, std::uint32_t rank) const;
  [[nodiscard]] std::unique_ptr<RankHost> make_host(const RankStart& start);

  Expected<std::unique_ptr<Rank>> make_rank(const RankStart& start) override;
  Expected<Rendezvous> open_group(ReplicaId replica, Epoch epoch) override;
  void abort_group(ReplicaId replica, Epoch epoch, const Status& why) override;

  // What a rank takes, on its own thread:
  [[nodiscard]] const placement::ShardedModel& model() const { return model_; }
  [[nodiscard]] const std::shared_ptr<const model::RopeTable>& rope() const { return rope_; }
  [[nodiscard]] const RankHooks& hooks() const { return hooks_; }
  [[nodiscard]] virtual Expected<std::unique_ptr<Device>> make_device(const placement::RankSpec& spec,
                                                                      std::shared_ptr<ProgressWord> progress) = 0;
  // Those that load() read, or a copy that is read from the source again. A rank that is made later gets the copy.
  [[nodiscard]] virtual Expected<std::shared_ptr<const model::LlamaWeights>> weights_of(const placement::RankSpec& spec,
                                                                                        bool read_again) = 0;
  // kAborted: the group was given up.
  [[nodiscard]] virtual Expected<std::shared_ptr<Collective>> enter_group(const placement::RankSpec& spec, Epoch epoch,
                                                                          const Rendezvous& rendezvous, Device& device);

 protected:
  RankSite(RankCounts counts, RankHooks hooks) : counts_(counts), hooks_(std::move(hooks)) {}
  virtual Status load_all(const LoadProgress& progress, model::LoadReport& report) = 0;
  [[nodiscard]] virtual placement::RankDevice device_of(ReplicaId replica, std::uint32_t rank) const = 0;
  [[nodiscard]] virtual Expected<RankGroup::MakeMember> make_members(std::int64_t deadline_ms) const = 0;
  [[nodiscard]] const model::WeightSource& source() const { return *source_; }
  [[nodiscard]] RankCounts counts() const { return counts_; }
  [[nodiscard]] std::size_t place(const placement::RankSpec& spec) const {
    return static_cast<std::size_t>(spec.replica.value) * static_cast<std::size_t>(counts_.ranks) + spec.rank;
  }
  // As open() was told.
  [[nodiscard]] const placement::RankSpec& spec() const { return spec_; }

 private:
  const RankCounts counts_;
  const RankHooks hooks_;
  // Unchanged since load() and open(), read by the threads of all ranks:
  placement::ShardedModel model_;
  std::shared_ptr<const model::WeightSource> source_;
  placement::RankSpec spec_;
  std::shared_ptr<const model::RopeTable> rope_;
  RankGroups groups_;
};

// Sizes of the weights of one replica, a rank each. `embedding_shared`: all ranks read the first one's embedding.
[[nodiscard]] WeightSizes sizes_of(std::span<const std::shared_ptr<const model::LlamaWeights>> replica,
                                   bool embedding_shared);

}  // namespace herd::actors
