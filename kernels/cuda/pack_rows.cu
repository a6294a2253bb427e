// Weights into the layouts that the products read (layouts.h), and rows of an embedding table out of them. Plain index
// arithmetic, a thread per pair of k: packing happens at load, embedding reads a few rows.

#include "kernels/cuda/instructions.h"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/layouts.h"
#include "kernels/cuda/matmul.h"

namespace herd::cuda {
namespace {

constexpr int kThreads = 256;

__device__ __forceinline__ void store_weight(const PackedMatrix& w, std::int64_t output, std::int64_t k, float value) {
  const std::int64_t at = packed_index(w, output, k);
  void* data = const_cast<void*>(w.data);
  switch (w.dtype()) {
    case DType::kF32:
      static_cast<float*>(data)[at] = value;
      break;
    case DType::kBF16:
      static_cast<std::uint16_t*>(data)[at] = to_bf16(value).bits;
      break;
    case DType::kF16:
      static_cast<std::uint16_t*>(data)[at] = to_f16_bits(value);
      break;
  }
}

__device__ __forceinline__ float load_weight(const PackedMatrix& w, std::int64_t output, std::int64_t k) {
  const std::int64_t at = packed_index(w, output, k);
  switch (w.dtype()) {
    case DType::kF32:
      return static_cast<const float*>(w.data)[at];
    case DType::kBF16:
      return to_float(BFloat16{static_cast<const std::uint16_t*>(w.data)[at]});
    case DType::kF16:
      return f16_to_float(static_cast<const std::uint16_t*>(w.data)[at]);
  }
  return 0.0F;
}

// Elements [0, count) of the panels from `row` on, counted [panel][k / 2][16 outputs][2 k].
__global__ void __launch_bounds__(kThreads) pack_rows_kernel(PackedMatrix w, std::int64_t row, std::int64_t pairs,
                                                             const float* source) {
  const std::int64_t pair = static_cast<std::int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (pair >= pairs) return;
  const std::int64_t half_k = w.k_padded() / 2;
  const std::int64_t output = row + pair / (half_k * kPanelOutputs) * kPanelOutputs + pair % kPanelOutputs;
  const std::int64_t k_begin = pair / kPanelOutputs % half_k * 2;
#pragma unroll
  for (std::int64_t k = k_begin; k < k_begin + 2; k++) {
    const bool padding = output >= w.outputs || k >= w.k;
    store_weight(w, output, k, padding ? 0.0F : source[(output - row) * w.k + k]);
  }
}

// A block a row of out.
__global__ void __launch_bounds__(kThreads) embed_kernel(PackedMatrix table, const std::int32_t* ids, TensorView out) {
  const std::int64_t token = blockIdx.x;
  const std::int64_t id = ids[token];
  for (std::int64_t k = threadIdx.x; k < out.cols; k += kThreads) {
    const float value = load_weight(table, id, k);
    const std::int64_t at = token * out.row_stride + k;
    if (out.dtype == DType::kF32) {
      static_cast<float*>(out.data)[at] = value;
    } else {
      static_cast<std::uint16_t*>(out.data)[at] = to_bf16(value).bits;
    }
  }
}

}  // namespace

void pack_rows(Stream& stream, const PackedMatrix& w, std::int64_t row, std::int64_t rows, const float* source) {
  const std::int64_t pairs = round_up(rows, kPanelOutputs) * w.k_padded() / 2;  // of the tail: its padding outputs too
  const auto blocks = static_cast<unsigned>((pairs + kThreads - 1) / kThreads);
  launch(stream, "pack_rows", pack_rows_kernel, dim3(blocks), kThreads, 0, w, row, pairs, source);
}

void embed(Stream& stream, const PackedMatrix& table, const std::int32_t* ids, const TensorView& out) {
  launch(stream, "embed", embed_kernel, dim3(static_cast<unsigned>(out.rows)), kThreads, 0, table, ids, out);
}

}  // namespace herd::cuda
