#include "kernels/cuda/ops_cuda.h"

#include <utility>

#include "kernels/cuda/cublas_matmul.h"
#include "kernels/cuda/elementwise.h"
#include "kernels/cuda/matmul.h"
#include "kernels/cuda/sampling.h"

namespace herd::cuda {
namespace {

class CudaOps final : public Ops {
 public:
  CudaOps(std::shared_ptr<Stream> stream, std::unique_ptr<CublasMatmul> yardstick, const AttentionScratch& scratch)
      : stream_(std::move(stream)), yardstick_(std::move(yardstick)), scratch_(scratch) {}

  const char* name() const override { return yardstick_ ? "cuda, cublaslt" : "cuda"; }

  void pack_rows(const PackedMatrix& w, std::int64_t row, std::int64_t rows, const float* source) override {
    if (plain(w)) return yardstick_->pack_rows(w, row, rows, source);
    cuda::pack_rows(stream(), w, row, rows, source);
  }

  void embed(const PackedMatrix& table, const std::int32_t* ids, const TensorView& out) override {
    if (plain(table)) return yardstick_->embed(table, ids, out);
    cuda::embed(stream(), table, ids, out);
  }
  void rms_norm(const TensorView& x, const float* weight, float eps, const TensorView& out) override {
    cuda::rms_norm(stream(), x, weight, eps, out);
  }
  void matmul(const TensorView& x, const PackedMatrix& w, const float* bias, const TensorView& out) override {
    if (plain(w)) return yardstick_->matmul(x, w, bias, out);
    cuda::matmul(stream(), x, w, bias, out);
  }
  void add_partials(const TensorView& residual, const PartialSums& partials) override {
    cuda::add_partials(stream(), residual, partials);
  }
  void add_rms_norm(const TensorView& residual, const PartialSums& partials, const float* weight, float eps,
                    const TensorView& out) override {
    cuda::add_rms_norm(stream(), residual, partials, weight, eps, out);
  }
  void rope(const TensorView& x, std::int32_t heads, std::int32_t head_dim, const std::int32_t* positions,
            const float* table) override {
    cuda::rope(stream(), x, heads, head_dim, positions, table);
  }
  void write_kv(const TensorView& k, const TensorView& v, const std::int64_t* slots, const KvView& kv) override {
    cuda::write_kv(stream(), k, v, slots, kv);
  }
  void rope_write_kv(const TensorView& q, const TensorView& k, const TensorView& v, const std::int32_t* positions,
                     const float* table, const std::int64_t* slots, const KvView& kv) override {
    cuda::rope_write_kv(stream(), q, k, v, positions, table, slots, kv);
  }
  void attention(const TensorView& q, const KvView& kv, const AttentionBatch& batch, const TensorView& out) override {
    cuda::attention(stream(), q, kv, batch, scratch_, out);
  }
  void silu_mul(const TensorView& gate_up, std::int64_t up_offset, const TensorView& out) override {
    cuda::silu_mul(stream(), gate_up, up_offset, out);
  }
  void gather_rows(const TensorView& x, const std::int32_t* rows, const TensorView& out) override {
    cuda::gather_rows(stream(), x, rows, out);
  }
  void leaf_max_sum(const TensorView& logits, std::int64_t begin, std::int64_t end, MaxSum* out) override {
    cuda::leaf_max_sum(stream(), logits, begin, end, out);
  }
  void draw(const float* logits, std::int64_t cols, std::int32_t id_base, float temperature, float floor,
            const DrawKey& key, Candidate* out) override {
    cuda::draw(stream(), logits, cols, id_base, temperature, floor, key, out);
  }
  void top_k(const float* logits, std::int64_t cols, std::int32_t id_base, std::int32_t k, Candidate* out) override {
    cuda::top_k(stream(), logits, cols, id_base, k, out);
  }

 private:
  // Every operation goes through here: the thread may have been at another GPU.
  [[nodiscard]] Stream& stream() {
    stream_->use();
    return *stream_;
  }
  // Whether the yardstick keeps and multiplies this matrix.
  [[nodiscard]] bool plain(const PackedMatrix& w) {
    stream_->use();
    return yardstick_ != nullptr && w.dtype() == DType::kBF16;
  }

  const std::shared_ptr<Stream> stream_;
  const std::unique_ptr<CublasMatmul> yardstick_;  // null: herd's own products
  const AttentionScratch& scratch_;                // the device's, empty until it reserves some
};

}  // namespace

Expected<std::unique_ptr<Ops>> make_cuda_ops(std::shared_ptr<Stream> stream, GpuMatmul matmul,
                                             const AttentionScratch& scratch) {
  std::unique_ptr<CublasMatmul> yardstick;
  if (matmul == GpuMatmul::kCublasLt) {
    auto made = CublasMatmul::make(stream);
    if (!made) return fail(made.error());
    yardstick = std::move(*made);
  }
  return std::make_unique<CudaOps>(std::move(stream), std::move(yardstick), scratch);
}

}  // namespace herd::cuda
