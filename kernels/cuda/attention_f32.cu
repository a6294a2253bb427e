// Attention of float32: rule 4 itself. A block takes one row and query head: threads are keys for the scores, dims for
// P · V, and every sum is the reference's loop.

#include "kernels/cuda/attention_f32.h"

#include "kernels/cuda/attention_kv.h"
#include "kernels/plans/attention_work.h"
#include "kernels/cuda/instructions.h"
#include "kernels/cuda/launch.h"
#include "kernels/math.h"

namespace herd::cuda {
namespace {

constexpr std::int32_t kThreads = 128;

struct F32Args {
  TensorView q;
  KvView kv;
  AttentionBatch batch;
  TensorView out;
};

// Rule 1: Σ a(k) · b(k) over chunks of 32 from k = 0.
template <class A, class B>
__device__ __forceinline__ float canonical_dot(std::int32_t chunks, const A& a, const B& b) {
  float sum = 0.0F;
  for (std::int32_t chunk = 0; chunk < chunks; chunk++) {
    float even = 0.0F, odd = 0.0F;
    for (std::int32_t k = chunk * 32; k < (chunk + 1) * 32; k += 2) {
      even = fma_f32(a(k), b(k), even);
      odd = fma_f32(a(k + 1), b(k + 1), odd);
    }
    sum = sum + (even + odd);
  }
  return sum;
}

struct F32Context {
  const KvView& kv;
  const std::uint32_t* table;
  std::int32_t head;

  [[nodiscard]] __device__ __forceinline__ const float* block(std::int32_t position) const {
    const std::int64_t id = table[position / kv.layout.block_size];
    return reinterpret_cast<const float*>(static_cast<const char*>(kv.data) + id * kv.layout.bytes_per_block());
  }
  [[nodiscard]] __device__ __forceinline__ float k(std::int32_t position, std::int32_t dim) const {
    return block(position)[cpu_k_index(kv.layout, head, position % kv.layout.block_size, dim)];
  }
  [[nodiscard]] __device__ __forceinline__ float v(std::int32_t position, std::int32_t dim) const {
    return block(position)[cpu_v_index(kv.layout, head, position % kv.layout.block_size, dim)];
  }
};

// The larger of all threads' values, in thread order (a NaN behind the first is passed over, as in a loop).
__device__ float block_max(float value) {
  __shared__ float values[kThreads];
  values[threadIdx.x] = value;
  block_barrier();
  float max = values[0];
  for (std::int32_t i = 1; i < kThreads; i++) max = values[i] > max ? values[i] : max;
  block_barrier();
  return max;
}

// Rule 2: p[0 … count) in 16 lanes, then the tree. By all threads.
__device__ float lane_sum(const float* p, std::int32_t count) {
  __shared__ float lanes[16];
  const auto lane = static_cast<std::int32_t>(threadIdx.x);
  if (lane < 16) {
    float sum = 0.0F;
    for (std::int32_t i = lane; i < count; i += 16) sum = sum + p[i];
    lanes[lane] = sum;
  }
  block_barrier();
  float sum[16];
  for (int i = 0; i < 16; i++) sum[i] = lanes[i];
  for (int half = 8; half > 0; half /= 2) {
    for (int i = 0; i < half; i++) sum[i] = sum[i] + sum[i + half];
  }
  block_barrier();
  return sum[0];
}

// Dynamic shared memory: q [head_dim padded to 32], o [head_dim padded to 32].
__global__ void __launch_bounds__(kThreads) attention_f32_kernel(F32Args args) {
  __shared__ float p[kAttentionPartition];
  const AttentionBatch& batch = args.batch;
  const std::int32_t head_dim = args.kv.layout.head_dim;
  const auto dims = static_cast<std::int32_t>(round_up(head_dim, 32));
  auto* q = reinterpret_cast<float*>(dynamic_shared());
  float* o = q + dims;
  const auto thread = static_cast<std::int32_t>(threadIdx.x);
  const auto row = static_cast<std::int32_t>(blockIdx.x), head = static_cast<std::int32_t>(blockIdx.y);
  const std::int32_t s = find_last(batch.query_begin, batch.sequences, row);
  // Negative: a row that only fills a batch up.
  const std::int32_t visible = row < batch.query_begin[s + 1]
                                   ? batch.context_length[s] - batch.query_begin[s + 1] + row + 1
                                   : 0;
  const F32Context context = {args.kv, batch.block_tables + batch.block_table_begin[s], batch.kv_head_of_query[head]};
  const std::int64_t at = std::int64_t{head} * head_dim;
  for (std::int32_t d = thread; d < dims; d += kThreads) {
    q[d] = d < head_dim ? static_cast<const float*>(args.q.data)[row * args.q.row_stride + at + d] : 0.0F;
    o[d] = 0.0F;
  }
  block_barrier();
  float max = 0.0F, sum = 0.0F;
  for (std::int32_t begin = 0; begin < visible; begin += kAttentionPartition) {
    const std::int32_t count = visible - begin < kAttentionPartition ? visible - begin : kAttentionPartition;
    float partial_max = -math::kInf;
    for (std::int32_t i = thread; i < count; i += kThreads) {
      p[i] = canonical_dot(dims / 32, [&](std::int32_t d) { return q[d]; },
                           [&](std::int32_t d) { return context.k(begin + i, d); }) * batch.scale;
      partial_max = p[i] > partial_max ? p[i] : partial_max;
    }
    partial_max = block_max(partial_max);
    for (std::int32_t i = thread; i < count; i += kThreads) p[i] = exp_f32(p[i] - partial_max);
    block_barrier();
    const float partial_sum = lane_sum(p, count);
    const float new_max = begin == 0 || partial_max > max ? partial_max : max;
    const float keep = exp_f32(max - new_max), take = exp_f32(partial_max - new_max);
    for (std::int32_t d = thread; d < head_dim; d += kThreads) {
      const float value = canonical_dot((count + 31) / 32, [&](std::int32_t i) { return i < count ? p[i] : 0.0F; },
                                        [&](std::int32_t i) { return i < count ? context.v(begin + i, d) : 0.0F; });
      o[d] = begin == 0 ? value : fma_f32(o[d], keep, value * take);
    }
    sum = begin == 0 ? partial_sum : fma_f32(sum, keep, partial_sum * take);
    max = new_max;
    block_barrier();  // p is free
  }
  auto* out = static_cast<float*>(args.out.data) + row * args.out.row_stride + at;
  for (std::int32_t d = thread; d < head_dim; d += kThreads) out[d] = visible > 0 ? o[d] / sum : 0.0F;
}

}  // namespace

void attention_f32(Stream& stream, const TensorView& q, const KvView& kv, const AttentionBatch& batch,
                   const TensorView& out) {
  const auto shared_bytes = static_cast<std::size_t>(2 * round_up(kv.layout.head_dim, 32)) * sizeof(float);
  const dim3 grid(static_cast<unsigned>(q.rows), static_cast<unsigned>(batch.query_heads));
  launch(stream, "attention_f32", attention_f32_kernel, grid, kThreads, shared_bytes,
         F32Args{q, kv, batch, out});
}

}  // namespace herd::cuda
