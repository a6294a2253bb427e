#pragma once
// cuBLASLt, found at run time: nothing but the yardstick needs it.

#include <memory>

#include "kernels/cuda/cublas_matmul.h"

namespace herd::cuda {

class CublasLibrary {
 public:
  virtual ~CublasLibrary() = default;
  // Enqueues; an error is the stream's.
  virtual void multiply(const PlainProduct& product) = 0;
};

Expected<std::unique_ptr<CublasLibrary>> make_cublas_library(std::shared_ptr<Stream> stream);

}  // namespace herd::cuda
