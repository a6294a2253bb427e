#pragma once
// RowSampler over the launchers of this folder. Unchecked: CudaDevice wraps it.

#include <memory>

#include "kernels/cuda/stream.h"
#include "kernels/row_sampler.h"

namespace herd::cuda {

std::unique_ptr<RowSampler> make_cuda_row_sampler(std::shared_ptr<Stream> stream);

}  // namespace herd::cuda
