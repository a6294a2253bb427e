// cuda_bench step: whole decode steps of a model's shape, from token ids to sampled tokens, as one recorded step.

#include "tests/bench/cuda_bench_shapes.h"

#include <utility>

#include "kernels/row_sampler.h"

namespace herd::bench {
namespace {

// The operations of runtime/model/llama.cc and the sampler (greedy), over memory of the harness. Each layer has weights
// and KV of its own from the pools.
class DecodeStep {
 public:
  DecodeStep(Harness& harness, const Shape& shape, std::int32_t sequences, std::int32_t context)
      : harness_(harness),
        ops_(harness.device().ops()),
        s_(shape),
        rows_(sequences),
        products_(products(shape)),
        q_width_(std::int64_t{shape.query_heads} * shape.head_dim),
        kv_width_(std::int64_t{shape.kv_heads} * shape.head_dim) {
    const std::int64_t blocks = rows_ * ((context + 15) / 16);
    kv_bytes_ = blocks * KvLayout{DType::kBF16, 16, shape.kv_heads, shape.head_dim}.bytes_per_block();
    batch_ = make_batch(harness, shape, std::vector<std::int32_t>(static_cast<std::size_t>(rows_), context), 1, blocks);
    positions_ = harness.copy(batch_.positions);
    slots_ = harness.copy(batch_.slots);
    rope_ = rope_table(harness, shape, context);
    std::vector<std::int32_t> ids, rows;
    for (std::int32_t row = 0; row < sequences; row++) {
      ids.push_back(static_cast<std::int32_t>(row * 37 % shape.vocab));
      rows.push_back(row);
    }
    ids_ = harness.copy(ids);
    sampled_rows_ = harness.copy(rows);
    norm_ = static_cast<const float*>(harness.input(DType::kF32, 1, shape.hidden).data);
    const auto buffer = [&](std::int64_t cols, DType dtype = DType::kBF16) { return harness.output(dtype, rows_, cols); };
    residual_ = buffer(shape.hidden);
    normed_ = buffer(shape.hidden);
    qkv_ = buffer(q_width_ + 2 * kv_width_);
    attended_ = buffer(q_width_);
    gate_up_ = buffer(2 * shape.ffn);
    mlp_ = buffer(shape.ffn);
    partial_ = buffer(shape.hidden, DType::kF32);
    logits_ = buffer(shape.vocab, DType::kF32);
    sample_ = greedy();
  }

  void enqueue() {
    PackedMatrix table = products_[4].w;
    table.data = harness_.weights().take(table.bytes());
    ops_.embed(table, ids_, residual_);
    ops_.rms_norm(residual_, norm_, 1e-5F, normed_);
    for (int layer = 0; layer < s_.layers; layer++) enqueue_layer();
    ops_.gather_rows(normed_, sampled_rows_, selected());
    product(4, selected(), logits_);
    harness_.device().row_sampler()->sample_rows(logits_, sample_);
  }

  // What a step must read, weights and KV, and multiply.
  [[nodiscard]] double bytes() const {
    double sum = static_cast<double>(products_[4].w.bytes());
    for (std::size_t i = 0; i < 4; i++) sum += s_.layers * static_cast<double>(products_[i].w.bytes());
    return sum + s_.layers * batch_.kv_tokens * 4.0 * static_cast<double>(kv_width_);
  }
  [[nodiscard]] double flops() const {
    double sum = 2.0 * static_cast<double>(rows_ * s_.vocab * s_.hidden);
    for (std::size_t i = 0; i < 4; i++)
      sum += 2.0 * s_.layers * static_cast<double>(rows_ * products_[i].w.outputs * products_[i].w.k);
    return sum + s_.layers * 4.0 * batch_.scores * static_cast<double>(q_width_);
  }

 private:
  [[nodiscard]] TensorView columns(std::int64_t begin, std::int64_t cols) const {
    TensorView part = qkv_;
    part.data = static_cast<std::byte*>(qkv_.data) + begin * 2;
    part.cols = cols;
    return part;
  }
  // [rows, hidden], where gate_up was.
  [[nodiscard]] TensorView selected() const {
    TensorView view = normed_;
    view.data = gate_up_.data;
    return view;
  }

