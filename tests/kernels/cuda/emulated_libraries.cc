// What the emulated library has in the places of nccl_library.cc and cublas_library.cc: the emulator's NCCL, and plain
// products instead of cuBLASLt's, so that all that surrounds both is tested.

#include <utility>

#include "kernels/cuda/cublas_library.h"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/nccl_library.h"
#include "kernels/dtype.h"

namespace herd::cuda {
namespace {

__global__ void plain_product_kernel(PlainProduct p) {
  const std::int64_t token = blockIdx.x, output = std::int64_t{blockIdx.y} * blockDim.x + threadIdx.x;
  if (output >= p.n) return;
  const auto* x = static_cast<const std::uint16_t*>(p.x) + token * p.x_stride;
  const auto* w = static_cast<const std::uint16_t*>(p.w) + output * p.w_stride;
  float sum = 0.0F;
  for (std::int64_t k = 0; k < p.k; k++) sum += to_float(BFloat16{x[k]}) * to_float(BFloat16{w[k]});
  if (p.out_dtype == DType::kF32) {
    static_cast<float*>(p.out)[token * p.out_stride + output] = sum;
  } else {
    static_cast<std::uint16_t*>(p.out)[token * p.out_stride + output] = to_bf16(sum).bits;
  }
}

class PlainLibrary final : public CublasLibrary {
 public:
  explicit PlainLibrary(std::shared_ptr<Stream> stream) : stream_(std::move(stream)) {}
  void multiply(const PlainProduct& product) override {
    constexpr int kThreads = 32;
    const auto blocks = static_cast<unsigned>((product.n + kThreads - 1) / kThreads);
    const dim3 grid(static_cast<unsigned>(product.tokens), blocks);
    launch(*stream_, "plain_product", plain_product_kernel, grid, kThreads, 0, product);
  }

 private:
  const std::shared_ptr<Stream> stream_;
};

}  // namespace

Expected<std::unique_ptr<CublasLibrary>> make_cublas_library(std::shared_ptr<Stream> stream) {
  return std::make_unique<PlainLibrary>(std::move(stream));
}

Expected<const NcclLibrary*> nccl_library() {
  static const NcclLibrary nccl = {.get_unique_id = ncclGetUniqueId,
                                   .comm_init_rank_config = ncclCommInitRankConfig,
                                   .comm_get_async_error = ncclCommGetAsyncError,
                                   .all_gather = ncclAllGather,
                                   .comm_abort = ncclCommAbort,
                                   .comm_finalize = ncclCommFinalize,
                                   .comm_destroy = ncclCommDestroy,
                                   .get_error_string = ncclGetErrorString};
  return &nccl;
}

}  // namespace herd::cuda
