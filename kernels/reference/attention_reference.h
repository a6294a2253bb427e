#pragma once
// Paged causal attention by rule 5 of the design, one (row, head) at a time.

#include "kernels/tensor_view.h"

namespace herd::reference {

void attention(const TensorView& q, const KvView& kv, const AttentionBatch& batch, const TensorView& out);

}  // namespace herd::reference
