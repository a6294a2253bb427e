// In the place of nccl_collective.cc where NCCL's header was not found: one GPU works, groups do not.
#include "kernels/cuda/nccl_collective.h"

namespace herd::cuda {

Expected<GpuGroupId> new_nccl_group() {
  return fail(missing("several GPUs need NCCL: herd's CUDA backend was built without it"));
}
Expected<std::unique_ptr<Collective>> join_nccl_group(const GpuGroupId&, const GroupJoin&, CudaDevice&) {
  return fail(missing("several GPUs need NCCL: herd's CUDA backend was built without it"));
}

}  // namespace herd::cuda
