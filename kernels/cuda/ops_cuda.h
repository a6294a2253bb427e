#pragma once
// Ops over the launchers of this folder. Unchecked: CudaDevice wraps it.

#include <memory>

#include "kernels/cuda/attention.h"
#include "kernels/cuda/stream.h"
#include "kernels/gpu_backend.h"
#include "kernels/ops.h"

namespace herd::cuda {

// kMissing when cuBLASLt is asked for and not there. `scratch` is looked at when attention is enqueued, and outlives
// the operations.
Expected<std::unique_ptr<Ops>> make_cuda_ops(std::shared_ptr<Stream> stream, GpuMatmul matmul,
                                             const AttentionScratch& scratch);

}  // namespace herd::cuda
