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
#include <vector>

#include "kernels/collective.h"
#include "kernels/device.h"
#include "runtime/model/shard_plan.h"
#include "runtime/sampling/rank_round.h"
#include "runtime/sampling/row_draw.h"
#include "runtime/sampling/row_stats.h"
#include "runtime/sampling/sample_row.h"
#include "runtime/step/sampling_params.h"
#include "runtime/step/step_plan.h"

namespace herd::sampling {

// Resource, one per rank; all ranks of a replica call it with the same rows in the same order. What ranks must tell each
// other goes in rounds over all rows (rank_round.h): one for greedy and plain draws, log-probabilities and filters that
// need few tokens; at most three more for all rows with min-p, top-k or top-p together, unless they need more than
// `round_bytes` of all ranks: a row takes 16 KiB of each, and 4 bytes for each of its logits in the bins where a border can
// lie, which are few but in rows of ties (512 KiB if all 128,256 are equal).
class Sampler {
 public:
  Sampler(const model::ShardPlan& plan, std::int32_t vocab_size, Device& device, Collective& tp, bool hash_logits,
          std::size_t round_bytes = std::size_t{256} << 20);

  // logits: f32 [rows.size(), vocab of this rank], changed in place by the stages. Call after Device::wait().
  std::vector<step::SampledToken> sample(const TensorView& logits, const std::vector<SampleRow>& rows);

  // How likely each row finds its target (targets.size() rows), from the raw rows with sample()'s arithmetic, and the
  // `top` most likely tokens of each. A row that is not finite has logprob NaN and no top. Changes nothing.
  std::vector<step::PromptLogprob> score(const TensorView& logits, std::span<const TokenId> targets,
                                              std::int32_t top);

  // The whole row: f32 [rows, vocab] from all ranks' slices.
  std::vector<float> gather_rows(const TensorView& logits);

 private:
  std::vector<RowStats> slice_stats(const TensorView& logits, const std::vector<bool>& with_sum);
  void add_sums(const TensorView& logits, std::size_t begin, std::size_t end, std::vector<RowStats>& stats);
  RowStats merged_stats(const RankRound& round, std::size_t at) const;
  std::vector<step::TokenLogprob> merged_top(const RankRound& round, std::size_t at, std::int32_t count, float log_sum) const;
  [[nodiscard]] float* slice_row(const TensorView& logits, std::size_t row) const;
  std::vector<step::SampledToken> first_round(const TensorView& logits, const std::vector<SampleRow>& rows,
                                              std::vector<RowDraw>& draws, std::vector<float>& log_sums,
                                              std::vector<RowDraw*>& undecided);
  void next_round(std::vector<RowDraw*>& undecided);

  const model::ShardPlan plan_;
  const std::int32_t vocab_size_;
  Ops& ops_;
  Collective& tp_;
  const bool hash_logits_;
  const std::size_t round_bytes_;
  RankSlice slice_;
};

}  // namespace herd::sampling
