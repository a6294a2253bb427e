#include "runtime/model/llama.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "kernels/check.h"
#include "kernels/row_sampler.h"

namespace herd::model {

Llama::Llama(const LlamaParts& parts, Device& device, Collective& tp)
    : config_(parts.config),
      plan_(parts.plan),
      weights_(parts.weights),
      rope_(parts.rope),
      ops_(device.ops()),
      device_(device),
      tp_(tp) {}

Expected<std::unique_ptr<Llama>> Llama::make(const LlamaParts& parts, Device& device, Collective& tp) {
  std::unique_ptr<Llama> llama(new Llama(parts, device, tp));
  Status status = llama->allocate(parts);
  if (status.ok()) status = llama->copy_tables();
  if (!status.ok()) return fail(std::move(status));
  return llama;
}

Status Llama::allocate(const LlamaParts& parts) {
  Status status;
  auto buffer = [&](std::int64_t rows, std::int64_t cols, DType dtype, std::int64_t stride = 0) {
    TensorView view;
    view.dtype = dtype;
    view.rows = rows;
    view.cols = cols;
    view.row_stride = round_up(std::max(cols, stride), kPanelOutputs);
    if (!status.ok()) return view;
    auto memory = device_.allocate(static_cast<std::size_t>(rows * view.row_stride) * dtype_bytes(dtype), "step buffers");
    if (!memory) {
      status = memory.error();
      return view;
    }
    view.data = (*memory)->data();
    memory_.push_back(std::move(*memory));
    return view;
  };
  const DType act = parts.encoding.activations();
  const std::int64_t rows = parts.rows_max, logit_rows = parts.logit_rows_max;
  const std::int64_t hidden = config_.hidden_size;
  const std::int64_t q = std::int64_t{plan_.heads.size()} * config_.head_dim;
  const std::int64_t kv = std::int64_t{plan_.kv_heads.size()} * config_.head_dim;
  residual_ = buffer(rows, hidden, act);
  normed_ = buffer(rows, hidden, act);
  qkv_ = buffer(rows, q + 2 * kv, act);
  attention_out_ = buffer(rows, q, act);
  gate_up_ = buffer(rows, 2 * plan_.ffn.size(), act);
  mlp_ = buffer(rows, plan_.ffn.size(), act);
  partial_ = buffer(rows * tp_.size(), hidden, DType::kF32);
  gathered_ = static_cast<float*>(partial_.data);
  selected_ = buffer(logit_rows, hidden, act);
  const std::int64_t slice = widest_vocab_slice(config_.vocab_size, tp_.size());
  logits_ = buffer(logit_rows, plan_.vocab.size(), DType::kF32, slice);
  if (tp_.size() > 1 && device_.row_sampler() != nullptr) {
    gathered_logits_ = static_cast<float*>(buffer(logit_rows * tp_.size(), slice, DType::kF32).data);
    whole_logits_ = buffer(logit_rows, config_.vocab_size, DType::kF32);
  }
  return status;
}

// Step inputs that never change. On a device with memory of its own they are copied there.
Status Llama::copy_tables() {
  rope_values_ = rope_->values();
  kv_head_of_query_ = plan_.kv_head_of_query.data();
  for (const std::int32_t kv_head : plan_.kv_head_of_query)
    group_max_ = std::max(group_max_, static_cast<std::int32_t>(
                                          std::count(plan_.kv_head_of_query.begin(), plan_.kv_head_of_query.end(), kv_head)));
  if (device_.host_memory()) return {};
  auto copy = [&](const auto*& table, std::size_t count) -> Status {
    const std::size_t bytes = count * sizeof *table;
    auto memory = device_.allocate(bytes, "step tables");
    if (!memory) return memory.error();
    device_.upload((*memory)->data(), table, bytes);
    table = static_cast<decltype(+table)>((*memory)->data());
    memory_.push_back(std::move(*memory));
    return {};
  };
  rope_->fill(rope_->positions());
  Status status = copy(rope_values_, rope_->size());
  if (status.ok()) status = copy(kv_head_of_query_, plan_.kv_head_of_query.size());
  return status;
}

std::size_t Llama::activation_bytes() const {
  std::size_t sum = 0;
  for (const auto& buffer : memory_) sum += buffer->bytes();
  return sum;
}

void Llama::set_rows(std::int64_t rows) {
  for (TensorView* view : {&residual_, &normed_, &qkv_, &attention_out_, &gate_up_, &mlp_, &partial_})
    view->rows = rows;
  partial_.data = gathered_ + tp_.rank() * rows * partial_.row_stride;
}

void Llama::forward(const StepRows& step, kv::KvStorage& kv, const std::function<void(int)>& on_layer) {
  set_rows(step.rows);
  if (device_.host_memory() && step.rows > 0) rope_->fill(*std::max_element(step.positions, step.positions + step.rows) + 1);
  ops_.embed(weights_->embedding, step.token_ids, residual_);
  if (on_layer) on_layer(0);
  ops_.rms_norm(residual_, weights_->layers.front().attention_norm, config_.rms_norm_eps, normed_);
  for (int layer = 0; layer < config_.layers; ++layer) {
    if (!tp_.status().ok()) return;
    decoder_layer(layer, step, kv);
    if (on_layer) on_layer(layer + 1);
  }
}

// One decoder layer: pre-norm attention, pre-norm SwiGLU; normed_ holds the normed residual when it begins, and at its
// end the next layer's. Heads and MLP rows are split over the tp ranks; the two reductions restore the sums, round once
// and add to the residual stream.
void Llama::decoder_layer(int layer, const StepRows& step, kv::KvStorage& kv) {
  const LayerWeights& w = weights_->layers[static_cast<std::size_t>(layer)];
  const float* next_norm =
      layer + 1 < config_.layers ? weights_->layers[static_cast<std::size_t>(layer) + 1].attention_norm : nullptr;
  const std::int64_t dim = config_.head_dim;
  const std::int64_t q_size = plan_.heads.size() * dim;
  const std::int64_t kv_size = plan_.kv_heads.size() * dim;
  const TensorView q = columns_of(qkv_, 0, q_size);
  const TensorView k = columns_of(qkv_, q_size, kv_size);
  const TensorView v = columns_of(qkv_, q_size + kv_size, kv_size);

  ops_.matmul_stack(normed_, w.qkv, w.qkv_bias, qkv_);
  ops_.rope_write_kv(q, k, v, step.positions, rope_values_, step.slots, kv.layer(layer));
  AttentionBatch attention = step.attention;
  attention.query_heads = plan_.heads.size();
  attention.kv_head_of_query = kv_head_of_query_;
  attention.group_max = group_max_;
  attention.scale = 1.0F / std::sqrt(static_cast<float>(dim));
  ops_.attention(q, kv.layer(layer), attention, attention_out_);
  ops_.matmul(attention_out_, w.o, nullptr, partial_);  // [rows, hidden], a sum over this rank's heads
  reduce_into_residual(CollectiveName::kAttention, w.o_bias, w.mlp_norm);

  ops_.matmul_stack(normed_, w.gate_up, w.gate_up_bias, gate_up_);
  ops_.silu_mul(gate_up_, plan_.ffn.size(), mlp_);
  ops_.matmul(mlp_, w.down, nullptr, partial_);         // [rows, hidden], a sum over this rank's MLP rows
  reduce_into_residual(CollectiveName::kMlp, w.down_bias, next_norm);
}

void Llama::reduce_into_residual(CollectiveName name, const float* bias, const float* norm) {
  const float* parts[kLeaves] = {};
  const std::int64_t elements = partial_.rows * partial_.row_stride;
  if (tp_.size() > 1) tp_.all_gather(name, partial_.data, gathered_, static_cast<std::size_t>(elements) * sizeof(float));
  for (int rank = 0; rank < tp_.size(); ++rank) parts[rank] = gathered_ + rank * elements;
  const PartialSums partials{parts, tp_.size(), partial_.row_stride, bias};
  if (norm == nullptr) {
    ops_.add_partials(residual_, partials);
  } else {
    ops_.add_rms_norm(residual_, partials, norm, config_.rms_norm_eps, normed_);
  }
}

void Llama::logits(const std::int32_t* rows, std::int64_t count) {
  selected_.rows = count;
  logits_.rows = count;
  ops_.gather_rows(residual_, rows, selected_);
  ops_.rms_norm(selected_, weights_->final_norm, config_.rms_norm_eps, selected_);
  ops_.matmul(selected_, weights_->head, nullptr, logits_);
}

const TensorView& Llama::whole_logits() {
  if (tp_.size() == 1) return logits_;
  HERD_CHECK(gathered_logits_ != nullptr, "this device's sampler gathers for itself");
  const std::int64_t elements = logits_.rows * logits_.row_stride;
  tp_.all_gather(CollectiveName::kLogits, logits_.data, gathered_logits_, static_cast<std::size_t>(elements) * sizeof(float));
  const auto leaf = leaf_borders(config_.vocab_size, kPanelOutputs);
  std::array<std::int32_t, kLeaves + 1> border{};
  for (int rank = 0; rank <= tp_.size(); ++rank)
    border[static_cast<std::size_t>(rank)] = leaf[static_cast<std::size_t>(rank * kLeaves / tp_.size())];
  whole_logits_.rows = logits_.rows;
  device_.row_sampler()->join_columns(gathered_logits_, elements, logits_.row_stride, tp_.size(), border.data(),
                                      whole_logits_);
  return whole_logits_;
}

}  // namespace herd::model
