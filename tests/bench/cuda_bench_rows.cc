// cuda_bench rows, sampling: operations on rows of activations, and the sampler's stages on rows of logits.

#include "kernels/row_sampler.h"
#include "tests/bench/cuda_bench_shapes.h"

namespace herd::bench {

// Operations on rows: nothing but bytes.
void bench_rows(Harness& harness, const Shape& shape, std::int64_t rows) {
  Ops& ops = harness.device().ops();
  const Shape& s = shape;
  const std::int64_t q_width = std::int64_t{s.query_heads} * s.head_dim;
  const std::int64_t kv_width = std::int64_t{s.kv_heads} * s.head_dim;
  const TensorView x = harness.input(DType::kBF16, rows, s.hidden);
  const TensorView out = harness.output(DType::kBF16, rows, s.hidden);
  const TensorView partial = harness.input(DType::kF32, rows, s.hidden);
  const auto* weight = static_cast<const float*>(harness.input(DType::kF32, 1, s.hidden).data);
  const auto add = [&](const char* what, double bytes, const std::function<void(int)>& body) {
    harness.add(Row{"rows", text("%-5s %-14s %5d rows", s.name, what, static_cast<int>(rows)),
                    harness.time(harness.device(), 16, body), bytes, 0, 0});
  };
  add("rms_norm", 2 * bytes_of(x), [&](int) { ops.rms_norm(x, weight, 1e-5F, out); });
  const auto* parts = static_cast<const float*>(partial.data);
  add("add_rms_norm", 3 * bytes_of(x) + bytes_of(partial), [&](int) {
    ops.add_rms_norm(x, {&parts, 1, partial.row_stride, nullptr}, weight, 1e-5F, out);
  });
  const TensorView gate_up = harness.input(DType::kBF16, rows, 2 * s.ffn);
  const TensorView mlp = harness.output(DType::kBF16, rows, s.ffn);
  add("silu_mul", 3 * bytes_of(mlp), [&](int) { ops.silu_mul(gate_up, s.ffn, mlp); });
  const TensorView q = harness.input(DType::kBF16, rows, q_width);
  const TensorView k = harness.input(DType::kBF16, rows, kv_width), v = harness.input(DType::kBF16, rows, kv_width);
  const KvView kv = kv_view(s, harness.kv().data(), harness.kv().bytes());
  std::vector<std::int32_t> positions(static_cast<std::size_t>(rows));
  std::vector<std::int64_t> slots(positions.size());
  for (std::size_t i = 0; i < slots.size(); i++) {
    positions[i] = static_cast<std::int32_t>(i);
    slots[i] = static_cast<std::int64_t>(i);
  }
  const auto* table = rope_table(harness, s, rows);
  const std::int32_t* at = harness.copy(positions);
  const std::int64_t* to = harness.copy(slots);
  add("rope_write_kv", 2 * bytes_of(q) + 2 * bytes_of(k) + 2 * bytes_of(v), [&](int) {
    ops.rope_write_kv(q, k, v, at, table, to, kv);
  });
}

namespace {

// Logits as a model's: a bell of width 3 with a few tokens far above it; others for every row, up to 8. Or all equal.
TensorView random_logits(Harness& harness, std::int64_t rows, std::int64_t vocab, bool equal) {
  const TensorView logits = harness.output(DType::kF32, rows, vocab);
  std::vector<float> values(static_cast<std::size_t>(logits.row_stride));
  std::uint64_t state = 11;
  const auto uniform = [&] {
    state = state * 6364136223846793005ULL + 1442695040888963407ULL;
    return static_cast<float>(state >> 40) * 0x1p-24F;
  };
  for (std::int64_t row = 0; row < rows; row++) {
    if (row < 8 && !equal) {
      for (float& value : values) value = (uniform() + uniform() + uniform() + uniform() - 2.0F) * 5.2F;
      for (int peak = 0; peak < 20; peak++)
        values[static_cast<std::size_t>(uniform() * static_cast<float>(vocab - 1))] = 8.0F + 6.0F * uniform();
    }
    harness.device().upload(static_cast<float*>(logits.data) + row * logits.row_stride, values.data(),
                            values.size() * sizeof(float));
  }
  stop_unless(harness.device().wait());
  return logits;
}

}  // namespace

void bench_sampling(Harness& harness) {
  const std::int64_t vocab = harness.options().tiny ? 512 : 128256;
  RowSampler& sampler = *harness.device().row_sampler();
  const std::vector<std::int64_t> counts =
      harness.options().tiny ? std::vector<std::int64_t>{1, 3} : std::vector<std::int64_t>{1, 64, 256};
  struct Kind {
    const char* name;
    float temperature, min_p, top_p;
    std::int32_t top_k;
    bool equal = false;
  };
  for (const std::int64_t rows : counts) {
    const TensorView spread = random_logits(harness, rows, vocab, false), equal = random_logits(harness, rows, vocab, true);
    for (const Kind kind : {Kind{"greedy", 0, 0, 1, 0}, Kind{"temperature 1", 1, 0, 1, 0}, Kind{"min-p 0.05", 1, 0.05F, 1, 0},
                            Kind{"top-k 50", 1, 0, 1, 50}, Kind{"k 50, p 0.9", 1, 0, 0.9F, 50},
                            Kind{"top-k 5000", 1, 0, 1, 5000}, Kind{"top-p 0.9", 1, 0, 0.9F, 0},
                            Kind{"p 0.9, equal", 1, 0, 0.9F, 0, true}}) {
      const TensorView& logits = kind.equal ? equal : spread;
      std::vector<SampleRowParams> params(static_cast<std::size_t>(rows));
      for (std::size_t row = 0; row < params.size(); row++) {
        params[row].seed = row + 1;
        params[row].temperature = kind.temperature;
        params[row].min_p = kind.min_p;
        params[row].top_p = kind.top_p;
        params[row].top_k = kind.top_k;
        params[row].active = 1;
      }
      SampleBatch batch;
      batch.params = harness.copy(params);
      batch.edits = harness.copy(std::vector<LogitEdit>(1));
      batch.out = harness.copy(std::vector<SampledRow>(params.size()));
      batch.vocab_size = static_cast<std::int32_t>(vocab);
      for (int leaf = 0; leaf <= kLeaves; leaf++)
        batch.vocab_leaf[leaf] = static_cast<std::int32_t>(leaf * (round_up(vocab, 16) / 16) / kLeaves * 16);
      batch.vocab_leaf[kLeaves] = batch.vocab_size;
      Row row;
      row.part = "sampling";
      row.what = text("%-13s %4d rows of %d", kind.name, static_cast<int>(rows), static_cast<int>(vocab));
      row.time = harness.time(harness.device(), 4, [&](int) { sampler.sample_rows(logits, batch); });
      row.bytes = bytes_of(logits);
      harness.add(row);
      if (kind.top_k == 0 && kind.top_p < 1 && rows == 64)
        harness.add(Bar{text("%s: ms for 64 rows of %d", kind.name, static_cast<int>(vocab)), 1e3 * row.time.median_s, 0.1,
                        true, true, {}});
    }
  }
}

}  // namespace herd::bench
