#include "kernels/cuda/row_sampler_cuda.h"

#include <utility>

#include "kernels/cuda/elementwise.h"
#include "kernels/cuda/sampling.h"

namespace herd::cuda {
namespace {

class CudaRowSampler final : public RowSampler {
 public:
  explicit CudaRowSampler(std::shared_ptr<Stream> stream) : stream_(std::move(stream)) {}

  void resolve_tokens(std::int32_t* ids, std::int64_t rows, const SampledRow* sampled) override {
    cuda::resolve_tokens(stream(), ids, rows, sampled);
  }
  void join_columns(const float* parts, std::int64_t part_stride, std::int64_t stride, int count,
                    const std::int32_t* border, const TensorView& out) override {
    cuda::join_columns(stream(), parts, part_stride, stride, count, border, out);
  }
  void sample_rows(const TensorView& logits, const SampleBatch& batch) override {
    cuda::sample_rows(stream(), logits, batch);
  }

 private:
  // The thread may have been at another GPU.
  [[nodiscard]] Stream& stream() {
    stream_->use();
    return *stream_;
  }

  const std::shared_ptr<Stream> stream_;
};

}  // namespace

std::unique_ptr<RowSampler> make_cuda_row_sampler(std::shared_ptr<Stream> stream) {
  return std::make_unique<CudaRowSampler>(std::move(stream));
}

}  // namespace herd::cuda
