#pragma once
// Logits to tokens on the device: the bits of runtime/sampling's Sampler. Launchers; shapes as in kernels/ops.h
// and kernels/row_sampler.h.

#include "kernels/cuda/stream.h"
#include "kernels/ops.h"
#include "kernels/row_sampler.h"

namespace herd::cuda {

void leaf_max_sum(Stream& stream, const TensorView& logits, std::int64_t begin, std::int64_t end, MaxSum* out);
void draw(Stream& stream, const float* logits, std::int64_t cols, std::int32_t id_base, float temperature, float floor,
          const DrawKey& key, Candidate* out);
void top_k(Stream& stream, const float* logits, std::int64_t cols, std::int32_t id_base, std::int32_t k,
           Candidate* out);
void sample_rows(Stream& stream, const TensorView& logits, const SampleBatch& batch);

}  // namespace herd::cuda
