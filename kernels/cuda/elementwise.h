#pragma once
// Norms, RoPE, SiLU, sums of partials, row copies: the reference backend's bits. Launchers; shapes as in kernels/ops.h.

#include "kernels/cuda/stream.h"
#include "kernels/ops.h"
#include "kernels/row_sampler.h"

namespace herd::cuda {

void rms_norm(Stream& stream, const TensorView& x, const float* weight, float eps, const TensorView& out);
void add_partials(Stream& stream, const TensorView& residual, const PartialSums& partials);
void add_rms_norm(Stream& stream, const TensorView& residual, const PartialSums& partials, const float* weight,
                  float eps, const TensorView& out);
void rope(Stream& stream, const TensorView& x, std::int32_t heads, std::int32_t head_dim, const std::int32_t* positions,
          const float* table);
void silu_mul(Stream& stream, const TensorView& gate_up, std::int64_t up_offset, const TensorView& out);
void gather_rows(Stream& stream, const TensorView& x, const std::int32_t* rows, const TensorView& out);
void resolve_tokens(Stream& stream, std::int32_t* ids, std::int64_t rows, const SampledRow* sampled);
void join_columns(Stream& stream, const float* parts, std::int64_t part_stride, std::int64_t stride, int count,
                  const std::int32_t* border, const TensorView& out);

}  // namespace herd::cuda
