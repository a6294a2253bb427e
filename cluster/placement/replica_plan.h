#pragma once
// ReplicaPlan: what the replicas of a model will be, decided before any of them exists: how the model is cut over ranks and
// what it computes in, KV blocks and the longest sequence, the scheduler's limits, how long a step may take. Pure: wishes
// and what devices report come in, values and what to tell a person come out.
//
//   plan_shards → choose_encoding → (ranks load weights) → plan_trial → (devices report) → plan_replicas

#include <cstdint>
#include <string>
#include <vector>

#include "cluster/placement/rank_spec.h"
#include "cluster/placement/replica_sizing.h"
#include "kernels/status.h"
#include "runtime/model/llama_config.h"
#include "runtime/model/encoding.h"
#include "runtime/model/rank_memory.h"
#include "runtime/model/shard_plan.h"
#include "runtime/scheduler/scheduler.h"

namespace herd::placement {

// What was asked for. A 0 means: decide.
struct ReplicaWishes {
  int data_parallel = 1;               // replicas, which share the machine's memory
  std::int64_t max_model_len = 0;      // prompt + emitted tokens; 0: the model's maximum, lowered to fit
  std::int32_t block_size = 16;        // tokens, see check_block_size()
  std::int64_t num_blocks = 0;         // of one replica
  std::int64_t kv_cache_memory = 0;    // bytes of one replica
  scheduler::SchedulerConfig scheduler;  // its block_size, num_blocks and max_model_len are the plan's
  bool hash_logits = false;            // ranks hash the rows of logits they sample (tests of P2)
};

// A model cut over the ranks of one replica.
struct ShardedModel {
  model::LlamaConfig config;
  model::Encoding encoding;
  std::vector<model::ShardPlan> shards;  // a rank each

  // Of one KV block of `block_size` tokens, all layers.
  [[nodiscard]] std::int64_t block_bytes(std::size_t rank, std::int32_t block_size) const;
  [[nodiscard]] std::int64_t block_bytes_of_all_ranks(std::int32_t block_size) const;
};

struct ReplicaPlan {
  RankShape rank;
  scheduler::SchedulerConfig scheduler;  // complete, not validated
  std::int64_t kv_bytes_per_token = 0;   // all ranks
  std::vector<std::string> notes;        // a line each, for a person
};

// What the devices report; read when no wish decides the KV memory.
struct DeviceMemory {
  std::int64_t free_bytes = 0;    // of a machine that the ranks of all replicas share
  std::vector<GpuMemory> gpus;    // or: a rank's each, of all replicas
  double gpu_utilization = 0.9;   // of a GPU's memory, that may be taken; in (0, 1]
};

// One a rank. kUsage when `ranks` is not 1, 2, 4 or 8, or the model cannot be cut so.
[[nodiscard]] Expected<std::vector<model::ShardPlan>> plan_shards(const model::LlamaConfig& config, int ranks);

struct EncodingChoice {
  model::Encoding encoding;
  std::vector<std::string> notes;
};
struct EncodingWish {
  std::string own;       // the checkpoint's, see Checkpoint::default_encoding()
  bool is_gguf = false;  // its blocks are not made anew
  std::string wanted;    // --quantization-encoding; empty: the own one
  bool on_gpus = false;
};
// Which format, not yet those of single matrices (runtime/model/encoding.h). kUsage when it cannot be computed in.
[[nodiscard]] Expected<EncodingChoice> choose_encoding(const EncodingWish& wish);

// plan_shards() and choose_encoding() in one.
struct CutModel {
  ShardedModel model;
  std::vector<std::string> notes;
};
[[nodiscard]] Expected<CutModel> cut_model(const model::LlamaConfig& config, int ranks, const EncodingWish& wish);

// Whether the devices have to report at all.
[[nodiscard]] bool memory_decides(const ReplicaWishes& wishes);

// Ranks as they will be, but with KV for one long chunk only: GPUs are measured with it. kUsage: the block size.
[[nodiscard]] Expected<RankShape> plan_trial(const ShardedModel& model, const ReplicaWishes& wishes, StepSpeed speed);

// What each rank takes of a CPU's memory beside KV blocks, however many these will be. kUsage: the block size.
[[nodiscard]] Expected<std::vector<model::RankMemory>> rank_memories(const ShardedModel& model, const ReplicaWishes& wishes);

// kUsage and kMissing as size_kv(), kMissing as kv_blocks_on_gpus().
[[nodiscard]] Expected<ReplicaPlan> plan_replicas(const ShardedModel& model, const ReplicaWishes& wishes,
                                                  const DeviceMemory& memory, StepSpeed speed);

}  // namespace herd::placement
