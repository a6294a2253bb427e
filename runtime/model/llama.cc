#include "runtime/model/llama.h"

#include <cmath>

#include "kernels/check.h"

namespace herd::model {
namespace {

// Columns [begin, begin + cols) of a view.
TensorView columns(const TensorView& view, std::int64_t begin, std::int64_t cols) {
  TensorView part = view;
  part.data = static_cast<std::byte*>(view.data) + static_cast<std::size_t>(begin) * dtype_bytes(view.dtype);
  part.cols = cols;
  return part;
}

}  // namespace

Llama::Llama(const LlamaConfig& config, const parallel::ShardPlan& plan, std::shared_ptr<const LlamaWeights> weights,
             std::shared_ptr<const RopeTable> rope, Encoding encoding, Device& device, Collective& tp)
    : config_(config),
      plan_(plan),
      weights_(std::move(weights)),
      rope_(std::move(rope)),
      encoding_(encoding),
      ops_(device.ops()),
      device_(device),
      tp_(tp) {}

Expected<std::unique_ptr<Llama>> Llama::make(const LlamaConfig& config, const parallel::ShardPlan& plan,
                                             std::shared_ptr<const LlamaWeights> weights,
                                             std::shared_ptr<const RopeTable> rope, Encoding encoding, Device& device,
                                             Collective& tp, std::int64_t rows_max, std::int64_t logit_rows_max) {
  std::unique_ptr<Llama> llama(
      new Llama(config, plan, std::move(weights), std::move(rope), encoding, device, tp));
  Status status;
  auto buffer = [&](std::int64_t rows, std::int64_t cols, DType dtype) {
    TensorView view;
    view.dtype = dtype;
    view.rows = rows;
    view.cols = cols;
    view.row_stride = round_up(cols, kPanelOutputs);
    if (!status.ok()) return view;
    auto memory = device.allocate(static_cast<std::size_t>(rows * view.row_stride) * dtype_bytes(dtype), "step buffers");
    if (!memory) {
      status = memory.error();
      return view;
    }
    view.data = (*memory)->data();
    llama->memory_.push_back(std::move(*memory));
    return view;
  };
  const DType act = encoding.activations();
  const std::int64_t hidden = config.hidden_size;
  const std::int64_t q = std::int64_t{plan.heads.size()} * config.head_dim;
  const std::int64_t kv = std::int64_t{plan.kv_heads.size()} * config.head_dim;
  llama->residual_ = buffer(rows_max, hidden, act);
  llama->normed_ = buffer(rows_max, hidden, act);
  llama->qkv_ = buffer(rows_max, q + 2 * kv, act);
  llama->attention_out_ = buffer(rows_max, q, act);
  llama->gate_up_ = buffer(rows_max, 2 * plan.ffn.size(), act);
  llama->mlp_ = buffer(rows_max, plan.ffn.size(), act);
  llama->partial_ = buffer(rows_max, hidden, DType::kF32);
  if (tp.size() > 1)
    llama->gathered_ = static_cast<float*>(buffer(rows_max * tp.size(), hidden, DType::kF32).data);
  llama->selected_ = buffer(logit_rows_max, hidden, act);
  llama->logits_ = buffer(logit_rows_max, plan.vocab.size(), DType::kF32);
  if (!status.ok()) return fail(std::move(status));
  return llama;
}

std::size_t Llama::activation_bytes() const {
  std::size_t sum = 0;
  for (const auto& buffer : memory_) sum += buffer->bytes();
  return sum;
}

void Llama::set_rows(std::int64_t rows) {
  for (TensorView* view : {&residual_, &normed_, &qkv_, &attention_out_, &gate_up_, &mlp_, &partial_})
    view->rows = rows;
}

void Llama::forward(const StepRows& step, kv::KvStorage& kv, const std::function<void(int)>& on_layer) {
  set_rows(step.rows);
  ops_.embed(weights_->embedding, step.token_ids, residual_);
  if (on_layer) on_layer(0);
  for (int layer = 0; layer < config_.layers; ++layer) {
    decoder_layer(layer, step, kv);
    if (on_layer) on_layer(layer + 1);
  }
}

// One decoder layer: pre-norm attention, pre-norm SwiGLU. Heads and MLP rows are split over the tp ranks; the two
// reductions restore the sums, round once and add to the residual stream.
void Llama::decoder_layer(int layer, const StepRows& step, kv::KvStorage& kv) {
  const LayerWeights& w = weights_->layers[static_cast<std::size_t>(layer)];
  const std::int64_t dim = config_.head_dim;
  const std::int64_t q_size = plan_.heads.size() * dim;
  const std::int64_t kv_size = plan_.kv_heads.size() * dim;
  const TensorView q = columns(qkv_, 0, q_size);
  const TensorView k = columns(qkv_, q_size, kv_size);
  const TensorView v = columns(qkv_, q_size + kv_size, kv_size);

  ops_.rms_norm(residual_, w.attention_norm, config_.rms_norm_eps, normed_);
  ops_.matmul(normed_, w.qkv, w.qkv_bias, qkv_);
  ops_.rope(q, plan_.heads.size(), config_.head_dim, step.positions, rope_->values.data());
  ops_.rope(k, plan_.kv_heads.size(), config_.head_dim, step.positions, rope_->values.data());
  ops_.write_kv(k, v, step.slots, kv.layer(layer));
  AttentionBatch attention = step.attention;
  attention.query_heads = plan_.heads.size();
  attention.kv_head_of_query = plan_.kv_head_of_query.data();
  attention.scale = 1.0F / std::sqrt(static_cast<float>(dim));
  ops_.attention(q, kv.layer(layer), attention, attention_out_);
  ops_.matmul(attention_out_, w.o, nullptr, partial_);  // [rows, hidden], a sum over this rank's heads
  reduce_into_residual(partial_, w.o_bias);

  ops_.rms_norm(residual_, w.mlp_norm, config_.rms_norm_eps, normed_);
  ops_.matmul(normed_, w.gate_up, w.gate_up_bias, gate_up_);
  ops_.silu_mul(gate_up_, plan_.ffn.size(), mlp_);
  ops_.matmul(mlp_, w.down, nullptr, partial_);         // [rows, hidden], a sum over this rank's MLP rows
  reduce_into_residual(partial_, w.down_bias);
}

// residual = round(residual + (tree of all ranks' partials + bias)).
void Llama::reduce_into_residual(const TensorView& partial, const float* bias) {
  const float* parts[kLeaves] = {static_cast<const float*>(partial.data)};
  if (tp_.size() > 1) {
    const std::int64_t elements = partial.rows * partial.row_stride;
    tp_.all_gather(partial.data, gathered_, static_cast<std::size_t>(elements) * sizeof(float));
    for (int rank = 0; rank < tp_.size(); ++rank) parts[rank] = gathered_ + rank * elements;
  }
  ops_.add_partials(residual_, parts, tp_.size(), partial.row_stride, bias);
}

void Llama::logits(const std::int32_t* rows, std::int64_t count) {
  selected_.rows = count;
  logits_.rows = count;
  ops_.gather_rows(residual_, rows, selected_);
  ops_.rms_norm(selected_, weights_->final_norm, config_.rms_norm_eps, selected_);
  ops_.matmul(selected_, weights_->head, nullptr, logits_);
}

}  // namespace herd::model
