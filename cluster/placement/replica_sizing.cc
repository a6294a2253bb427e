#include "cluster/placement/replica_sizing.h"

#include <algorithm>
#include <cstdio>
#include <limits>

namespace herd::placement {
namespace {

// A config may claim any length; past this the caller must ask for it (the RoPE table grows with it).
constexpr std::int64_t kDefaultModelLenMax = std::int64_t{1} << 18;
constexpr double kShareOfFreeMemory = 0.5;  // when neither --num-blocks nor --kv-cache-memory says otherwise
// A step that computes slower than this hangs.
constexpr double slowest_flops(StepSpeed speed) {
  switch (speed) {
    case StepSpeed::kCpu: return 2e9;
    case StepSpeed::kCpuReference: return 1e8;
    case StepSpeed::kGpuTensorCores: return 2e12;   // a hundredth of what an A100 can
    case StepSpeed::kGpuOrdinaryCores: return 5e10;
  }
  return 1e8;
}
constexpr double kStepSecondsLeast = 120.0;

std::string number(std::int64_t value) { return std::to_string(value); }

// At least 1, or why not.
Expected<std::int64_t> blocks_from_memory(const KvWishes& wishes, std::int64_t blocks_per_sequence) {
  const auto share = static_cast<std::int64_t>(kShareOfFreeMemory * static_cast<double>(wishes.free_bytes));
  const std::int64_t budget = wishes.kv_cache_memory > 0 ? wishes.kv_cache_memory : share / wishes.replicas;
  const std::int64_t blocks = std::min(budget / wishes.block_bytes, blocks_per_sequence * wishes.max_num_seqs);
  if (blocks >= 1) return blocks;
  return fail(missing("KV cache: one block of " + number(wishes.block_size) + " tokens takes " +
                      gigabytes(static_cast<double>(wishes.block_bytes)) + ", there are " +
                      gigabytes(static_cast<double>(budget)) +
                      "; raise " + wishes.memory_flags + ", or take a smaller model or --block-size"));
}

// What was asked for is promised to requests: it has to be there.
Status check_promise(const KvWishes& wishes, std::int64_t blocks) {
  const double bytes = static_cast<double>(blocks) * static_cast<double>(wishes.block_bytes) * wishes.replicas;
  if (wishes.free_bytes == 0 || bytes <= static_cast<double>(wishes.free_bytes)) return {};
  return missing("KV cache: " + gigabytes(bytes) + " are asked for, " + gigabytes(static_cast<double>(wishes.free_bytes)) +
                 " of memory are free; lower " + wishes.memory_flags +
                 ", free memory or raise its limit (a container's, ulimit -v)");
}

}  // namespace

std::string gigabytes(double bytes) {
  char text[32];
  if (bytes < 1e6) return number(static_cast<std::int64_t>(bytes)) + " bytes";
  std::snprintf(text, sizeof text, bytes >= 1e8 ? "%.2f GB" : "%.4f GB", bytes / 1e9);
  return text;
}

std::string counted(std::size_t count, const char* one) { return std::to_string(count) + " " + one + (count == 1 ? "" : "s"); }

Status check_block_size(std::int32_t block_size) {
  if (block_size >= 16 && block_size % 16 == 0 && 512 % block_size == 0) return {};
  return usage_error("--block-size must be 16, 32, 64, 128, 256 or 512, not " + number(block_size));
}

std::int64_t longest_model_len(const KvWishes& wishes) {
  return wishes.max_model_len > 0 ? wishes.max_model_len : std::min(wishes.model_len_max, kDefaultModelLenMax);
}

Expected<KvSizes> size_kv(const KvWishes& wishes) {
  const bool chosen = wishes.max_model_len > 0;
  if (chosen && wishes.max_model_len > wishes.model_len_max)
    return fail(usage_error("--max-model-len " + number(wishes.max_model_len) + " is more than the model's maximum, " +
                            number(wishes.model_len_max)));
  std::int64_t length = longest_model_len(wishes);
  const std::int64_t blocks_per_sequence = (length + wishes.block_size - 1) / wishes.block_size;
  std::int64_t blocks = wishes.num_blocks;
  if (blocks == 0) {
    const auto fitting = blocks_from_memory(wishes, blocks_per_sequence);
    if (!fitting) return fail(fitting.error());
    blocks = *fitting;
  }
  if (Status status = check_promise(wishes, blocks); !status.ok()) return fail(std::move(status));
  const auto bytes_of = [&](std::int64_t count) { return gigabytes(static_cast<double>(count * wishes.block_bytes)); };
  const std::int64_t tokens = blocks * wishes.block_size;
  if (tokens < length) {
    if (chosen)
      return fail(missing("KV cache: room for " + number(tokens) + " tokens (" + number(blocks) + " blocks of " +
                          number(wishes.block_size) + ", " + bytes_of(blocks) + "), --max-model-len " +
                          number(length) + " needs " + bytes_of(blocks_per_sequence) +
                          "; lower --max-model-len or raise " + wishes.memory_flags));
    length = tokens;
  }
  KvSizes sizes{length, blocks, {}};
  if (!chosen && length < wishes.model_len_max)
    sizes.notes.push_back("max length lowered from " + number(wishes.model_len_max) + " to " + number(length) +
                          " tokens" +
                          (length < kDefaultModelLenMax ? " to fit the KV cache" : "; more with --max-model-len"));
  sizes.notes.push_back("KV cache: " + number(tokens) + " tokens, " + number(tokens / length) + " sequences of " +
                        number(length) + " (" + bytes_of(blocks) + ", up to)");
  return sizes;
}

std::int64_t kv_bytes_on_gpu(const GpuMemory& gpu, double utilization) {
  const auto allowed = static_cast<std::int64_t>(utilization * static_cast<double>(gpu.total_bytes));
  return gpu.free_bytes - (gpu.total_bytes - allowed);
}

Expected<std::int64_t> kv_blocks_on_gpus(const std::vector<GpuMemory>& gpus, double utilization) {
  std::int64_t blocks = std::numeric_limits<std::int64_t>::max();
  const GpuMemory* smallest = nullptr;
  for (const GpuMemory& gpu : gpus) {
    const std::int64_t here = std::max<std::int64_t>(0, kv_bytes_on_gpu(gpu, utilization)) / gpu.block_bytes;
    if (here >= blocks) continue;
    blocks = here;
    smallest = &gpu;
  }
  if (blocks >= 1) return blocks;
  const auto size = [](std::int64_t bytes) { return gigabytes(static_cast<double>(bytes)); };
  const std::int64_t others =
      smallest->total_bytes - smallest->free_bytes - smallest->weight_bytes - smallest->step_bytes;
  char share[32];
  std::snprintf(share, sizeof share, "%g", utilization);
  return fail(missing(smallest->name + ": no room for a KV cache (a block takes " + size(smallest->block_bytes) +
                      "). Of its " + size(smallest->total_bytes) + " weights took " + size(smallest->weight_bytes) +
                      ", step buffers " + size(smallest->step_bytes) + ", CUDA and other programs " +
                      size(std::max<std::int64_t>(0, others)) + "; --gpu-memory-utilization " + share + " allows " +
                      size(static_cast<std::int64_t>(utilization * static_cast<double>(smallest->total_bytes))) +
                      " in all. Raise it, lower --max-num-batched-tokens or --max-num-seqs, spread the model with "
                      "--tensor-parallel-size, or take a smaller one"));
}

std::chrono::milliseconds step_timeout(const model::LlamaConfig& config, std::int64_t rows, StepSpeed speed) {
  const double hidden = config.hidden_size;
  const double layer = hidden * (2.0 * config.query_size() + 2.0 * config.kv_size() + 3.0 * config.intermediate_size);
  const double flops = 2.0 * static_cast<double>(rows) * (config.layers * layer + hidden * config.vocab_size);
  const double seconds = flops / slowest_flops(speed);
  return std::chrono::milliseconds(static_cast<std::int64_t>(std::max(kStepSecondsLeast, seconds) * 1e3));
}

}  // namespace herd::placement
