#pragma once
// Engine: an opened model loaded and started as an in-process cluster, from one struct of options. What every command
// that computes stands on; it knows token ids, no text. Glue only: sizes and choices are made here once and said through
// `note`.

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "actors/gpu_ranks.h"
#include "actors/standalone_cluster.h"
#include "kernels/device.h"
#include "runtime/checkpoint/open_model.h"
#include "runtime/model/llama_weights.h"
#include "runtime/model/rope_table.h"

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
  gateway::GatewayConfig gateway = StandaloneConfig::gateway_of_one_caller();
  // Told of every step (actors/messages/rank_factory.h): made when the facts are known, before a step can run. May be empty.
  std::function<OnStep(const EngineFacts&)> make_on_step;
  // Every rank's executor passes through it when it is made, on the rank's own thread; may be empty.
  std::function<std::unique_ptr<shard::RankExecutor>(std::unique_ptr<shard::RankExecutor>)> wrap_rank;
  // Where ranks compute that are not on GPUs; empty: make_cpu_device. Called on each rank's own thread.
  std::function<Expected<std::unique_ptr<Device>>(const CpuDeviceConfig&)> make_device;
  // What a person should know, a line each; may be empty. Warnings are not silenced with the notes.
  std::function<void(const std::string&)> note;
  std::function<void(const std::string&)> warn;
  std::function<void(std::size_t, std::size_t)> load_progress;  // bytes done, bytes in all; may be empty
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
  // 32 hexadecimal digits: two processes with the same ones give the same bytes for the same request
  // (runtime/shard/numerics_fingerprint.h).
  [[nodiscard]] const std::string& fingerprint() const { return fingerprint_; }
  [[nodiscard]] StandaloneCluster& cluster() { return *cluster_; }

 private:
  Engine() = default;
  Status check_threads(const EngineOptions& options) const;
  Status choose_encoding(const EngineOptions& options);
  Status load(const EngineOptions& options);
  Status size_kv(const EngineOptions& options);
  Status name_numerics(const EngineOptions& options);
  Status start_cluster(const EngineOptions& options);
  [[nodiscard]] shard::ShardConfig shard_config(const EngineOptions& options, std::int64_t blocks) const;
  [[nodiscard]] std::chrono::milliseconds step_timeout(const EngineOptions& options) const;
  [[nodiscard]] std::int64_t block_bytes(const EngineOptions& options, std::size_t rank) const;
  Status place_on_cpus(const EngineOptions& options, StandaloneConfig& cluster);
  void warn_of(const model::LoadReport& report, const EngineOptions& options) const;

  // engine_gpu.cc
  Status open_gpus(const EngineOptions& options);
  Status load_on_gpus(const EngineOptions& options, const model::WeightSource& source);
  Expected<std::int64_t> measure_kv_memory(const EngineOptions& options, std::int64_t longest);  // bytes of a replica
  void note_gpus(const EngineOptions& options) const;
  [[nodiscard]] MakeGpuRank gpu_rank(const shard::ShardConfig& config,
                                     std::shared_ptr<const model::RopeTable> rope) const;
  Status place_on_gpus(const EngineOptions& options, StandaloneConfig& cluster);

  model::OpenedModel model_;
  std::string numerics_class_;
  std::string fingerprint_;
  EngineFacts facts_;
  std::vector<model::ShardPlan> plans_;
  std::shared_ptr<GpuRanks> gpus_;                                   // null on CPUs; outlives the weights
  std::vector<std::int64_t> gpu_step_bytes_;                         // a place each, where it was measured
  std::vector<std::shared_ptr<const model::LlamaWeights>> weights_;  // a rank each, shared by replicas; GPUs: a place
  std::shared_ptr<const model::RopeTable> rope_;
  std::unique_ptr<StandaloneCluster> cluster_;
};

// Threads that a process of these options runs beside the main one, at the most.
[[nodiscard]] int threads_needed(const EngineOptions& options);

}  // namespace herd::actors
