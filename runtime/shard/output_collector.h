#pragma once
// OutputCollector: the rows that slices of a step asked for besides tokens (OutputSelector): hidden states, logits,
// log-probabilities of the prompt. Read between the forward pass and the sampling of the step; waits for the device.

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "kernels/staging.h"
#include "runtime/shard/logit_rows.h"
#include "runtime/shard/step_batch.h"
#include "runtime/shard/step_runner.h"

namespace herd::shard {

class OutputCollector {
 public:
  // kMissing when memory is short.
  [[nodiscard]] static Expected<std::unique_ptr<OutputCollector>> make(const RankParts& parts,
                                                                       std::unique_ptr<LogitRows> logits);

  // What Llama::forward is to call for each layer of this step: empty unless a slice asks for all of them.
  [[nodiscard]] std::function<void(int)> layer_capture(const StepBatch& batch);

  // Appends what the batch's slices asked for to the result's outputs and prompt_logprobs, in the slices' order. Every
  // rank walks the same list: gathering logits is collective.
  void collect(const StepBatch& batch, step::StepResult& result);

 private:
  OutputCollector(const RankParts& parts, std::unique_ptr<LogitRows> logits, std::unique_ptr<StagedBuffer> indices);
  [[nodiscard]] step::PromptLogprobs prompt_logprobs(const StepBatch::Output& wanted);
  [[nodiscard]] step::OutputRows rows(const StepBatch::Output& wanted);
  void append_layers(std::int32_t row_begin, std::int64_t rows, std::vector<float>& out);
  void append_normalized(std::int32_t row_begin, std::int64_t rows, std::vector<float>& out);
  template <class Take>
  void logits_in_pieces(std::int32_t row_begin, std::int64_t rows, const Take& take);
  void capture_layer(int state);

  const ShardConfig& config_;
  Device& device_;
  model::Llama& llama_;
  const std::unique_ptr<LogitRows> logits_;
  const std::unique_ptr<StagedBuffer> indices_;   // [logit_rows_max] int32
  std::vector<std::vector<float>> layer_states_;  // [layers + 1] of [rows, hidden]: the step captured last
};

}  // namespace herd::shard
