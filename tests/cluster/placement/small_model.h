#pragma once
// A small model for tests of placement, cut for some ranks.

#include <cstdint>

#include "cluster/placement/replica_plan.h"

namespace herd::placement {

inline constexpr std::int64_t kMegabyte = 1'000'000;

// 2 layers of 8 query heads and 4 KV heads of 32: in bf16 a token takes 2 * 2 * 4 * 32 * 2 bytes = 1 KiB.
inline model::LlamaConfig small_model() {
  model::LlamaConfig config;
  config.hidden_size = 256;
  config.layers = 2;
  config.heads = 8;
  config.kv_heads = 4;
  config.head_dim = 32;
  config.intermediate_size = 512;
  config.vocab_size = 1024;
  config.max_position_embeddings = 4096;
  return config;
}

inline ShardedModel sharded(int ranks, WeightFormat weights = WeightFormat::kBF16) {
  return {small_model(), {weights}, plan_shards(small_model(), ranks).value()};
}

}  // namespace herd::placement
