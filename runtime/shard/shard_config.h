#pragma once
// What one rank of a replica computes, and the most of it that a step may ask for.

#include <cstdint>

#include "runtime/model/llama_config.h"
#include "runtime/model/llama_weights.h"
#include "runtime/model/shard_plan.h"

namespace herd::shard {

struct ShardConfig {
  model::LlamaConfig model;
  model::Encoding encoding;
  model::ShardPlan plan;
  std::int32_t block_size = 16;
  std::int64_t blocks = 0;            // in the KV pool
  std::int64_t rows_max = 512;        // max_num_batched_tokens
  std::int64_t sequences_max = 0;     // a step has so many at most (max_num_seqs); 0: rows_max
  std::int64_t logit_rows_max = 64;   // sampled rows of a step, and rows of logits handed out at once
  bool hash_logits = false;           // SampledToken.logits_hash (tests of P2)
};

}  // namespace herd::shard
