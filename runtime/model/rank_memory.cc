#include "runtime/model/rank_memory.h"

#include <algorithm>

#include "kernels/tensor_view.h"

namespace herd::model {
namespace {

std::int64_t matrix_bytes(std::int64_t outputs, std::int64_t k, DType dtype) {
  PackedMatrix matrix;
  matrix.format = format_of(dtype);
  matrix.outputs = outputs;
  matrix.k = k;
  return matrix.bytes();
}

std::int64_t vector_bytes(std::int64_t count) {
  return round_up(count, kPanelOutputs) * static_cast<std::int64_t>(dtype_bytes(DType::kF32));
}

std::int64_t rows_bytes(std::int64_t rows, std::int64_t columns, DType dtype) {
  return rows * round_up(columns, kPanelOutputs) * static_cast<std::int64_t>(dtype_bytes(dtype));
}

std::int64_t weights_of(const LlamaConfig& config, const ShardPlan& plan, DType dtype) {
  const std::int64_t hidden = config.hidden_size;
  const std::int64_t q = std::int64_t{plan.heads.size()} * config.head_dim;
  const std::int64_t kv = std::int64_t{plan.kv_heads.size()} * config.head_dim;
  const std::int64_t ffn = plan.ffn.size();
  std::int64_t layer = 2 * vector_bytes(hidden);  // norms
  layer += matrix_bytes(q + 2 * kv, hidden, dtype) + matrix_bytes(hidden, q, dtype);
  layer += matrix_bytes(2 * ffn, hidden, dtype) + matrix_bytes(hidden, ffn, dtype);
  if (config.attention_bias) layer += vector_bytes(q + 2 * kv);
  if (config.attention_output_bias) layer += vector_bytes(hidden);
  if (config.mlp_bias) layer += vector_bytes(2 * ffn) + vector_bytes(hidden);
  const std::int64_t head = config.tie_word_embeddings ? 0 : matrix_bytes(plan.vocab.size(), hidden, dtype);
  return matrix_bytes(config.vocab_size, hidden, dtype) + config.layers * layer + vector_bytes(hidden) + head;
}

std::int64_t step_buffers_of(const LlamaConfig& config, const ShardPlan& plan, DType act, const StepLimits& limits) {
  const std::int64_t rows = limits.rows_max, logit_rows = limits.logit_rows_max, hidden = config.hidden_size;
  const std::int64_t q = std::int64_t{plan.heads.size()} * config.head_dim;
  const std::int64_t kv = std::int64_t{plan.kv_heads.size()} * config.head_dim;
  const std::int64_t ffn = plan.ffn.size();
  const std::int64_t slice = std::max<std::int64_t>(plan.vocab.size(), widest_vocab_slice(config.vocab_size, plan.size));
  return 2 * rows_bytes(rows, hidden, act) +                    // residual, normed
         rows_bytes(rows, q + 2 * kv, act) + rows_bytes(rows, q, act) +
         rows_bytes(rows, 2 * ffn, act) + rows_bytes(rows, ffn, act) +
         rows_bytes(rows * plan.size, hidden, DType::kF32) +    // every rank's partial sums
         rows_bytes(logit_rows, hidden, act) + rows_bytes(logit_rows, slice, DType::kF32);
}

}  // namespace

RankMemory rank_memory(const LlamaConfig& config, const ShardPlan& plan, const Encoding& encoding, const StepLimits& limits) {
  const auto floats = static_cast<std::int64_t>(dtype_bytes(DType::kF32));
  return {.weights = weights_of(config, plan, encoding.weights),
          .step_buffers = step_buffers_of(config, plan, encoding.activations(), limits),
          .rope_table = limits.positions_max * config.head_dim * floats};
}

}  // namespace herd::model
