#pragma once
// measure_rates: what a device does with the matrices of its rank, measured in a few milliseconds before the first step: where
// StepCost (runtime/scheduler/step_cost.h) begins.

#include <cstdint>

#include "kernels/device.h"
#include "kernels/status.h"
#include "runtime/model/encoding.h"
#include "runtime/model/llama_weights.h"
#include "runtime/scheduler/step_cost.h"

namespace herd::shard {

// Products of the layers' attention outputs, one layer after the other: of one row for the memory's rate, of as many rows
// (at most rows_max) as take a millisecond or two for the arithmetic's. On the thread that uses the device, with nothing under
// way there. kMissing when memory is short; the device's error otherwise.
[[nodiscard]] Expected<scheduler::DeviceRates> measure_rates(Device& device, const model::LlamaWeights& weights,
                                                            const model::Encoding& encoding, std::int64_t rows_max);

}  // namespace herd::shard
