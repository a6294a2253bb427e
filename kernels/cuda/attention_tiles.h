#pragma once
// Attention of long queries, bf16: tile items (attention_work.h). Launched when batch.work.tiles says so.

#include "kernels/cuda/attention_device.h"

namespace herd::cuda {

void attention_tiles(Stream& stream, const AttentionArgs& args);

}  // namespace herd::cuda
