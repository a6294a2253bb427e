// In the place of cublas_library.cc where cuBLASLt's header was not found.
#include "kernels/cuda/cublas_library.h"

namespace herd::cuda {

Expected<std::unique_ptr<CublasLibrary>> make_cublas_library(std::shared_ptr<Stream>) {
  return fail(missing("cublaslt: herd's CUDA backend was built without it"));
}

}  // namespace herd::cuda
