#pragma once
// Weights: packing, embedding rows, products. Launchers: they enqueue on the stream.
//
// bf16 weights x bf16 activations run on tensor cores (mma_bf16): weights are the M operand, tokens the N operand. Per
// output and token, for any number of tokens: each leaf of K is a chain of products from +0 over its chunks of 32 in
// ascending order (two instructions a chunk, layouts.h), leaves are added by rule 3's tree, then the bias, then one
// rounding. No other split of K. So a row has the same bits alone, in any batch and in any chunk of a prefill.
// All other pairs of dtypes run on the ordinary cores in rule 1's order and give the CPU's bits.

#include "kernels/cuda/stream.h"
#include "kernels/ops.h"

namespace herd::cuda {

// source: f32 [rows, w.k] on the device. As Ops::pack_rows.
void pack_rows(Stream& stream, const PackedMatrix& w, std::int64_t row, std::int64_t rows, const float* source);
void embed(Stream& stream, const PackedMatrix& table, const std::int32_t* ids, const TensorView& out);
void matmul(Stream& stream, const TensorView& x, const PackedMatrix& w, const float* bias, const TensorView& out);

// Whether a product runs on tensor cores.
[[nodiscard]] bool on_tensor_cores(DType x, DType w);

}  // namespace herd::cuda
