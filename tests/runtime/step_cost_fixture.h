#pragma once
// A small model for predictions by hand.

#include "runtime/scheduler/step_cost.h"

namespace herd::scheduler {

inline model::LlamaConfig small_model() {
  model::LlamaConfig config;
  config.hidden_size = 64;
  config.layers = 2;
  config.heads = 8;
  config.kv_heads = 2;
  config.head_dim = 16;
  config.intermediate_size = 256;
  config.vocab_size = 160;
  return config;
}

inline StepCost small_cost(const DeviceRates& rates) { return {small_model(), {WeightFormat::kF32}, 1, rates}; }

}  // namespace herd::scheduler
