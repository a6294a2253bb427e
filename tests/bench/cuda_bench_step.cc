// cuda_bench step: whole decode steps of a model's shape.

#include "tests/bench/cuda_bench_shapes.h"

#include <utility>

namespace herd::bench {
namespace {

// All layers and the head of a decode step as one recorded step, without the sampler: the share of the time in which
// its weights and KV could be read.
void bench_step(Harness& harness, const Shape& s, std::int32_t sequences, std::int32_t context, bool has_bar) {
  Ops& ops = harness.device().ops();
  const std::int64_t rows = sequences, q_width = std::int64_t{s.query_heads} * s.head_dim;
  const std::int64_t kv_width = std::int64_t{s.kv_heads} * s.head_dim;
  KvLayout layout{DType::kBF16, 16, s.kv_heads, s.head_dim};
  const std::int64_t blocks = sequences * ((context + 15) / 16), kv_bytes = blocks * layout.bytes_per_block();
  const Batch batch = make_batch(harness, s, std::vector<std::int32_t>(rows, context), 1, blocks);
  const std::vector<Product> all = products(s);
  double bytes = static_cast<double>(all[4].w.bytes()), flops = 2.0 * static_cast<double>(rows * s.vocab * s.hidden);
  for (int i = 0; i < 4; i++) {
    bytes += s.layers * static_cast<double>(all[static_cast<std::size_t>(i)].w.bytes());
    flops += 2.0 * s.layers * static_cast<double>(rows * all[static_cast<std::size_t>(i)].w.outputs) *
             static_cast<double>(all[static_cast<std::size_t>(i)].w.k);
  }
  bytes += s.layers * batch.kv_tokens * 4.0 * s.kv_heads * s.head_dim;
  flops += s.layers * 4.0 * batch.scores * static_cast<double>(q_width);

  const auto buffer = [&](std::int64_t cols, DType dtype = DType::kBF16) { return harness.output(dtype, rows, cols); };
  const TensorView residual = harness.input(DType::kBF16, rows, s.hidden);
  const TensorView normed = buffer(s.hidden), qkv = buffer(q_width + 2 * kv_width), attended = buffer(q_width);
  const TensorView gate_up = buffer(2 * s.ffn), mlp = buffer(s.ffn);
  const TensorView partial = buffer(s.hidden, DType::kF32), logits = buffer(s.vocab, DType::kF32);
  const auto* norm = static_cast<const float*>(harness.input(DType::kF32, 1, s.hidden).data);
  const float* table = rope_table(harness, s, context);
  const std::int32_t* positions = harness.copy(batch.positions);
  const std::int64_t* slots = harness.copy(batch.slots);
  const auto columns = [&](std::int64_t begin, std::int64_t cols) {
    TensorView part = qkv;
    part.data = static_cast<std::byte*>(qkv.data) + begin * 2;
    part.cols = cols;
    return part;
  };
  const TensorView q = columns(0, q_width), k = columns(q_width, kv_width), v = columns(q_width + kv_width, kv_width);
  const auto product = [&](std::size_t which, const TensorView& x, const TensorView& out) {
    PackedMatrix w = all[which].w;
    w.data = harness.weights().take(w.bytes());
    ops.matmul(x, w, nullptr, out);
  };
  const auto* parts = static_cast<const float*>(partial.data);
  const Timing time = harness.time(harness.device(), 1, [&](int) {
    ops.rms_norm(residual, norm, 1e-5F, normed);
    for (int layer = 0; layer < s.layers; layer++) {
      const KvView kv = kv_view(s, harness.kv().take(kv_bytes), kv_bytes);
      product(0, normed, qkv);
      ops.rope_write_kv(q, k, v, positions, table, slots, kv);
      ops.attention(q, kv, batch.attention, attended);
      product(1, attended, partial);
      ops.add_rms_norm(residual, &parts, 1, partial.row_stride, nullptr, norm, 1e-5F, normed);
      product(2, normed, gate_up);
      ops.silu_mul(gate_up, s.ffn, mlp);
      product(3, mlp, partial);
      ops.add_rms_norm(residual, &parts, 1, partial.row_stride, nullptr, norm, 1e-5F, normed);
    }
    product(4, normed, logits);
  });
  Row row{"step", text("%-5s decode, %d x %d, %d layers and head", s.name, sequences, context, s.layers), time, bytes,
          flops, 0};
  if (has_bar)
    harness.add(Bar{text("decode step %s, batch %d, context %d: of the bound", s.name, sequences, context),
                    harness.bound_s(bytes, flops) / time.median_s, 0.80});
  harness.add(std::move(row));
}

}  // namespace

void bench_steps(Harness& harness) {
  if (harness.options().tiny) return bench_step(harness, kTiny, 2, 40, false);
  for (const int batch : {1, 32}) bench_step(harness, k8B, batch, 512, true);
  if (harness.options().quick) return;
  for (const int batch : {1, 32}) bench_step(harness, k1B, batch, 512, false);
  for (const int batch : {1, 32}) bench_step(harness, k70B, batch, 512, false);
}

}  // namespace herd::bench
