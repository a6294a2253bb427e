#pragma once
// Attention of float32: rule 4 itself, the reference backend's bits. Simple: goldens run it, not crowds.

#include "kernels/cuda/stream.h"
#include "kernels/ops.h"

namespace herd::cuda {

void attention_f32(Stream& stream, const TensorView& q, const KvView& kv, const AttentionBatch& batch,
                   const TensorView& out);

}  // namespace herd::cuda
