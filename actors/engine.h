#pragma once
// Engine: an opened model started as an in-process cluster, from one struct of options. What every command that computes
// stands on; it knows token ids, no text. Glue only: what is planned is cluster/placement's, where ranks compute is
// RankSite's; here they meet, and say through `note` what they came to.

#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <vector>

#include "actors/standalone_cluster.h"
#include "actors/ranks/cpu_rank_site.h"
#include "actors/ranks/gpu_choice.h"
#include "actors/ranks/rank_site.h"
#include "cluster/placement/replica_plan.h"
#include "runtime/checkpoint/open_model.h"

namespace herd::actors {

struct EngineFacts;

struct EngineOptions {
  model::ModelFiles model;
  std::string encoding;                    // empty: the checkpoint's own
  int tensor_parallel = 1;
  int data_parallel = 1;
  int threads = 0;                         // of all ranks together; 0: what this process may use
  int compute_nice = 0;                    // niceness of the threads that compute, [0, 19]; see kernels/device.h
  CpuIsa isa = CpuIsa::kAuto;
  GpuOptions gpu;                          // gpu.use: ranks compute there, and threads, compute_nice, isa do not count
  std::int64_t max_model_len = 0;          // 0: the model's maximum, lowered to fit the KV memory
  std::int32_t block_size = 16;
  std::int64_t num_blocks = 0;             // of one replica; 0: from the memory there is
  std::int64_t kv_cache_memory = 0;        // bytes of one replica; 0: from the memory there is
  scheduler::SchedulerConfig scheduler;    // block_size, num_blocks, max_model_len, vocab_size are filled in here
  scheduler::SchedulerProbe scheduler_probe;  // tests
  bool hash_logits = false;
  // KV memory is taken from the system once the engine serves, before requests need it (actors/ranks/kv_commit.h). A command
  // that ends by itself takes what it uses.
  bool commit_memory = false;
  gateway::GatewayConfig gateway = StandaloneConfig::gateway_of_one_caller();
  bool gateway_has_own_thread = false;     // see StandaloneConfig
  membership::RestartBudget restart_budget;  // of each replica; see StandaloneConfig, also for the next two
  replica::WatchConfig watch;
  OnNote on_note;
  // Told of every step (actors/messages/observers.h): made when the facts are known, before a step can run. May be empty.
  std::function<OnStep(const EngineFacts&)> make_on_step;
  WrapRank wrap_rank;                      // see actors/ranks/rank_site.h; may be empty, as the next
  WrapGroup wrap_group;
  MakeCpuDevice make_device;               // of ranks that are not on GPUs; empty: make_cpu_device
  // What a person should know, a line each; may be empty. Warnings are not silenced with the notes, and come from any thread.
  std::function<void(const std::string&)> note;
  std::function<void(const std::string&)> warn;
  LoadProgress load_progress;              // may be empty
  std::stop_token stop;                    // weights are not read on once it is requested: kAborted
};

// What was decided, for reports.
struct EngineFacts {
  model::Encoding encoding;
  std::int64_t max_model_len = 0;
  std::int64_t num_blocks = 0;             // of one replica
  std::size_t weights_bytes = 0;           // of one replica
  std::size_t weight_bytes_per_token = 0;  // read by one decode step, all ranks
  std::int64_t kv_bytes_per_token = 0;     // all ranks
  double load_seconds = 0.0;
  std::string device;                      // of rank 0
  std::vector<std::string> devices;        // of each rank, replica by replica
  std::vector<GpuInfo> gpus;               // likewise; empty on CPUs
  int threads_per_rank = 1;                // that compute
};

class Engine {
 public:
  // The first step, apart so that the text side can be opened before weights are loaded: opens the model's files and
  // judges by them what of the options can be. Warnings of the files are said.
  static Expected<model::OpenedModel> open(const EngineOptions& options);
  // The rest. `model` was opened with these options.
  static Expected<std::unique_ptr<Engine>> start(EngineOptions options, model::OpenedModel model);
  // Both, for callers without text.
  static Expected<std::unique_ptr<Engine>> start(EngineOptions options);

  [[nodiscard]] const model::LlamaConfig& config() const { return model_.config(); }
  [[nodiscard]] const EngineFacts& facts() const { return facts_; }
  // Two processes with the same one give the same bytes for the same request (runtime/shard/numerics_id.h). Reads every weight
  // of the model (about a second a GB), so that no start waits for it: for a thread of the caller's, beside those that compute.
  // kAborted: `stop` was requested; else the error of a file that can no longer be read.
  [[nodiscard]] Expected<std::string> numerics_id(const std::stop_token& stop = {}) const;
  // The weights themselves, for who measures how fast their memory is (kernels/bounds/weight_read.h): what the ranks of a
  // replica read in a decode step, a rank each; empty on GPUs. They live as long as the engine while no rank is made again.
  [[nodiscard]] std::vector<std::vector<PackedMatrix>> read_per_token() const { return site_->read_per_token(); }
  [[nodiscard]] StandaloneCluster& cluster() { return *cluster_; }

 private:
  Engine() = default;
  Status start_on(const EngineOptions& options);
  Expected<placement::ShardedModel> shard_model(const EngineOptions& options) const;
  Status load(const EngineOptions& options, const placement::ShardedModel& sharded);
  // Where weights were read more than once (ranks and replicas on GPUs), all readings have to agree. `ranks`: as loaded.
  Status compare_readings(std::span<const model::WeightsDigest> ranks, std::size_t ranks_of_replica);
  Expected<placement::ReplicaPlan> plan(const EngineOptions& options, const placement::ShardedModel& sharded);
  void keep_facts(const placement::ReplicaPlan& plan);
  void note_start(const EngineOptions& options) const;
  [[nodiscard]] placement::RankSpec rank_spec(const EngineOptions& options, const placement::ShardedModel& sharded,
                                              const placement::RankShape& shape) const;
  Status start_cluster(const EngineOptions& options, const placement::ReplicaPlan& plan);

  model::OpenedModel model_;
  EngineFacts facts_;
  std::optional<digest::Digest128> loaded_weights_;  // of a replica, where loading digested them
  std::shared_ptr<RankSite> site_;
  std::unique_ptr<StandaloneCluster> cluster_;  // its ranks end before their site
};

// What is planned by.
[[nodiscard]] placement::ReplicaWishes wishes_of(const EngineOptions& options);

// Threads that a process of these options runs beside the main one, at the most.
[[nodiscard]] int threads_needed(const EngineOptions& options);

}  // namespace herd::actors
