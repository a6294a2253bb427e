#pragma once
// Encoding: the formats a model computes in.

#include "kernels/dtype.h"

namespace herd::model {

// Formats a model computes in. Activations and KV are f32 for kF32 weights, else bf16 (rule 5).
struct Encoding {
  DType weights = DType::kBF16;
  [[nodiscard]] DType activations() const { return weights == DType::kF32 ? DType::kF32 : DType::kBF16; }
};

}  // namespace herd::model
