// y = x · Wᵀ on the ordinary cores, for every pair of dtypes but bf16 x bf16: rule 1's order and rule 3's tree exactly as
// in reference/ (reference_math.h, canonical_dot and tree_sum), so the same bits. Plain: a thread computes one output for
// 1 or 8 tokens, sixteen neighbours read the sixteen outputs of a panel as they lie, and the same x.

#include "kernels/cuda/instructions.h"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/layouts.h"
#include "kernels/cuda/matmul_parts.h"
#include "kernels/math.h"

namespace herd::cuda {
namespace {

constexpr int kThreads = 64;  // 4 panels
constexpr int kBatchTokens = 8;

// W[output, k] and W[output, k + 1], k even.
template <DType kType>
__device__ __forceinline__ float2 load_pair(const PackedMatrix& w, std::int64_t output, std::int64_t k) {
  const std::int64_t at = packed_index(w, output, k);
  if constexpr (kType == DType::kF32) {
    const auto* data = static_cast<const float*>(w.data);
    return make_float2(data[at], data[at + kPanelOutputs]);
  } else {
    const std::uint32_t word = static_cast<const std::uint32_t*>(w.data)[at / 2];
    const auto low = static_cast<std::uint16_t>(word & 0xffffU);
    const auto high = static_cast<std::uint16_t>(word >> 16);
    if constexpr (kType == DType::kF16) return make_float2(f16_to_float(low), f16_to_float(high));
    return make_float2(to_float(BFloat16{low}), to_float(BFloat16{high}));
  }
}

// x[token, k], +0 in the padding: fma(0, 0, -0) is +0, so padding takes part.
template <DType kType>
__device__ __forceinline__ float load_x(const TensorView& x, std::int64_t token, std::int64_t k) {
  if (k >= x.cols) return 0.0F;
  const std::int64_t at = token * x.row_stride + k;
  if constexpr (kType == DType::kF32) {
    return static_cast<const float*>(x.data)[at];
  } else {
    return to_float(BFloat16{static_cast<const std::uint16_t*>(x.data)[at]});
  }
}

// Rule 1 for one leaf: chunks [begin, end) of one output, `tokens` tokens from `token` on.
template <DType kX, DType kW, int kTokens>
__device__ __forceinline__ void canonical_leaf(const TensorView& x, const PackedMatrix& w, std::int64_t output,
                                               std::int64_t token, int tokens, int begin, int end,
                                               float (&sum)[kTokens]) {
  for (int chunk = begin; chunk < end; chunk++) {
    float even[kTokens] = {};
    float odd[kTokens] = {};
    for (std::int64_t k = chunk * kChunkK; k < (chunk + 1) * kChunkK; k += 2) {
      const float2 weight = load_pair<kW>(w, output, k);
#pragma unroll
      for (int t = 0; t < kTokens; t++) {
        if (t >= tokens) break;
        even[t] = fma_f32(load_x<kX>(x, token + t, k), weight.x, even[t]);
        odd[t] = fma_f32(load_x<kX>(x, token + t, k + 1), weight.y, odd[t]);
      }
    }
#pragma unroll
    for (int t = 0; t < kTokens; t++) sum[t] = sum[t] + (even[t] + odd[t]);
  }
}

// Grid: (4 panels each, kTokens tokens each).
template <DType kX, DType kW, int kTokens>
__global__ void __launch_bounds__(kThreads)
    canonical_kernel(TensorView x, PackedMatrix w, const float* bias, TensorView out) {
  const std::int64_t output = static_cast<std::int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  const std::int64_t token = static_cast<std::int64_t>(blockIdx.y) * kTokens;
  if (output >= w.outputs) return;
  const std::int64_t left = x.rows - token;
  const int tokens = left < kTokens ? static_cast<int>(left) : kTokens;
  float slot[kTreeLevels][kTokens] = {};
  float sum[kTokens] = {};
  unsigned waiting = 0;
  for (int leaf = 0; leaf < w.leaf_count; leaf++) {
    const int begin = leaf_border(w, leaf), end = leaf_border(w, leaf + 1);
#pragma unroll
    for (int t = 0; t < kTokens; t++) sum[t] = 0.0F;
    canonical_leaf<kX, kW, kTokens>(x, w, output, token, tokens, begin, end, sum);
    const auto each = [](const auto& use) {
#pragma unroll
      for (int t = 0; t < kTokens; t++) use(t);
    };
    close_leaf(
        leaf, w.leaf_count, begin < end, waiting,
        [&](auto level) { each([&](int t) { slot[level][t] = sum[t]; }); },
        [&](auto level) { each([&](int t) { sum[t] = slot[level][t] + sum[t]; }); },
        [&](auto level) { each([&](int t) { sum[t] = slot[level][t]; }); });
  }
#pragma unroll
  for (int t = 0; t < kTokens; t++) {
    if (t < tokens) store_result(out, bias, token + t, output, sum[t]);
  }
}

template <DType kX, DType kW>
void launch_canonical(Stream& stream, const TensorView& x, const PackedMatrix& w, const float* bias,
                      const TensorView& out) {
  const auto columns = static_cast<unsigned>((w.outputs + kThreads - 1) / kThreads);
  constexpr std::int64_t kGridRowsMax = 65535;
  if (x.rows == 1) {
    launch(stream, "matmul_canonical", canonical_kernel<kX, kW, 1>, dim3(columns), kThreads, 0, x, w, bias, out);
    return;
  }
  for (std::int64_t row = 0; row < x.rows; row += kGridRowsMax * kBatchTokens) {
    const std::int64_t left = x.rows - row;
    TensorView x_part = x, out_part = out;
    x_part.rows = out_part.rows = left < kGridRowsMax * kBatchTokens ? left : kGridRowsMax * kBatchTokens;
    x_part.data = static_cast<char*>(x.data) + row * x.row_stride * static_cast<std::int64_t>(dtype_bytes(x.dtype));
    out_part.data =
        static_cast<char*>(out.data) + row * out.row_stride * static_cast<std::int64_t>(dtype_bytes(out.dtype));
    const auto rows = static_cast<unsigned>((x_part.rows + kBatchTokens - 1) / kBatchTokens);
    launch(stream, "matmul_canonical", canonical_kernel<kX, kW, kBatchTokens>, dim3(columns, rows), kThreads, 0, x_part,
           w, bias, out_part);
  }
}

}  // namespace

void matmul_canonical(Stream& stream, const TensorView& x, const PackedMatrix& w, const float* bias,
                      const TensorView& out) {
  const bool bf16 = x.dtype == DType::kBF16;
  switch (w.dtype()) {
    case DType::kF32:
      return bf16 ? launch_canonical<DType::kBF16, DType::kF32>(stream, x, w, bias, out)
                  : launch_canonical<DType::kF32, DType::kF32>(stream, x, w, bias, out);
    case DType::kF16:
      return bf16 ? launch_canonical<DType::kBF16, DType::kF16>(stream, x, w, bias, out)
                  : launch_canonical<DType::kF32, DType::kF16>(stream, x, w, bias, out);
    case DType::kBF16:  // with bf16 rows: the tensor cores'
      return launch_canonical<DType::kF32, DType::kBF16>(stream, x, w, bias, out);
  }
}

}  // namespace herd::cuda
