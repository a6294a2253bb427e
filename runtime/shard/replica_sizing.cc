#include "runtime/shard/replica_sizing.h"

#include <algorithm>
#include <cstdio>

namespace herd::shard {
namespace {

// A config may claim any length; past this the caller must ask for it (the RoPE table grows with it).
constexpr std::int64_t kDefaultModelLenMax = std::int64_t{1} << 18;
constexpr double kShareOfFreeMemory = 0.5;  // when neither --num-blocks nor --kv-cache-memory says otherwise
// A step that computes slower than this hangs.
constexpr double kSlowestFlops = 2e9;
constexpr double kSlowestFlopsReference = 1e8;
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
                      "; give more with --kv-cache-memory, or take a smaller model or --block-size"));
}

}  // namespace

std::string gigabytes(double bytes) {
  char text[32];
  std::snprintf(text, sizeof text, bytes >= 1e8 ? "%.2f GB" : "%.4f GB", bytes / 1e9);
  return text;
}

Status check_block_size(std::int32_t block_size) {
  if (block_size >= 16 && block_size % 16 == 0 && 512 % block_size == 0) return {};
  return usage_error("--block-size must be 16, 32, 64, 128, 256 or 512, not " + number(block_size));
}

Expected<KvSizes> size_kv(const KvWishes& wishes) {
  const bool chosen = wishes.max_model_len > 0;
  if (chosen && wishes.max_model_len > wishes.model_len_max)
    return fail(usage_error("--max-model-len " + number(wishes.max_model_len) + " is more than the model's maximum, " +
                            number(wishes.model_len_max)));
  std::int64_t length = chosen ? wishes.max_model_len : std::min(wishes.model_len_max, kDefaultModelLenMax);
  const std::int64_t blocks_per_sequence = (length + wishes.block_size - 1) / wishes.block_size;
  std::int64_t blocks = wishes.num_blocks;
  if (blocks == 0) {
    const auto fitting = blocks_from_memory(wishes, blocks_per_sequence);
    if (!fitting) return fail(fitting.error());
    blocks = *fitting;
  }
  const auto bytes_of = [&](std::int64_t count) { return gigabytes(static_cast<double>(count * wishes.block_bytes)); };
  const std::int64_t tokens = blocks * wishes.block_size;
  if (tokens < length) {
    if (chosen)
      return fail(missing("KV cache: room for " + number(tokens) + " tokens (" + number(blocks) + " blocks of " +
                          number(wishes.block_size) + ", " + bytes_of(blocks) + "), --max-model-len " +
                          number(length) + " needs " + bytes_of(blocks_per_sequence) +
                          "; lower --max-model-len or raise --kv-cache-memory or --num-blocks"));
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

std::chrono::milliseconds step_timeout(const model::LlamaConfig& config, std::int64_t rows, bool reference) {
  const double hidden = config.hidden_size;
  const double layer = hidden * (2.0 * config.query_size() + 2.0 * config.kv_size() + 3.0 * config.intermediate_size);
  const double flops = 2.0 * static_cast<double>(rows) * (config.layers * layer + hidden * config.vocab_size);
  const double seconds = flops / (reference ? kSlowestFlopsReference : kSlowestFlops);
  return std::chrono::milliseconds(static_cast<std::int64_t>(std::max(kStepSecondsLeast, seconds) * 1e3));
}

}  // namespace herd::shard
