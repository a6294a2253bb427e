// What the yardstick does beside the product itself: simple kernels, one thread an element.
#include "kernels/cuda/cublas_matmul.h"

#include <utility>

#include "kernels/cuda/cublas_library.h"
#include "kernels/cuda/launch.h"
#include "kernels/dtype.h"

namespace herd::cuda {
namespace {

constexpr int kThreads = 256;
constexpr std::int64_t kBlocksMax = 1 << 20;  // threads then walk on

dim3 blocks_for(std::int64_t elements) {
  const std::int64_t blocks = (elements + kThreads - 1) / kThreads;
  return dim3(static_cast<unsigned>(blocks < kBlocksMax ? blocks : kBlocksMax));
}

__device__ __forceinline__ std::int64_t first_element() {
  return static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
}
__device__ __forceinline__ std::int64_t element_step() { return static_cast<std::int64_t>(gridDim.x) * blockDim.x; }

// to [rows_padded, k_padded], +0 beyond source [rows, k].
__global__ void plain_pack_kernel(const float* source, std::int64_t rows, std::int64_t rows_padded, std::int64_t k,
                                  std::int64_t k_padded, std::uint16_t* to) {
  for (std::int64_t i = first_element(); i < rows_padded * k_padded; i += element_step()) {
    const std::int64_t row = i / k_padded, column = i % k_padded;
    to[i] = row < rows && column < k ? to_bf16(source[row * k + column]).bits : std::uint16_t{0};
  }
}

__global__ void plain_embed_kernel(const std::uint16_t* table, std::int64_t table_stride, const std::int32_t* ids,
                                   TensorView out) {
  for (std::int64_t i = first_element(); i < out.rows * out.cols; i += element_step()) {
    const std::int64_t row = i / out.cols, column = i % out.cols;
    const std::uint16_t value = table[ids[row] * table_stride + column];
    const std::int64_t at = row * out.row_stride + column;
    if (out.dtype == DType::kF32) {
      static_cast<float*>(out.data)[at] = to_float(BFloat16{value});
    } else {
      static_cast<std::uint16_t*>(out.data)[at] = value;
    }
  }
}

__global__ void plain_bias_kernel(const float* bias, TensorView out) {
  for (std::int64_t i = first_element(); i < out.rows * out.cols; i += element_step()) {
    const std::int64_t column = i % out.cols, at = i / out.cols * out.row_stride + column;
    if (out.dtype == DType::kF32) {
      static_cast<float*>(out.data)[at] += bias[column];
    } else {
      std::uint16_t& value = static_cast<std::uint16_t*>(out.data)[at];
      value = to_bf16(to_float(BFloat16{value}) + bias[column]).bits;
    }
  }
}

}  // namespace

Expected<std::unique_ptr<CublasMatmul>> CublasMatmul::make(std::shared_ptr<Stream> stream) {
  auto library = make_cublas_library(stream);
  if (!library) return fail(library.error());
  return std::unique_ptr<CublasMatmul>(new CublasMatmul(std::move(stream), std::move(*library)));
}

CublasMatmul::CublasMatmul(std::shared_ptr<Stream> stream, std::unique_ptr<CublasLibrary> library)
    : stream_(std::move(stream)), library_(std::move(library)) {}
CublasMatmul::~CublasMatmul() = default;

void CublasMatmul::pack_rows(const PackedMatrix& w, std::int64_t row, std::int64_t rows, const float* source) {
  auto* to = static_cast<std::uint16_t*>(const_cast<void*>(w.data)) + row * w.k_padded();
  const std::int64_t rows_padded = row + rows == w.outputs ? w.outputs_padded() - row : rows;
  launch(*stream_, "plain_pack", plain_pack_kernel, blocks_for(rows_padded * w.k_padded()), kThreads, 0, source, rows,
         rows_padded, w.k, w.k_padded(), to);
}

void CublasMatmul::embed(const PackedMatrix& table, const std::int32_t* ids, const TensorView& out) {
  launch(*stream_, "plain_embed", plain_embed_kernel, blocks_for(out.rows * out.cols), kThreads, 0,
         static_cast<const std::uint16_t*>(table.data), table.k_padded(), ids, out);
}

void CublasMatmul::matmul(const TensorView& x, const PackedMatrix& w, const float* bias, const TensorView& out) {
  if (x.dtype != DType::kBF16) return stream_->fail("cublaslt: bf16 weights meet bf16 activations alone");
  if (!stream_->ok() || x.rows == 0) return;
  library_->multiply({.x = x.data,
                      .w = w.data,
                      .out = out.data,
                      .out_dtype = out.dtype,
                      .tokens = x.rows,
                      .n = w.outputs,
                      .k = w.k,
                      .x_stride = x.row_stride,
                      .w_stride = w.k_padded(),
                      .out_stride = out.row_stride});
  if (bias != nullptr)
    launch(*stream_, "plain_bias", plain_bias_kernel, blocks_for(out.rows * out.cols), kThreads, 0, bias, out);
}

}  // namespace herd::cuda
