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
#include "runtime/sampling/rank_round.h"
#include "runtime/sampling/row_stats.h"
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

// Resource, one per rank; all ranks of a replica call it with the same rows in the same order. What ranks must tell each
// other goes in rounds over all rows (rank_round.h): one for greedy and plain draws, log-probabilities and filters that
// need few tokens; at most two more for all rows with min-p, top-k or top-p together, unless they need more than
// `round_bytes` of all ranks: 170 rows of a vocabulary of 128,256, all of which must be sorted.
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
  struct Draw;  // a row that is not decided yet
  std::vector<RowStats> slice_stats(const TensorView& logits);
  RowStats merged_stats(const RankRound& round, std::size_t at) const;
  [[nodiscard]] std::size_t slice_candidates(std::int32_t count) const;
  std::vector<step::TokenLogprob> merged_top(const RankRound& round, std::size_t at, std::int32_t count, float log_sum) const;
  [[nodiscard]] float* slice_row(const TensorView& logits, std::size_t row) const;

  std::vector<Draw> first_draws(const TensorView& logits, const std::vector<SampleRow>& rows, RankRound& round) const;
  void reserve(Draw& draw, RankRound& round) const;
  void fill(std::span<Draw> draws, RankRound& round);
  void decide_more(std::vector<Draw>& draws);
  void fill_first(std::vector<Draw>& draws, RankRound& round);
  bool decide(Draw& draw, const RankRound& round) const;
  void finish(const Draw& draw, const Candidate& winner, const RankRound& round) const;
  void apply_edits(float* row, const SampleRow& request) const;
  void wait();

  const model::ShardPlan plan_;
  const std::int32_t vocab_size_;
  std::int32_t slice_max_ = 0;  // ids on the rank that holds most
  Device& device_;
  Ops& ops_;
  Collective& tp_;
  const bool hash_logits_;
  const std::size_t round_bytes_;
};

// True when a stage needs to know the tokens so far.
[[nodiscard]] bool penalised(const step::SamplingParams& params);
// True when a stage before the draw would change the row.
[[nodiscard]] bool edits_row(const SampleRow& row);

}  // namespace herd::sampling
