#pragma once
// Logits → tokens, on every rank of a replica alike. An ordered list of stages, each a pure function of the request,
// the tokens so far (prompt, emitted, the border between them) and the row:
//   bias → penalties (repetition, presence, frequency) → mask (min_tokens) → temperature → filters (min-p, top-k,
//   top-p) → draw.
// The draw is Gumbel-max over counter-based noise (Philox4x32-10 keyed by the seed; rule 6), so a token depends on
// (seed, choice, output index) and the row alone: not on batch, chunking, TP degree, replica or attempt. Ties go to
// the lowest id. Logprobs come from the raw row, before any stage.

#include <cstdint>
#include <memory>
#include <span>
#include <unordered_map>
#include <vector>

#include "kernels/collective.h"
#include "kernels/device.h"
#include "runtime/model/shard_plan.h"
#include "runtime/step/sampling_params.h"
#include "runtime/step/step_plan.h"

namespace herd::sampling {

// What the penalties need to know of one sequence. Rebuilt by replay: prompt() then emitted() in order.
class TokenCounts {
 public:
  void add_prompt(TokenId token) { counts_.try_emplace(token, 0U); }
  void add_emitted(TokenId token) { ++counts_[token]; }
  // Token → how often it was emitted; prompt tokens are there with 0.
  [[nodiscard]] const std::unordered_map<TokenId, std::uint32_t>& counts() const { return counts_; }

 private:
  std::unordered_map<TokenId, std::uint32_t> counts_;
};

// One row to draw from.
struct SampleRow {
  SequenceId sequence;
  std::uint32_t output_index = 0;
  const step::SamplingParams* params = nullptr;
  const std::vector<TokenId>* stop_ids = nullptr;  // masked before min_tokens
  const TokenCounts* counts = nullptr;             // may be null when no penalty is set
};

// Resource, one per rank; all ranks of a replica call it with the same rows in the same order.
class Sampler {
 public:
  Sampler(const model::ShardPlan& plan, std::int32_t vocab_size, Device& device, Collective& tp, bool hash_logits);

  // logits: f32 [rows.size(), vocab of this rank], changed in place by the stages. Call after Device::wait().
  std::vector<step::SampledToken> sample(const TensorView& logits, const std::vector<SampleRow>& rows);

  // How likely each row finds its target (targets.size() rows), from the raw rows with sample()'s arithmetic, and the
  // `top` most likely tokens of each. A row that is not finite has logprob NaN and no top. Changes nothing.
  std::vector<step::PromptLogprob> score(const TensorView& logits, std::span<const TokenId> targets,
                                              std::int32_t top);

  // The whole row: f32 [rows, vocab] from all ranks' slices.
  std::vector<float> gather_rows(const TensorView& logits);

 private:
  struct RowStats {
    MaxSum normaliser;  // of the raw row, all leaves
    std::uint64_t hash = 0;
    [[nodiscard]] float log_sum() const;
  };
  std::vector<RowStats> row_stats(const TensorView& logits);
  void apply_edits(float* row, const SampleRow& request) const;
  Candidate draw(const float* row, const SampleRow& request);
  Candidate draw_filtered(const float* row, const SampleRow& request);
  Candidate best_of_ranks(const Candidate& local);
  std::vector<Candidate> top_of_ranks(const float* row, std::int32_t k);
  void append_top(const float* raw_row, std::int32_t k, float log_sum, std::vector<step::TokenLogprob>& out);
  // raw_rows[i][tokens[i]], wherever it lies.
  std::vector<float> raw_logits(std::span<const float* const> raw_rows, std::span<const TokenId> tokens);
  std::vector<float> gather_row(const float* row);

  const model::ShardPlan plan_;
  const std::int32_t vocab_size_;
  std::int32_t slice_max_ = 0;  // ids on the rank that holds most
  Device& device_;
  Ops& ops_;
  Collective& tp_;
  const bool hash_logits_;
};

// True when a stage needs to know the tokens so far.
[[nodiscard]] bool penalised(const step::SamplingParams& params);
// True when a stage before the draw would change the row.
[[nodiscard]] bool edits_row(const SampleRow& row);

}  // namespace herd::sampling
