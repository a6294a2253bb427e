#pragma once
// How many KV blocks a replica gets, how long its sequences may be and how long one of its steps may take. Pure: the
// machine's free memory and the model's sizes come in, numbers and what to tell a person come out.

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "kernels/status.h"
#include "runtime/model/llama_config.h"

namespace herd::shard {

// What was asked for and what there is. A 0 in a wish means: decide.
struct KvWishes {
  std::int32_t block_size = 16;        // tokens, a power of two in [16, 512]
  std::int64_t block_bytes = 0;        // of one block on all ranks of the replica, > 0
  std::int64_t model_len_max = 0;      // what the model was made for
  std::int64_t max_model_len = 0;      // wish: prompt + emitted tokens of one sequence
  std::int64_t num_blocks = 0;         // wish
  std::int64_t kv_cache_memory = 0;    // wish: bytes of the replica
  std::int64_t free_bytes = 0;         // of this machine; read when neither num_blocks nor kv_cache_memory is given
  int replicas = 1;                    // that share them
  std::uint32_t max_num_seqs = 64;     // more blocks than so many full sequences need are not made
};

struct KvSizes {
  std::int64_t max_model_len = 0;
  std::int64_t num_blocks = 0;
  std::vector<std::string> notes;      // a line each, for a person
};

// kUsage when --block-size is none; the other functions here want a valid one.
[[nodiscard]] Status check_block_size(std::int32_t block_size);

// A wish is met or refused, never bent: kUsage beyond the model, kMissing when the memory is short (the message says
// what is there and what to change). A length that was not asked for is lowered to fit, with a note.
[[nodiscard]] Expected<KvSizes> size_kv(const KvWishes& wishes);

// Far above any honest step of `rows` rows: its multiply-adds at a pessimistic rate (a loaded machine, one thread a
// rank), at least two minutes. `reference`: the slow kernels without vectors.
[[nodiscard]] std::chrono::milliseconds step_timeout(const model::LlamaConfig& config, std::int64_t rows,
                                                     bool reference);

// "1.25 GB", small ones with more digits.
[[nodiscard]] std::string gigabytes(double bytes);

}  // namespace herd::shard
