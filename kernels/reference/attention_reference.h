#pragma once
// Paged causal attention by rule 4 (docs/numerics.md), one (row, head) at a time.

#include "kernels/tensor_view.h"

namespace herd::reference {

void attention(const TensorView& q, const KvView& kv, const AttentionBatch& batch, const TensorView& out);

}  // namespace herd::reference
