#pragma once
// How many KV blocks a replica gets, how long its sequences may be and how long one of its steps may take. Pure: the
// machine's (or the GPUs') free memory and the model's sizes come in, numbers and what to tell a person come out.

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "kernels/status.h"
#include "runtime/model/llama_config.h"

namespace herd::placement {

// What was asked for and what there is. A 0 in a wish means: decide.
struct KvWishes {
  std::int32_t block_size = 16;        // tokens, a power of two in [16, 512]
  std::int64_t block_bytes = 0;        // of one block on all ranks of the replica, > 0
  std::int64_t model_len_max = 0;      // what the model was made for
  std::int64_t max_model_len = 0;      // wish: prompt + emitted tokens of one sequence
  std::int64_t num_blocks = 0;         // wish
  std::int64_t kv_cache_memory = 0;    // wish: bytes of the replica
  std::int64_t free_bytes = 0;         // of this machine, for all replicas; 0: not known, only where a wish decides
  int replicas = 1;                    // that share them
  std::uint32_t max_num_seqs = 64;     // more blocks than so many full sequences need are not made
  std::string memory_flags = "--kv-cache-memory or --num-blocks";  // to raise where memory is short
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

// The longest sequence that size_kv may come to decide on.
[[nodiscard]] std::int64_t longest_model_len(const KvWishes& wishes);

// One rank's GPU, measured while weights and step buffers are in place.
struct GpuMemory {
  std::string name;                    // "gpu-0 NVIDIA H200"
  std::int64_t total_bytes = 0;
  std::int64_t free_bytes = 0;         // beside weights, step buffers and other programs
  std::int64_t weight_bytes = 0;
  std::int64_t step_bytes = 0;         // buffers, scratch, recorded steps
  std::int64_t block_bytes = 0;        // of a KV block on this rank, > 0
};

// What is left for KV when at most `utilization` (in (0, 1]) of the GPU's whole memory may be taken, by whomever: all
// that is free but the share to be kept. Negative when more is taken already.
[[nodiscard]] std::int64_t kv_bytes_on_gpu(const GpuMemory& gpu, double utilization);

// The KV blocks that every rank has room for, at least 1: the smallest GPU decides. kMissing names it, what took its
// memory and what to change.
[[nodiscard]] Expected<std::int64_t> kv_blocks_on_gpus(const std::vector<GpuMemory>& gpus, double utilization);

// What computes a step, by how slow it may be and still be honest.
enum class StepSpeed {
  kCpu,               // a loaded machine, one thread a rank
  kCpuReference,      // the slow kernels without vectors
  kGpuTensorCores,
  kGpuOrdinaryCores,  // float32 and float16: one order of addition, an output a thread
};

// Far above any honest step of `rows` rows: its multiply-adds at a pessimistic rate, at least two minutes.
[[nodiscard]] std::chrono::milliseconds step_timeout(const model::LlamaConfig& config, std::int64_t rows,
                                                     StepSpeed speed);

// "1.25 GB", small ones with more digits, below a megabyte "4096 bytes".
[[nodiscard]] std::string gigabytes(double bytes);

// "1 rank", "2 ranks".
[[nodiscard]] std::string counted(std::size_t count, const char* one);

}  // namespace herd::placement
