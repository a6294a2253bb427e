#pragma once
// The forward pass of one rank: from token ids to logits. LLaMA (Touvron et al. 2023) with grouped-query attention
// (Ainslie et al. 2023), tensor-parallel as in Megatron-LM (Shoeybi et al. 2019) but summed by rule 3's tree.
// Knows no sequences: a StepBatch tells rows, positions, slots and block tables.

#include <functional>
#include <memory>
#include <vector>

#include "kernels/collective.h"
#include "kernels/device.h"
#include "runtime/kv/kv_storage.h"
#include "runtime/model/llama_weights.h"
#include "runtime/model/rope_table.h"
#include "runtime/model/shard_plan.h"

namespace herd::model {

// The rows of one step, flattened over sequences. Pointers are memory of the device, valid until the step is done.
struct StepRows {
  std::int64_t rows = 0;
  const std::int32_t* token_ids = nullptr;   // [rows]
  const std::int32_t* positions = nullptr;   // [rows]
  const std::int64_t* slots = nullptr;       // [rows] block * block_size + offset
  AttentionBatch attention;                  // ragged view of the same rows (heads and scale are filled by Llama)
};

// What one rank's forward pass is made of.
struct LlamaParts {
  LlamaConfig config;
  ShardPlan plan;
  Encoding encoding;
  std::shared_ptr<const LlamaWeights> weights;  // loaded for this plan, in this encoding
  std::shared_ptr<const RopeTable> rope;
  std::int64_t rows_max = 0;                    // a step has so many at most
  std::int64_t logit_rows_max = 0;              // a call of logits() has so many at most
};

// Resource. One per rank; used by one thread. Step buffers are allocated once, at their maximum, at fixed addresses.
class Llama {
 public:
  // kMissing when memory is short. `device` and `tp` outlive it.
  static Expected<std::unique_ptr<Llama>> make(const LlamaParts& parts, Device& device, Collective& tp);

  // Runs all layers; leaves the residual stream of the last layer in hidden(). `on_layer` (may be empty) is called
  // before layer 0 and after each layer, for those who want every hidden state. Once the group is given up the layers that
  // are left are skipped: what the pass leaves then means nothing.
  void forward(const StepRows& step, kv::KvStorage& kv, const std::function<void(int)>& on_layer);

  // act [rows, hidden]: the residual after the last layer, before the final norm.
  [[nodiscard]] const TensorView& hidden() const { return residual_; }

  // Final norm over the given rows (memory of the device) of hidden(), at most logit_rows_max of them, then this rank's
  // slice of the head.   normalized(): act [count, hidden];  logits(): f32 [count, vocab of this rank].
  void logits(const std::int32_t* rows, std::int64_t count);
  [[nodiscard]] const TensorView& normalized() const { return selected_; }
  [[nodiscard]] const TensorView& logits() const { return logits_; }
  // f32 [count, vocab]: the same rows with the slices of all ranks, on every rank. Collective. Only on devices with a row
  // sampler (elsewhere runtime/sampling's gathers what it needs).
  const TensorView& whole_logits();

  [[nodiscard]] std::size_t activation_bytes() const;
  [[nodiscard]] std::int32_t group_max() const { return group_max_; }  // most query heads of a KV head on this rank

 private:
  Llama(const LlamaParts& parts, Device& device, Collective& tp);
  Status allocate(const LlamaParts& parts);
  void decoder_layer(int layer, const StepRows& step, kv::KvStorage& kv);
  // residual = round(residual + (tree of all ranks' partials + bias)); with a norm also normed = rms_norm(residual).
  void reduce_into_residual(CollectiveName name, const float* bias, const float* norm);
  Status copy_tables();
  void set_rows(std::int64_t rows);

  const LlamaConfig config_;
  const ShardPlan plan_;
  const std::shared_ptr<const LlamaWeights> weights_;
  const std::shared_ptr<const RopeTable> rope_;
  Ops& ops_;
  Device& device_;
  Collective& tp_;

  std::vector<std::unique_ptr<DeviceBuffer>> memory_;
  TensorView residual_;       // act [rows, hidden]
  TensorView normed_;         // act [rows, hidden]
  TensorView qkv_;            // act [rows, (q + 2 kv) * head_dim]
  TensorView attention_out_;  // act [rows, q * head_dim]
  TensorView gate_up_;        // act [rows, 2 * ffn]
  TensorView mlp_;            // act [rows, ffn]
  float* gathered_ = nullptr; // f32 [ranks, rows, hidden]
  TensorView partial_;        // f32 [rows, hidden], this rank's part of the sum, at its place in gathered_
  TensorView selected_;       // act [logit rows, hidden]
  TensorView logits_;         // f32 [logit rows, vocab of this rank]; rows have room for the widest rank's slice
  float* gathered_logits_ = nullptr;  // f32 [ranks, logit rows, widest slice]
  TensorView whole_logits_;           // f32 [logit rows, vocab]
  // Where kernels read them: the host's own, or copies on the device.
  const float* rope_values_ = nullptr;
  const std::int32_t* kv_head_of_query_ = nullptr;
  std::int32_t group_max_ = 0;
};

}  // namespace herd::model
