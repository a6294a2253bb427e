#include "kernels/cuda/matmul.h"
namespace herd::cuda {
void pack_rows(Stream&, const PackedMatrix&, std::int64_t, std::int64_t, const float*) {}
void embed(Stream&, const PackedMatrix&, const std::int32_t*, const TensorView&) {}
void matmul(Stream&, const TensorView&, const PackedMatrix&, const float*, const TensorView&) {}
bool on_tensor_cores(DType x, DType w) { return x == DType::kBF16 && w == DType::kBF16; }
}  // namespace herd::cuda
