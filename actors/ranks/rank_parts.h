#pragma once
// A rank's executor put together from its spec and its parts, the same on every kind of device.

#include <cstdint>
#include <memory>

#include "cluster/placement/replica_plan.h"
#include "kernels/collective.h"
#include "kernels/device.h"
#include "runtime/model/llama_weights.h"
#include "runtime/model/rope_table.h"
#include "runtime/shard/shard_executor.h"

namespace herd::actors {

// Of spec.positions_max positions; all ranks of a host may share it.
[[nodiscard]] std::shared_ptr<const model::RopeTable> make_rope(const placement::RankSpec& spec);

// Not prepared yet: after a failure of prepare() the group has to be aborted before the executor is destroyed.
[[nodiscard]] std::unique_ptr<shard::ShardExecutor> assemble(const placement::RankSpec& spec, std::size_t rank,
                                                             std::shared_ptr<const model::LlamaWeights> weights,
                                                             std::shared_ptr<const model::RopeTable> rope,
                                                             std::unique_ptr<Device> device,
                                                             std::shared_ptr<Collective> group);

}  // namespace herd::actors
