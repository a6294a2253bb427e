#pragma once
// measure_rates: what a device does with the matrices of its rank, measured in a few milliseconds before the first step: where
// StepCost (runtime/scheduler/step_cost.h) begins.

#include "kernels/device.h"
#include "kernels/status.h"
#include "runtime/model/llama_weights.h"
#include "runtime/scheduler/step_cost.h"
#include "runtime/shard/shard_config.h"

namespace herd::shard {

// Products of the layers' matrices, one layer after the other: of one row for the memory's rate, of as many rows (at least a
// short chunk's, at most rows_max) as take a millisecond for the arithmetic's; and on a device whose memory is the host's a row
// and a short chunk that attend to one context. The fastest of a few each. On the thread that uses the device, with nothing
// under way there. kMissing when memory is short; the device's error otherwise.
[[nodiscard]] Expected<scheduler::DeviceRates> measure_rates(Device& device, const model::LlamaWeights& weights,
                                                            const ShardConfig& config);

}  // namespace herd::shard
