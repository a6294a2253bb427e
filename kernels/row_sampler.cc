#include "kernels/row_sampler.h"

#include <utility>

#include "kernels/check.h"
#include "kernels/device.h"
#include "kernels/tensor_checks.h"

namespace herd {
namespace {

class CheckedRowSampler final : public RowSampler {
 public:
  explicit CheckedRowSampler(std::unique_ptr<RowSampler> sampler) : sampler_(std::move(sampler)) {}

  void resolve_tokens(std::int32_t* ids, std::int64_t rows, const SampledRow* sampled) override {
    HERD_CHECK(ids != nullptr && rows >= 0 && sampled != nullptr, "ids and what they stand for exist");
    if (rows > 0) sampler_->resolve_tokens(ids, rows, sampled);
  }

  void join_columns(const float* parts, std::int64_t part_stride, std::int64_t stride, int count,
                    const std::int32_t* border, const TensorView& out) override {
    check_view(out);
    HERD_CHECK(out.dtype == DType::kF32 && parts != nullptr, "logits are f32");
    HERD_CHECK(count >= 1 && count <= kLeaves && border[0] == 0 && border[count] == out.cols, "parts cover the row");
    for (int part = 0; part < count; part++) {
      HERD_CHECK(border[part] <= border[part + 1] && border[part + 1] - border[part] <= stride, "parts fit their rows");
    }
    HERD_CHECK(part_stride >= out.rows * stride, "parts do not overlap");
    if (out.rows > 0) sampler_->join_columns(parts, part_stride, stride, count, border, out);
  }

  void sample_rows(const TensorView& logits, const SampleBatch& batch) override {
    check_view(logits);
    HERD_CHECK(logits.dtype == DType::kF32 && logits.cols == batch.vocab_size, "logits are f32, whole rows");
    HERD_CHECK(batch.params != nullptr && batch.out != nullptr, "every row has parameters and a result");
    HERD_CHECK(batch.vocab_leaf[0] == 0 && batch.vocab_leaf[kLeaves] == batch.vocab_size, "leaves cover the row");
    for (int leaf = 0; leaf < kLeaves; leaf++) {
      HERD_CHECK(batch.vocab_leaf[leaf] % 16 == 0 && batch.vocab_leaf[leaf] <= batch.vocab_leaf[leaf + 1],
                 "leaves ascend in steps of 16");
    }
    set_kernel_float_mode();
    if (logits.rows > 0) sampler_->sample_rows(logits, batch);
  }

 private:
  const std::unique_ptr<RowSampler> sampler_;
};

}  // namespace

std::unique_ptr<RowSampler> make_checked_row_sampler(std::unique_ptr<RowSampler> sampler) {
  HERD_CHECK(sampler != nullptr, "a backend exists");
  return std::make_unique<CheckedRowSampler>(std::move(sampler));
}

}  // namespace herd
