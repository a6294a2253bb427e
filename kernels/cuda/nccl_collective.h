#pragma once
// The Collective of ranks on GPUs, over NCCL. Communicators are non-blocking, so that no call can hang: every wait has
// the group's deadline, and whatever goes wrong the communicator is aborted, once, which makes its operations on the
// stream return.

#include <memory>

#include "kernels/cuda/cuda_device.h"
#include "kernels/gpu_backend.h"

namespace herd::cuda {

// As GpuBackend::new_group and join_group.
Expected<GpuGroupId> new_nccl_group();
Expected<std::unique_ptr<Collective>> join_nccl_group(const GpuGroupId& id, const GroupJoin& join,
                                                      CudaDevice& device);

}  // namespace herd::cuda
