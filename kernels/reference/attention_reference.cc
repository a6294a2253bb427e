#include "kernels/reference/attention_reference.h"

#include <utility>
#include <vector>

#include "kernels/death_mark.h"
#include "kernels/reference/reference_math.h"

namespace herd::reference {
namespace {

constexpr std::int64_t kPartition = 512;  // positions, absolute: [0, 512), [512, 1024), …

// What one (row, head) sees of the context.
struct Context {
  const KvView& kv;
  const std::uint32_t* block_table;
  std::int64_t head;  // kv head

  [[nodiscard]] float k(std::int64_t position, std::int64_t dim) const {
    const std::int64_t token = position % kv.layout.block_size;
    return load(block(position), kv.layout.dtype, k_index(kv.layout, head, token, dim));
  }
  [[nodiscard]] float v(std::int64_t position, std::int64_t dim) const {
    const std::int64_t token = position % kv.layout.block_size;
    return load(block(position), kv.layout.dtype, v_index(kv.layout, head, token, dim));
  }
  [[nodiscard]] const void* block(std::int64_t position) const {
    const std::int64_t id = block_table[position / kv.layout.block_size];
    return static_cast<const char*>(kv.data) + id * kv.layout.bytes_per_block();
  }
};

// Of one partition, or of all partitions folded so far.
struct Partial {
  float max = 0.0F;           // m
  float denominator = 0.0F;   // l
  std::vector<float> values;  // o [head_dim]
};

// Positions [begin, end) of one partition, all visible; q_at(d) is +0 beyond head_dim.
template <class Q>
Partial attend_partition(const Q& q_at, const Context& context, std::int64_t begin, std::int64_t end, float scale,
                         bool round_p) {
  const std::int64_t head_dim = context.kv.layout.head_dim;
  const std::int64_t dim_chunks = round_up(head_dim, kChunkK) / kChunkK;
  Partial partial;
  std::vector<float> p;  // first scores, then exp(score - max), rounded
  for (std::int64_t position = begin; position < end; position++) {
    const auto k_at = [&](std::int64_t d) { return context.k(position, d); };
    p.push_back(canonical_dot(0, dim_chunks, q_at, k_at) * scale);
  }
  partial.max = p[0];
  for (const float score : p) partial.max = score > partial.max ? score : partial.max;

  LaneSum sum;
  for (std::int64_t position = begin; position < end; position++) {
    float& value = p[static_cast<std::size_t>(position - begin)];
    value = exp_f32(value - partial.max);
    if (round_p) value = to_float(to_bf16(value));
    sum.lane[position % 16] = sum.lane[position % 16] + value;
  }
  partial.denominator = sum.total();

  // P · V over 32-chunks of positions up to the one that holds the last visible key. In it, P and V of what is not
  // visible are +0 and take part: fma(0, 0, -0) is +0. Chunks without a visible key are not added.
  const std::int64_t chunks = round_up(end - begin, kChunkK) / kChunkK;
  for (std::int64_t d = 0; d < head_dim; d++) {
    const auto p_at = [&](std::int64_t i) { return begin + i < end ? p[static_cast<std::size_t>(i)] : 0.0F; };
    const auto v_at = [&](std::int64_t i) { return begin + i < end ? context.v(begin + i, d) : 0.0F; };
    partial.values.push_back(canonical_dot(0, chunks, p_at, v_at));
  }
  return partial;
}

// m' = max, o' = fma(o, e^(m - m'), o_p · e^(m_p - m')), l likewise.
void fold(Partial& total, const Partial& partial) {
  const float max = partial.max > total.max ? partial.max : total.max;
  const float keep = exp_f32(total.max - max);
  const float take = exp_f32(partial.max - max);
  for (std::size_t d = 0; d < total.values.size(); d++) {
    total.values[d] = fma_f32(total.values[d], keep, partial.values[d] * take);
  }
  total.denominator = fma_f32(total.denominator, keep, partial.denominator * take);
  total.max = max;
}

}  // namespace

void attention(const TensorView& q, const KvView& kv, const AttentionBatch& batch, const TensorView& out) {
  const std::int64_t head_dim = kv.layout.head_dim;
  const bool round_p = q.dtype != DType::kF32;
  for (std::int32_t s = 0; s < batch.sequences; s++) {
    const WorkMark mark(s);
    for (std::int64_t row = batch.query_begin[s]; row < batch.query_begin[s + 1]; row++) {
      const std::int64_t visible = batch.context_length[s] - batch.query_begin[s + 1] + row + 1;
      for (std::int32_t head = 0; head < batch.query_heads; head++) {
        const Context context{kv, batch.block_tables + batch.block_table_begin[s], batch.kv_head_of_query[head]};
        const auto q_at = [&](std::int64_t d) { return d < head_dim ? load(q, row, head * head_dim + d) : 0.0F; };
        Partial total;
        for (std::int64_t begin = 0; begin < visible; begin += kPartition) {
          const std::int64_t end = begin + kPartition < visible ? begin + kPartition : visible;
          Partial partial = attend_partition(q_at, context, begin, end, batch.scale, round_p);
          if (begin == 0) {
            total = std::move(partial);
          } else {
            fold(total, partial);
          }
        }
        for (std::int64_t d = 0; d < head_dim; d++) {
          store(out, row, head * head_dim + d, total.values[static_cast<std::size_t>(d)] / total.denominator);
        }
      }
    }
  }
}

}  // namespace herd::reference
