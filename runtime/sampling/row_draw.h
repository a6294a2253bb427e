#pragma once
// RowDraw: one row on its way to a token. It says what it must know of every rank's slice, round for round, and decides when it
// knows enough:
//   greedy, plain                       the winner of each slice
//   few candidates (top-k, min-p)       the likeliest of each slice, first
//   else                                the range of its logits, sums by bins, the logits near the border, the winner
// All ranks of a replica make the same ones and ask alike.

#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "kernels/device.h"
#include "runtime/model/shard_plan.h"
#include "runtime/sampling/border_search.h"
#include "runtime/sampling/rank_round.h"
#include "runtime/step/sampling_params.h"
#include "runtime/step/step_plan.h"

namespace herd::sampling {

struct SampleRow;

// What all rows of one rank share.
struct RankSlice {
  const model::ShardPlan& plan;
  std::int32_t vocab_size;
  std::int32_t slice_max;  // ids on the rank that holds most
  Device& device;
  int ranks;
  int rank;
  std::vector<std::int32_t> columns;  // room for a slice, filled where it is needed first
  std::vector<float> values;

  [[nodiscard]] std::size_t candidates(std::int32_t count) const;  // of the `count` likeliest of a row, as many as one slice may hold
  void wait();
};

class RowDraw {
 public:
  // `row`: this rank's slice, changed by the edits. All outlive this.
  RowDraw(RankSlice& slice, const SampleRow& request, float* row);

  // Before the first round: the edits. `finite`: this rank's slice was, before them.
  void edit(bool finite);
  // Every round: what is asked of each rank, then this rank's answer, then whether the token is known from all of them.
  void reserve(RankRound& round);
  void answer(RankRound& round);
  bool decide(const RankRound& round);

  // Once decided. log_sum: of the raw row.
  void tell(float log_sum, step::SampledToken& out) const;

 private:
  enum class Ask {
    kWinner,     // of the draw
    kLikeliest,  // so many
    kRange,      // of the logits
    kBins,
    kBorder,     // logits in the bins where the border can lie
  };

  void ask_first();
  bool decide_candidates(const RankRound& round);
  bool decide_range(const LogitRange& range);
  bool decide_bins(const RankRound& round);
  bool decide_border(const RankRound& round);
  void answer_winner(Candidate* out);
  void answer_border(float* out);
  void leave_out(const Border& border, std::uint64_t equals);
  bool end(const Candidate& winner, const RankRound& round);
  [[nodiscard]] LogitRange whole_range(const RankRound& round) const;
  [[nodiscard]] bool tells_logprob() const;

  RankSlice& slice_;
  const SampleRow& request_;
  const step::SamplingParams& params_;
  float* const row_;
  bool finite_ = true;
  std::vector<float> raw_;  // before the edits, when the token's log-probability is asked for

  Ask ask_ = Ask::kWinner;
  std::int32_t count_ = 1;  // of candidates
  float floor_;             // of logit / temperature
  std::optional<BorderSearch> search_;
  std::vector<std::size_t> border_counts_;         // logits near the border, by rank
  std::vector<std::int32_t> columns_;              // where this rank's are
  std::vector<std::pair<std::int32_t, float>> left_out_;  // columns at the floor that the filters drop, and their logits
  std::size_t part_ = 0, raws_ = 0, range_ = 0;    // parts of the round under way

  Candidate winner_;
  float winner_raw_ = 0.0F;
};

}  // namespace herd::sampling
