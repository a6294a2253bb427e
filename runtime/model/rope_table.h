#pragma once
// The RoPE table: cos and sin of every position, computed in double, stored as float (rule 2 of docs/numerics.md).

#include <cstdint>
#include <vector>

#include "runtime/model/llama_config.h"

namespace herd::model {

// Frequencies f_i, i in [0, head_dim / 2), after scaling (Llama 3.1: model-card "rope_scaling", type llama3).
[[nodiscard]] std::vector<double> rope_frequencies(const RopeConfig& rope, int head_dim);

// Value, immutable. [positions, head_dim] floats: cos of D/2 frequencies, then sin.
struct RopeTable {
  int positions = 0;
  int head_dim = 0;
  std::vector<float> values;
};

[[nodiscard]] RopeTable make_rope_table(const RopeConfig& rope, int head_dim, int positions);

}  // namespace herd::model
