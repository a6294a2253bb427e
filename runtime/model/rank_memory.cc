#include "runtime/model/rank_memory.h"

#include <algorithm>
#include <initializer_list>
#include <utility>

#include "kernels/tensor_view.h"

namespace herd::model {
namespace {

// Columns from col_begin on, of which the first block may be cut.
std::int64_t matrix_bytes(std::int64_t outputs, std::int64_t k, WeightFormat format, std::int64_t col_begin = 0) {
  PackedMatrix matrix;
  matrix.format = format;
  matrix.outputs = outputs;
  matrix.k = k;
  matrix.chunks_before = static_cast<std::int32_t>(col_begin % block_elements(format) / kChunkK);
  return matrix.bytes();
}

// Tensors on top of each other: neighbours in one format are one matrix.
std::int64_t stack_bytes(std::initializer_list<std::pair<std::int64_t, WeightFormat>> parts, std::int64_t k) {
  std::int64_t bytes = 0, outputs = 0;
  for (auto part = parts.begin(); part != parts.end(); ++part) {
    outputs += part->first;
    const auto next = part + 1;
    if (next != parts.end() && next->second == part->second) continue;
    bytes += matrix_bytes(outputs, k, part->second);
    outputs = 0;
  }
  return bytes;
}

std::int64_t vector_bytes(std::int64_t count) {
  return round_up(count, kPanelOutputs) * static_cast<std::int64_t>(dtype_bytes(DType::kF32));
}

std::int64_t rows_bytes(std::int64_t rows, std::int64_t columns, DType dtype) {
  return rows * round_up(columns, kPanelOutputs) * static_cast<std::int64_t>(dtype_bytes(dtype));
}

std::int64_t layer_bytes(const LlamaConfig& config, const ShardPlan& plan, const LayerFormats& formats) {
  const std::int64_t hidden = config.hidden_size;
  const std::int64_t q = std::int64_t{plan.heads.size()} * config.head_dim;
  const std::int64_t kv = std::int64_t{plan.kv_heads.size()} * config.head_dim;
  const std::int64_t ffn = plan.ffn.size();
  std::int64_t layer = 2 * vector_bytes(hidden);  // norms
  layer += stack_bytes({{q, formats.q}, {kv, formats.k}, {kv, formats.v}}, hidden);
  layer += matrix_bytes(hidden, q, formats.o, std::int64_t{plan.heads.begin} * config.head_dim);
  layer += stack_bytes({{ffn, formats.gate}, {ffn, formats.up}}, hidden) + matrix_bytes(hidden, ffn, formats.down, plan.ffn.begin);
  if (config.attention_bias) layer += vector_bytes(q + 2 * kv);
  if (config.attention_output_bias) layer += vector_bytes(hidden);
  if (config.mlp_bias) layer += vector_bytes(2 * ffn) + vector_bytes(hidden);
  return layer;
}

std::int64_t weights_of(const LlamaConfig& config, const ShardPlan& plan, const Encoding& encoding) {
  const std::int64_t hidden = config.hidden_size;
  std::int64_t bytes = matrix_bytes(config.vocab_size, hidden, encoding.embedding()) + vector_bytes(hidden);
  for (int layer = 0; layer < config.layers; ++layer) bytes += layer_bytes(config, plan, encoding.layer(layer));
  if (!config.tie_word_embeddings) bytes += matrix_bytes(plan.vocab.size(), hidden, encoding.head());
  return bytes;
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
  return {.weights = weights_of(config, plan, encoding),
          .step_buffers = step_buffers_of(config, plan, encoding.activations(), limits),
          .rope_table = limits.positions_max * config.head_dim * floats};
}

}  // namespace herd::model
