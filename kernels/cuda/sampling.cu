#include "kernels/cuda/sampling.h"
namespace herd::cuda {
void leaf_max_sum(Stream&, const TensorView&, std::int64_t, std::int64_t, MaxSum*) {}
void draw(Stream&, const float*, std::int64_t, std::int32_t, float, float, const DrawKey&, Candidate*) {}
void top_k(Stream&, const float*, std::int64_t, std::int32_t, std::int32_t, Candidate*) {}
void sample_rows(Stream&, const TensorView&, const SampleBatch&) {}
}  // namespace herd::cuda
