// Which kind of product computes y = x · Wᵀ. The kinds for tensor cores have one order of addition, so this choice by
// the number of tokens does not show in the bits.

#include "kernels/cuda/matmul.h"

#include "kernels/cuda/matmul_parts.h"

namespace herd::cuda {
namespace {

constexpr std::int64_t kSkinnyTokensMax = 64;

}  // namespace

bool on_tensor_cores(DType x, DType w) { return x == DType::kBF16 && w == DType::kBF16; }

void matmul(Stream& stream, const TensorView& x, const PackedMatrix& w, const float* bias, const TensorView& out) {
  if (!on_tensor_cores(x.dtype, w.dtype())) {
    matmul_canonical(stream, x, w, bias, out);
    return;
  }
  if (x.rows > kSkinnyTokensMax && matmul_tiled(stream, x, w, bias, out)) return;
  matmul_skinny(stream, x, w, bias, out);
}

}  // namespace herd::cuda
