#pragma once
// What a rank will take of a CPU's memory, before it exists: its weights, its step buffers, its RoPE table. Pure: from the model's
// config and the rank's shard, as load_weights() (llama_weights.h), Llama::make() (llama.h) and a RopeTable (rope_table.h) will
// allocate. KV blocks are counted elsewhere, the scratch of kernels, which is small, nowhere.

#include <cstdint>

#include "runtime/model/encoding.h"
#include "runtime/model/llama_config.h"
#include "runtime/model/shard_plan.h"

namespace herd::model {

struct RankMemory {
  std::int64_t weights = 0;       // bytes; the whole embedding is on every rank
  std::int64_t step_buffers = 0;
  std::int64_t rope_table = 0;
  [[nodiscard]] std::int64_t total() const { return weights + step_buffers + rope_table; }
  bool operator==(const RankMemory&) const = default;
};

// The most that a step may ask for.
struct StepLimits {
  std::int64_t rows_max = 0;
  std::int64_t logit_rows_max = 0;
  std::int64_t positions_max = 0;  // of a sequence
};

[[nodiscard]] RankMemory rank_memory(const LlamaConfig& config, const ShardPlan& plan, const Encoding& encoding, const StepLimits& limits);

}  // namespace herd::model
