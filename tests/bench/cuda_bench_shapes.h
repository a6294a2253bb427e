#pragma once
// What cuda_bench measures with: the shapes of Llama models, their matrices, batches of sequences.

#include <cstdint>
#include <cstdio>
#include <string>
#include <vector>

#include "tests/bench/cuda_bench.h"

namespace herd::bench {

struct Shape {
  const char* name;
  std::int64_t hidden;
  std::int32_t query_heads, kv_heads, head_dim;
  std::int64_t ffn, vocab;
  int layers, leaves;  // leaves of the row-parallel products this rank holds
};
inline constexpr Shape k1B{"1B", 2048, 32, 8, 64, 8192, 128256, 16, 8};
inline constexpr Shape k8B{"8B", 4096, 32, 8, 128, 14336, 128256, 32, 8};
inline constexpr Shape k70B{"70B/8", 8192, 8, 1, 128, 3584, 16032, 80, 1};
inline constexpr Shape kTiny{"tiny", 64, 4, 2, 32, 96, 512, 2, 8};

template <class... Values>
std::string text(const char* pattern, Values... values) {
  char buffer[160];
  std::snprintf(buffer, sizeof buffer, pattern, values...);
  return buffer;
}

inline double bytes_of(const TensorView& view) {
  return static_cast<double>(view.rows * view.cols) * static_cast<double>(dtype_bytes(view.dtype));
}

// One of the products of a layer or the head; `out` is what it writes.
struct Product {
  const char* name;
  PackedMatrix w;  // without data
  DType out;
};
// qkv, o, gate_up, down, head.
[[nodiscard]] std::vector<Product> products(const Shape& shape);

// Sequences of given contexts, the last positions of each as rows of this step; their blocks are scattered over the
// pool.
struct Batch {
  AttentionBatch attention;
  std::int64_t rows = 0;
  double kv_tokens = 0;  // read: the contexts
  double scores = 0;     // visible (row, key) pairs
  std::vector<std::int64_t> slots;
  std::vector<std::int32_t> positions;
};

// query_rows: of every sequence. `spread`: how many blocks the pool has, over which the tables are scattered.
[[nodiscard]] Batch make_batch(Harness& harness, const Shape& shape, const std::vector<std::int32_t>& contexts,
                               std::int32_t query_rows, std::int64_t spread);
[[nodiscard]] KvView kv_view(const Shape& shape, void* data, std::int64_t bytes);
// RoPE's values for some positions: cos (half of the dims), sin.
[[nodiscard]] const float* rope_table(Harness& harness, const Shape& shape, std::int64_t positions);

// The parts.
void bench_matmul(Harness& harness, const Shape& shape);
void bench_leaves(Harness& harness);
void bench_attention(Harness& harness);
void bench_rows(Harness& harness, const Shape& shape, std::int64_t rows);
void bench_sampling(Harness& harness);
void bench_steps(Harness& harness);

}  // namespace herd::bench
