// Norms, RoPE, SiLU, sums of partials, row copies: plain fp32 in the reference's order, so its bits. One block per row
// where a row has a sum, else a thread per element (grid.x: rows, grid.y: pieces of a row).
#include "kernels/cuda/elementwise.h"

#include <algorithm>

#include "kernels/cuda/instructions.h"
#include "kernels/cuda/launch.h"
#include "kernels/math.h"

namespace herd::cuda {
namespace {

constexpr int kThreads = 256;           // of a piece of a row
constexpr int kNormThreads = 512;       // of a whole row
constexpr int kNormColumnsKept = 8192;  // a row up to here stays in shared memory; a longer one is read again
constexpr int kLanes = 16;              // rule 2

__device__ __forceinline__ float value_of(float x) { return x; }
__device__ __forceinline__ float value_of(BFloat16 x) { return to_float(x); }
template <class Act>
__device__ __forceinline__ Act rounded(float x);
template <>
__device__ __forceinline__ float rounded<float>(float x) {
  return x;
}
template <>
__device__ __forceinline__ BFloat16 rounded<BFloat16>(float x) {
  return to_bf16(x);
}

template <class Act>
__device__ __forceinline__ Act* row_of(const TensorView& x, std::int64_t row) {
  return static_cast<Act*>(x.data) + row * x.row_stride;
}
__device__ __forceinline__ std::int64_t column_of_thread() {
  return static_cast<std::int64_t>(blockIdx.y) * kThreads + threadIdx.x;
}

// PartialSums as a kernel's argument. Beyond their count: null.
struct Partials {
  const float* of_rank[kLeaves];
  std::int64_t stride;
  const float* bias;  // or null
};

// Rule 3's tree over ranks [kBegin, kBegin + kCount): an absent subtree is skipped, so fewer ranks than kLeaves give
// the tree of their own count. False when nobody is there.
template <int kBegin, int kCount>
__device__ __forceinline__ bool tree_sum(const Partials& partials, std::int64_t at, float* sum) {
  if constexpr (kCount == 1) {
    if (partials.of_rank[kBegin] == nullptr) return false;
    *sum = partials.of_rank[kBegin][at];
    return true;
  } else {
    float left = 0.0F;
    float right = 0.0F;
    const bool has_left = tree_sum<kBegin, kCount / 2>(partials, at, &left);
    const bool has_right = tree_sum<kBegin + kCount / 2, kCount / 2>(partials, at, &right);
    *sum = has_left && has_right ? left + right : has_left ? left : right;
    return has_left || has_right;
  }
}

template <class Act>
__device__ __forceinline__ Act with_partials(Act residual, const Partials& partials, std::int64_t row,
                                             std::int64_t column) {
  float sum = 0.0F;
  tree_sum<0, kLeaves>(partials, row * partials.stride + column, &sum);
  if (partials.bias != nullptr) sum = sum + partials.bias[column];
  return rounded<Act>(value_of(residual) + sum);
}

// 1 / sqrt(mean of squares + eps) of one row, whose element i element(i) gives (and may change in memory: it is called
// once for each i). `kept` gets the row, the last kNormColumnsKept columns of it if it is longer.
template <class Element>
__device__ __forceinline__ float inverse_rms(std::int64_t columns, float eps, float* kept, float* shared_inverse,
                                             const Element& element) {
  const int thread = static_cast<int>(threadIdx.x);
  float squares = 0.0F;  // threads 0 to 15: their lane
  for (std::int64_t begin = 0; begin < columns; begin += kNormColumnsKept) {
    const std::int64_t rest = columns - begin;
    const int count = static_cast<int>(rest < kNormColumnsKept ? rest : kNormColumnsKept);
    block_barrier();  // the lanes are done with the piece before
    for (int i = thread; i < count; i += kNormThreads) kept[i] = element(begin + i);
    block_barrier();
    if (thread < kLanes) {
#pragma unroll 16
      for (int i = thread; i < count; i += kLanes) squares = fma_f32(kept[i], kept[i], squares);
    }
  }
  if (thread < kWarp) {
    for (int half = kLanes / 2; half > 0; half /= 2) squares = squares + shuffle_down(squares, half);
    if (thread == 0) {
      const float mean = squares / static_cast<float>(columns);
      *shared_inverse = 1.0F / __builtin_sqrtf(mean + eps);
    }
  }
  block_barrier();
  return *shared_inverse;
}

// x: with kAdd the residual, to which the partials are added first, in place.
template <class Act, bool kAdd>
__global__ void __launch_bounds__(kNormThreads)
    norm_kernel(TensorView x, Partials partials, const float* weight, float eps, TensorView out) {
  __shared__ float kept[kNormColumnsKept];
  __shared__ float shared_inverse;
  const std::int64_t row = blockIdx.x;
  Act* from = row_of<Act>(x, row);
  const float inverse = inverse_rms(x.cols, eps, kept, &shared_inverse, [&](std::int64_t i) {
    Act value = from[i];
    if constexpr (kAdd) {
      value = with_partials(value, partials, row, i);
      from[i] = value;
    }
    return value_of(value);
  });
  const bool whole = x.cols <= kNormColumnsKept;
  Act* to = row_of<Act>(out, row);
  // Column i belongs to the same thread here and above (kNormThreads divides kNormColumnsKept): it sees its own writes.
  for (std::int64_t i = threadIdx.x; i < x.cols; i += kNormThreads) {
    const float value = whole ? kept[i] : value_of(from[i]);
    to[i] = rounded<Act>((value * inverse) * weight[i]);
  }
}

template <class Act>
__global__ void __launch_bounds__(kThreads) add_partials_kernel(TensorView residual, Partials partials) {
  const std::int64_t column = column_of_thread();
  if (column >= residual.cols) return;
  Act* at = row_of<Act>(residual, blockIdx.x) + column;
  *at = with_partials(*at, partials, blockIdx.x, column);
}

template <class Act>
__global__ void __launch_bounds__(kThreads)
    rope_kernel(TensorView x, std::int32_t heads, std::int32_t head_dim, const std::int32_t* positions,
                const float* table) {
  const std::int32_t half = head_dim / 2;
  const std::int64_t pair = column_of_thread();
  if (pair >= static_cast<std::int64_t>(heads) * half) return;
  const auto i = static_cast<std::int32_t>(pair % half);
  const float* cosines = table + static_cast<std::int64_t>(positions[blockIdx.x]) * head_dim;
  const float cosine = cosines[i];
  const float sine = cosines[half + i];
  Act* first = row_of<Act>(x, blockIdx.x) + pair / half * head_dim + i;
  const float a = value_of(first[0]);
  const float b = value_of(first[half]);
  first[0] = rounded<Act>(fma_f32(a, cosine, -(b * sine)));
  first[half] = rounded<Act>(fma_f32(b, cosine, a * sine));
}

template <class Act>
__global__ void __launch_bounds__(kThreads) silu_mul_kernel(TensorView gate_up, std::int64_t up_offset, TensorView out) {
  const std::int64_t column = column_of_thread();
  if (column >= out.cols) return;
  const Act* gate = row_of<Act>(gate_up, blockIdx.x) + column;
  row_of<Act>(out, blockIdx.x)[column] = rounded<Act>(silu_f32(value_of(gate[0])) * value_of(gate[up_offset]));
}

template <class Act>
__global__ void __launch_bounds__(kThreads) gather_rows_kernel(TensorView x, const std::int32_t* rows, TensorView out) {
  const std::int64_t column = column_of_thread();
  if (column < out.cols) row_of<Act>(out, blockIdx.x)[column] = row_of<Act>(x, rows[blockIdx.x])[column];
}

__global__ void __launch_bounds__(kThreads)
    resolve_tokens_kernel(std::int32_t* ids, std::int64_t rows, const SampledRow* sampled) {
  const std::int64_t row = static_cast<std::int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (row < rows && ids[row] < 0) ids[row] = sampled[-1 - ids[row]].token;
}

struct Borders {
  std::int32_t at[kLeaves + 1];
};

__global__ void __launch_bounds__(kThreads)
    join_columns_kernel(const float* parts, std::int64_t part_stride, std::int64_t stride, int count, Borders border,
                        TensorView out) {
  const std::int64_t column = column_of_thread();
  if (column >= out.cols) return;
  int part = 0;
  std::int64_t begin = 0;
#pragma unroll
  for (int i = 1; i < kLeaves; i++) {  // the last part that begins at or before the column: empty ones lie before it
    if (i >= count || border.at[i] > column) continue;
    part = i;
    begin = border.at[i];
  }
  const std::int64_t row = blockIdx.x;
  row_of<float>(out, row)[column] = parts[part * part_stride + row * stride + (column - begin)];
}

dim3 pieces(std::int64_t rows, std::int64_t columns) {
  return {static_cast<unsigned>(rows), static_cast<unsigned>((columns + kThreads - 1) / kThreads), 1};
}

Partials argument(const PartialSums& partials) {
  Partials of = {};
  std::copy_n(partials.of_rank, partials.count, of.of_rank);
  of.stride = partials.row_stride;
  of.bias = partials.bias;
  return of;
}

}  // namespace

void rms_norm(Stream& stream, const TensorView& x, const float* weight, float eps, const TensorView& out) {
  auto* kernel = x.dtype == DType::kF32 ? norm_kernel<float, false> : norm_kernel<BFloat16, false>;
  launch(stream, "rms_norm", kernel, dim3(static_cast<unsigned>(x.rows)), kNormThreads, 0, x, Partials{}, weight, eps,
         out);
}

void add_partials(Stream& stream, const TensorView& residual, const PartialSums& partials) {
  auto* kernel = residual.dtype == DType::kF32 ? add_partials_kernel<float> : add_partials_kernel<BFloat16>;
  launch(stream, "add_partials", kernel, pieces(residual.rows, residual.cols), kThreads, 0, residual,
         argument(partials));
}

void add_rms_norm(Stream& stream, const TensorView& residual, const PartialSums& partials, const float* weight,
                  float eps, const TensorView& out) {
  auto* kernel = residual.dtype == DType::kF32 ? norm_kernel<float, true> : norm_kernel<BFloat16, true>;
  launch(stream, "add_rms_norm", kernel, dim3(static_cast<unsigned>(residual.rows)), kNormThreads, 0, residual,
         argument(partials), weight, eps, out);
}

void rope(Stream& stream, const TensorView& x, std::int32_t heads, std::int32_t head_dim, const std::int32_t* positions,
          const float* table) {
  auto* kernel = x.dtype == DType::kF32 ? rope_kernel<float> : rope_kernel<BFloat16>;
  launch(stream, "rope", kernel, pieces(x.rows, static_cast<std::int64_t>(heads) * (head_dim / 2)), kThreads, 0, x,
         heads, head_dim, positions, table);
}

void silu_mul(Stream& stream, const TensorView& gate_up, std::int64_t up_offset, const TensorView& out) {
  auto* kernel = out.dtype == DType::kF32 ? silu_mul_kernel<float> : silu_mul_kernel<BFloat16>;
  launch(stream, "silu_mul", kernel, pieces(out.rows, out.cols), kThreads, 0, gate_up, up_offset, out);
}

void gather_rows(Stream& stream, const TensorView& x, const std::int32_t* rows, const TensorView& out) {
  auto* kernel = out.dtype == DType::kF32 ? gather_rows_kernel<float> : gather_rows_kernel<BFloat16>;
  launch(stream, "gather_rows", kernel, pieces(out.rows, out.cols), kThreads, 0, x, rows, out);
}

void resolve_tokens(Stream& stream, std::int32_t* ids, std::int64_t rows, const SampledRow* sampled) {
  launch(stream, "resolve_tokens", resolve_tokens_kernel, dim3(static_cast<unsigned>((rows + kThreads - 1) / kThreads)),
         kThreads, 0, ids, rows, sampled);
}

void join_columns(Stream& stream, const float* parts, std::int64_t part_stride, std::int64_t stride, int count,
                  const std::int32_t* border, const TensorView& out) {
  Borders borders = {};
  std::copy_n(border, count + 1, borders.at);
  launch(stream, "join_columns", join_columns_kernel, pieces(out.rows, out.cols), kThreads, 0, parts, part_stride,
         stride, count, borders, out);
}

}  // namespace herd::cuda
