#pragma once
// Products of bf16 by the vendor's cuBLASLt, as a yardstick (--cuda-matmul cublaslt). NOT repeatable: the library picks
// its kernel, and with it an order of addition, by the number of tokens; leaves are not kept apart either, and a bias
// is added to the rounded product. Weights lie row-major here, bf16 [outputs_padded, k_padded], in the same bytes.

#include <cstdint>
#include <memory>

#include "kernels/cuda/stream.h"
#include "kernels/ops.h"

namespace herd::cuda {

// out [tokens, n] = x [tokens, k] · wᵀ, w [n, k]; bf16 in, float32 inside, out bf16 or float32. Strides in elements.
struct PlainProduct {
  const void* x = nullptr;
  const void* w = nullptr;
  void* out = nullptr;
  DType out_dtype = DType::kBF16;
  std::int64_t tokens = 0, n = 0, k = 0;
  std::int64_t x_stride = 0, w_stride = 0, out_stride = 0;
};

class CublasLibrary;  // the handle, a workspace, the algorithm chosen for each shape

class CublasMatmul {
 public:
  // kMissing when libcublasLt.so is not installed, or for want of memory for its workspace.
  static Expected<std::unique_ptr<CublasMatmul>> make(std::shared_ptr<Stream> stream);
  ~CublasMatmul();

  // As the operations of the same names, for bf16 matrices; activations are bf16.
  void pack_rows(const PackedMatrix& w, std::int64_t row, std::int64_t rows, const float* source);
  void embed(const PackedMatrix& table, const std::int32_t* ids, const TensorView& out);
  void matmul(const TensorView& x, const PackedMatrix& w, const float* bias, const TensorView& out);

 private:
  CublasMatmul(std::shared_ptr<Stream> stream, std::unique_ptr<CublasLibrary> library);
  std::shared_ptr<Stream> stream_;
  std::unique_ptr<CublasLibrary> library_;
};

}  // namespace herd::cuda