  SampleBatch greedy() {
    std::vector<SampleRowParams> params(static_cast<std::size_t>(rows_));
    for (SampleRowParams& row : params) row.active = 1;
    SampleBatch batch;
    batch.params = harness_.copy(params);
    batch.edits = harness_.copy(std::vector<LogitEdit>(1));
    batch.out = harness_.copy(std::vector<SampledRow>(params.size()));
    batch.vocab_size = static_cast<std::int32_t>(s_.vocab);
    for (int leaf = 0; leaf < kLeaves; leaf++)
      batch.vocab_leaf[leaf] = static_cast<std::int32_t>(leaf * (s_.vocab / 16) / kLeaves * 16);
    batch.vocab_leaf[kLeaves] = batch.vocab_size;
    return batch;
  }

  void product(std::size_t which, const TensorView& x, const TensorView& out) {
    PackedMatrix w = products_[which].w;
    w.data = harness_.weights().take(w.bytes());
    ops_.matmul(x, w, nullptr, out);
  }

  void add_partial() {
    const auto* parts = static_cast<const float*>(partial_.data);
    ops_.add_rms_norm(residual_, {&parts, 1, partial_.row_stride, nullptr}, norm_, 1e-5F, normed_);
  }

  void enqueue_layer() {
    const KvView kv = kv_view(s_, harness_.kv().take(kv_bytes_), kv_bytes_);
    const TensorView q = columns(0, q_width_);
    product(0, normed_, qkv_);
    ops_.rope_write_kv(q, columns(q_width_, kv_width_), columns(q_width_ + kv_width_, kv_width_), positions_, rope_,
                       slots_, kv);
    ops_.attention(q, kv, batch_.attention, attended_);
    product(1, attended_, partial_);
    add_partial();
    product(2, normed_, gate_up_);
    ops_.silu_mul(gate_up_, s_.ffn, mlp_);
    product(3, mlp_, partial_);
    add_partial();
  }

  Harness& harness_;
  Ops& ops_;
  const Shape s_;
  const std::int64_t rows_;
  const std::vector<Product> products_;
  const std::int64_t q_width_, kv_width_;
  std::int64_t kv_bytes_ = 0;
  Batch batch_;
  const std::int32_t *positions_ = nullptr, *ids_ = nullptr, *sampled_rows_ = nullptr;
  const std::int64_t* slots_ = nullptr;
  const float *rope_ = nullptr, *norm_ = nullptr;
  TensorView residual_, normed_, qkv_, attended_, gate_up_, mlp_, partial_, logits_;
  SampleBatch sample_;
};

void bench_step(Harness& harness, const Shape& shape, std::int32_t sequences, std::int32_t context, bool has_bar) {
  DecodeStep step(harness, shape, sequences, context);
  Row row;
  row.part = "step";
  row.what = text("%-5s decode, %d x %d, %d layers", shape.name, sequences, context, shape.layers);
  row.time = harness.time(harness.device(), 1, [&](int) { step.enqueue(); });
  row.bytes = step.bytes();
  row.flops = step.flops();
  if (has_bar)
    harness.add_share(text("decode step %s, batch %d, context %d: of the bound", shape.name, sequences, context), row,
                      0.80);
  harness.add(std::move(row));
}

}  // namespace

void bench_steps(Harness& harness) {
  if (harness.options().tiny) return bench_step(harness, kTiny, 2, 40, false);
  for (const int batch : {1, 32}) bench_step(harness, k8B, batch, 512, true);
  bench_step(harness, k8B, 256, 592, false);  // beside herd's own steps of 256 sequences: what the host adds
  if (harness.options().quick) return;
  for (const int batch : {1, 32}) bench_step(harness, k1B, batch, 512, false);
  for (const int batch : {1, 32}) bench_step(harness, k70B, batch, 512, false);
}

}  // namespace herd::bench
