#include "kernels/cuda/attention.h"
namespace herd::cuda {
void write_kv(Stream&, const TensorView&, const TensorView&, const std::int64_t*, const KvView&) {}
void rope_write_kv(Stream&, const TensorView&, const TensorView&, const TensorView&, const std::int32_t*, const float*,
                   const std::int64_t*, const KvView&) {}
std::size_t attention_scratch_bytes(const OpsLimits&) { return 0; }
void attention(Stream&, const TensorView&, const KvView&, const AttentionBatch&, const AttentionScratch&,
               const TensorView&) {}
}  // namespace herd::cuda
