#pragma once
// How fast each pair of a head turns from one position to the next (rule 2 of docs/numerics.md).

#include <vector>

#include "runtime/model/llama_config.h"

namespace herd::model {

// Frequencies f_i, i in [0, head_dim / 2), after scaling (Llama 3.1: model-card "rope_scaling", type llama3).
[[nodiscard]] std::vector<double> rope_frequencies(const RopeConfig& rope, int head_dim);

// What unscaled frequencies are divided by, as GGUF's rope_freqs.weight states it; empty where they are not scaled.
[[nodiscard]] std::vector<float> rope_divisors(const RopeConfig& rope, int head_dim);

}  // namespace herd::model
