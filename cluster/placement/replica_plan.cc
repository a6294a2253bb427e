#include "cluster/placement/replica_plan.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "kernels/tensor_view.h"
#include "runtime/checkpoint/quantization_mixture.h"

namespace herd::placement {
namespace {

KvWishes kv_wishes(const ShardedModel& model, const ReplicaWishes& wishes) {
  return {.block_size = wishes.block_size,
          .block_bytes = model.block_bytes_of_all_ranks(wishes.block_size),
          .model_len_max = model.config.max_position_embeddings,
          .max_model_len = wishes.max_model_len,
          .num_blocks = wishes.num_blocks,
          .kv_cache_memory = wishes.kv_cache_memory,
          .replicas = wishes.data_parallel,
          .max_num_seqs = wishes.scheduler.max_num_seqs};
}

RankShape rank_shape(const ShardedModel& model, const ReplicaWishes& wishes, StepSpeed speed) {
  RankShape shape;
  shape.block_size = wishes.block_size;
  shape.rows_max = wishes.scheduler.max_num_batched_tokens;
  shape.sequences_max = std::min<std::int64_t>(wishes.scheduler.max_num_seqs, shape.rows_max);
  shape.step_timeout = step_timeout(model.config, shape.rows_max, speed);
  shape.hash_logits = wishes.hash_logits;
  return shape;
}

scheduler::SchedulerConfig scheduler_config(const scheduler::SchedulerConfig& wished, std::int32_t block_size,
                                            std::int32_t vocab_size, const KvSizes& sizes) {
  scheduler::SchedulerConfig config = wished;
  config.vocab_size = vocab_size;
  config.block_size = static_cast<std::uint32_t>(block_size);
  config.num_blocks = static_cast<std::uint32_t>(sizes.num_blocks);
  config.max_model_len = static_cast<std::uint32_t>(sizes.max_model_len);
  config.queue_tokens_max = std::max<std::uint64_t>(config.queue_tokens_max, config.max_model_len);
  return config;
}

}  // namespace

std::int64_t ShardedModel::block_bytes(std::size_t rank, std::int32_t block_size) const {
  const KvLayout layout{encoding.activations(), block_size, shards[rank].kv_heads.size(), config.head_dim};
  return layout.bytes_per_block() * config.layers;
}

std::int64_t ShardedModel::block_bytes_of_all_ranks(std::int32_t block_size) const {
  std::int64_t bytes = 0;
  for (std::size_t rank = 0; rank < shards.size(); ++rank) bytes += block_bytes(rank, block_size);
  return bytes;
}

Expected<std::vector<model::ShardPlan>> plan_shards(const model::LlamaConfig& config, int ranks) {
  if (ranks < 1)
    return fail(usage_error("--tensor-parallel-size must be 1, 2, 4 or 8, not " + std::to_string(ranks)));
  std::vector<model::ShardPlan> shards;
  for (int rank = 0; rank < ranks; ++rank) {
    auto shard = model::plan_shard(config, ranks, rank);
    if (!shard) return fail(shard.error());
    shards.push_back(std::move(*shard));
  }
  return shards;
}

namespace {

std::optional<WeightFormat> format_named(const std::string& name) {
  for (const WeightFormat format : kAllFormats)
    if (name == format_name(format)) return format;
  return std::nullopt;
}

// Whether a checkpoint in `own` can be computed in `wanted`, another one.
Status check_other_encoding(const EncodingWish& wish, std::optional<WeightFormat> wanted) {
  const std::string flag = "--quantization-encoding " + wish.wanted + ": ";
  if (wanted == WeightFormat::kBF16 || wanted == WeightFormat::kF32) return {};
  if (wish.is_gguf) {
    return usage_error(flag + "a GGUF file is computed in its own encoding (this one in " + wish.own +
                       "), bfloat16 or float32; for another one the file has to be converted (herd convert " +
                       "FILE OUT.gguf --quantization-encoding " + wish.wanted + ")");
  }
  if (wanted == WeightFormat::kF16 || (wanted && model::is_quantized_to(*wanted))) return {};
  return usage_error(flag + "weights in " + wish.own + " are turned into float32, float16, bfloat16, q8_0, q6_k, q4_0 or q4_k; other " +
                     "encodings come as a GGUF file that is in them");
}

// How many times the memory of `format` bf16 takes: "3.6".
std::string widening(WeightFormat format) {
  const std::int64_t tenths = 10 * packed_chunk_bytes(WeightFormat::kBF16) / packed_chunk_bytes(format);
  return std::to_string(tenths / 10) + "." + std::to_string(tenths % 10);
}

}  // namespace

Expected<EncodingChoice> choose_encoding(const EncodingWish& wish) {
  const std::string& name = wish.wanted.empty() ? wish.own : wish.wanted;
  const auto format = format_named(name);
  if (name != wish.own) {
    if (Status status = check_other_encoding(wish, format); !status.ok()) return fail(std::move(status));
  }
  if (!format) return fail(usage_error("--quantization-encoding " + name + ": is computed by no kernel yet"));
  EncodingChoice choice{{*format, nullptr}, {}};
  if (wish.on_gpus && is_quantized(*format)) {
    choice.encoding.weights = WeightFormat::kBF16;
    choice.notes.push_back("encoding: a GPU computes " + name + " weights as bfloat16, which takes " + widening(*format) +
                           " times the memory");
  } else if (wish.on_gpus && *format != WeightFormat::kBF16) {
    choice.notes.push_back("encoding: a GPU computes " + name +
                           " weights in the CPU's order, right but slow; --quantization-encoding bfloat16 is fast");
  }
  return choice;
}

Expected<CutModel> cut_model(const model::LlamaConfig& config, int ranks, const EncodingWish& wish) {
  auto shards = plan_shards(config, ranks);
  if (!shards) return fail(shards.error());
  auto choice = choose_encoding(wish);
  if (!choice) return fail(choice.error());
  const WeightFormat weights = choice->encoding.weights;
  if (const int count = wish.is_gguf ? 0 : model::matrices_stood_in_for(config, weights); count > 0) {
    choice->notes.push_back("encoding: rows of " + std::to_string(count) + (count == 1 ? " matrix" : " matrices") +
                            " are no multiple of 256: " +
                            (weights == WeightFormat::kQ4_K ? "q5_0 stands in for q4_k, q8_0 for q6_k" : "q8_0 stands in for q6_k"));
  }
  return CutModel{{config, choice->encoding, std::move(*shards)}, std::move(choice->notes)};
}

bool memory_decides(const ReplicaWishes& wishes) { return wishes.num_blocks == 0 && wishes.kv_cache_memory == 0; }

Expected<RankShape> plan_trial(const ShardedModel& model, const ReplicaWishes& wishes, StepSpeed speed) {
  if (Status status = check_block_size(wishes.block_size); !status.ok()) return fail(std::move(status));
  RankShape shape = rank_shape(model, wishes, speed);
  shape.positions_max = longest_model_len(kv_wishes(model, wishes));
  const std::int64_t chunk = std::min(shape.rows_max, shape.positions_max);
  shape.blocks = std::max<std::int64_t>(1, (chunk + shape.block_size - 1) / shape.block_size);
  return shape;
}

Expected<std::vector<model::RankMemory>> rank_memories(const ShardedModel& model, const ReplicaWishes& wishes) {
  const auto trial = plan_trial(model, wishes, StepSpeed::kCpu);
  if (!trial) return fail(trial.error());
  const model::StepLimits limits{trial->rows_max, trial->sequences_max, trial->positions_max};
  std::vector<model::RankMemory> ranks;
  for (const model::ShardPlan& shard : model.shards)
    ranks.push_back(model::rank_memory(model.config, shard, model.encoding, limits));
  return ranks;
}

Expected<ReplicaPlan> plan_replicas(const ShardedModel& model, const ReplicaWishes& wishes, const DeviceMemory& memory,
                                    StepSpeed speed) {
  if (Status status = check_block_size(wishes.block_size); !status.ok()) return fail(std::move(status));
  KvWishes kv = kv_wishes(model, wishes);
  kv.free_bytes = memory.free_bytes;
  if (memory_decides(wishes) && !memory.gpus.empty()) {
    const auto blocks = kv_blocks_on_gpus(memory.gpus, memory.gpu_utilization);
    if (!blocks) return fail(blocks.error());
    kv.kv_cache_memory = *blocks * kv.block_bytes;
    kv.memory_flags = "--gpu-memory-utilization";
  }
  auto sizes = size_kv(kv);
  if (!sizes) return fail(sizes.error());
  ReplicaPlan plan;
  plan.rank = rank_shape(model, wishes, speed);
  plan.rank.blocks = sizes->num_blocks;
  plan.rank.positions_max = sizes->max_model_len;
  plan.scheduler = scheduler_config(wishes.scheduler, wishes.block_size, model.config.vocab_size, *sizes);
  plan.kv_bytes_per_token = kv.block_bytes / wishes.block_size;
  plan.notes = std::move(sizes->notes);
  return plan;
}

}  // namespace herd::placement
