// cuda_bench matmul: the products of a layer and the head, and what rule 3's leaves cost.

#include "tests/bench/cuda_bench_shapes.h"

#include <array>
#include <cstring>

namespace herd::bench {
namespace {

PackedMatrix matrix(std::int64_t outputs, std::int64_t k, int leaves) {
  PackedMatrix w;
  w.outputs = outputs;
  w.k = k;
  w.leaf_count = leaves;
  for (int leaf = 0; leaf <= leaves; leaf++)
    w.leaf_chunk[leaf] = static_cast<std::int32_t>(leaf * (w.k_padded() / kChunkK) / leaves);
  return w;
}

}  // namespace

std::vector<Product> products(const Shape& shape) {
  const std::int64_t q = std::int64_t{shape.query_heads} * shape.head_dim;
  const std::int64_t kv = std::int64_t{shape.kv_heads} * shape.head_dim;
  return {{"qkv", matrix(q + 2 * kv, shape.hidden, 1), DType::kBF16},
          {"o", matrix(shape.hidden, q, shape.leaves), DType::kF32},
          {"gate_up", matrix(2 * shape.ffn, shape.hidden, 1), DType::kBF16},
          {"down", matrix(shape.hidden, shape.ffn, shape.leaves), DType::kF32},
          {"head", matrix(shape.vocab, shape.hidden, 1), DType::kF32}};
}

namespace {

Timing time_product(Harness& harness, Device& device, PackedMatrix w, const TensorView& x, const TensorView& out) {
  const int inner = x.rows >= 512 && !harness.options().tiny ? 8 : harness.rotation(static_cast<double>(w.bytes()));
  return harness.time(device, inner, [&](int) {
    w.data = harness.weights().take(w.bytes());
    device.ops().matmul(x, w, nullptr, out);
  });
}

}  // namespace

void bench_matmul(Harness& harness, const Shape& shape) {
  std::vector<std::int64_t> tokens{1, 8, 32, 64, 128, 512, 4096};
  if (harness.options().quick) tokens = {1, 32, 4096};
  if (harness.options().tiny) tokens = {1, 8, 40};
  for (const std::int64_t rows : tokens) {
    double ours = 0, vendors = 0;
    for (const Product& product : products(shape)) {
      const bool head = std::strcmp(product.name, "head") == 0;
      if (head && rows > 256) continue;  // logits are computed for few rows
      const TensorView x = harness.input(DType::kBF16, rows, product.w.k);
      const TensorView out = harness.output(product.out, rows, product.w.outputs);
      Row row;
      row.part = "matmul";
      row.what = text("%-5s %-7s %5d tokens, %d -> %d", shape.name, product.name, static_cast<int>(rows),
                      static_cast<int>(product.w.k), static_cast<int>(product.w.outputs));
      row.bytes = static_cast<double>(product.w.bytes()) + bytes_of(x) + bytes_of(out);
      row.flops = 2.0 * static_cast<double>(rows * product.w.outputs * product.w.k);
      row.time = time_product(harness, harness.device(), product.w, x, out);
      if (harness.vendor() != nullptr)
        row.vendor_s = time_product(harness, *harness.vendor(), product.w, x, out).median_s;
      if (!head) ours += row.time.median_s;
      if (!head) vendors += row.vendor_s;
      harness.add(row);
    }
    if (rows == 4096)
      harness.add(Bar{text("prefill products %s, 4096 tokens: cuBLASLt's time / herd's", shape.name), vendors / ours,
                      0.70, false, harness.vendor() != nullptr, {}});
  }
}

// What the eight leaves of row-parallel products cost in a prefill, beside a single one.
void bench_leaves(Harness& harness) {
  const Shape& shape = harness.options().tiny ? kTiny : k8B;
  const std::int64_t rows = harness.options().tiny ? 40 : 4096;
  std::array<double, 2> seconds{};
  double rest = 0;
  for (const Product& product : products(shape)) {
    if (std::strcmp(product.name, "head") == 0) continue;
    const TensorView x = harness.input(DType::kBF16, rows, product.w.k);
    const TensorView out = harness.output(product.out, rows, product.w.outputs);
    if (product.w.leaf_count == 1) {
      rest += time_product(harness, harness.device(), product.w, x, out).median_s;
      continue;
    }
    for (const bool one : {false, true}) {
      const PackedMatrix w = one ? matrix(product.w.outputs, product.w.k, 1) : product.w;
      Row row{"leaves", text("%-5s %-7s %5d tokens, %d leaves", shape.name, product.name, static_cast<int>(rows),
                             w.leaf_count),
              time_product(harness, harness.device(), w, x, out), 0, 0, 0};
      row.bytes = static_cast<double>(w.bytes()) + bytes_of(x) + bytes_of(out);
      row.flops = 2.0 * static_cast<double>(rows * w.outputs * w.k);
      seconds[one ? 1 : 0] += row.time.median_s;
      harness.add(row);
    }
  }
  harness.add(Bar{text("eight leaves in the prefill products of %s: added time", shape.name),
                  (seconds[0] + rest) / (seconds[1] + rest) - 1.0, 0.08, true, true, {}});
}

}  // namespace herd::bench
