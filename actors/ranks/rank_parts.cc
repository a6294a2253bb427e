#include "actors/ranks/rank_parts.h"

#include <utility>

#include "actors/ranks/rank_host.h"

namespace herd::actors {

std::shared_ptr<const model::RopeTable> make_rope(const placement::RankSpec& spec) {
  return std::make_shared<model::RopeTable>(model::make_rope_table(
      spec.model.config.rope, spec.model.config.head_dim, static_cast<int>(spec.positions_max)));
}

std::unique_ptr<shard::ShardExecutor> assemble(const placement::RankSpec& spec, std::size_t rank,
                                               std::shared_ptr<const model::LlamaWeights> weights,
                                               std::shared_ptr<const model::RopeTable> rope,
                                               std::unique_ptr<Device> device, std::shared_ptr<Collective> group) {
  shard::ShardConfig config;
  config.model = spec.model.config;
  config.encoding = spec.model.encoding;
  config.plan = spec.model.shards[rank];
  config.block_size = spec.block_size;
  config.blocks = spec.blocks;
  config.rows_max = spec.rows_max;
  config.sequences_max = spec.sequences_max;
  config.logit_rows_max = spec.sequences_max;
  config.hash_logits = spec.hash_logits;
  return std::make_unique<shard::ShardExecutor>(config, std::move(weights), std::move(rope), std::move(device),
                                                std::move(group));
}

WeightSizes sizes_of(std::span<const std::shared_ptr<const model::LlamaWeights>> replica, bool embedding_shared) {
  WeightSizes sizes;
  for (const auto& weights : replica) {
    const bool has_embedding = !embedding_shared || weights == replica.front();
    sizes.bytes += weights->bytes() - (has_embedding ? 0 : static_cast<std::size_t>(weights->embedding.bytes()));
    sizes.read_per_token += weights->bytes_read_per_token();
  }
  return sizes;
}

}  // namespace herd::actors
