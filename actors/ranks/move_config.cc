#include "actors/ranks/move_config.h"

#include "runtime/kv/kv_layout_id.h"

namespace herd::actors {

replica::MoveConfig move_config(const placement::ShardedModel& model, const scheduler::SchedulerConfig& scheduler,
                                const std::string& numerics_class, const routing::NumericsId& numerics) {
  const auto block_size = static_cast<std::int32_t>(scheduler.block_size);
  // Of the first rank: models of equal numerics are cut alike for as many ranks.
  const KvLayout layout{model.encoding.activations(), block_size, model.shards.front().kv_heads.size(), model.config.head_dim};
  return {.enabled = scheduler.prefix_caching && scheduler.transfer_blocks_per_step > 0,
          .kind = {.numerics = numerics,
                   .layout = kv::kv_layout_id(numerics_class, layout, model.config.layers),
                   .ranks = static_cast<std::uint32_t>(model.shards.size())},
          .block_bytes = static_cast<std::uint64_t>(model.block_bytes_of_all_ranks(block_size))};
}

}  // namespace herd::actors
