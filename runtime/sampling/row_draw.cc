#include "runtime/sampling/row_draw.h"

#include <algorithm>
#include <cmath>

#include "kernels/check.h"
#include "kernels/math.h"
#include "runtime/sampling/candidates.h"
#include "runtime/sampling/row_stats.h"
#include "runtime/sampling/sample_row.h"

namespace herd::sampling {
namespace {

DrawKey draw_key(const SampleRow& row) {
  return {row.params->seed, row.params->choice, row.output_index, kDrawPurposeSample};
}

// bias → penalties → mask, on this rank's slice of the row.
void apply_edits(const SampleRow& request, const model::Range& vocab, float* row) {
  const step::SamplingParams& params = *request.params;
  auto local = [&](TokenId token) -> float* {
    return token >= vocab.begin && token < vocab.end ? row + (token - vocab.begin) : nullptr;
  };
  for (const auto& [token, bias] : params.logit_bias)
    if (float* logit = local(token)) *logit += bias;
  if (penalised(params) && request.counts != nullptr) {
    for (const auto& [token, count] : request.counts->counts()) {
      float* logit = local(token);
      if (logit == nullptr) continue;
      *logit = *logit < 0.0F ? *logit * params.repetition_penalty : *logit / params.repetition_penalty;
      if (count > 0)
        *logit -= static_cast<float>(count) * params.frequency_penalty + params.presence_penalty;
    }
  }
  if (request.output_index < params.min_tokens && request.stop_ids != nullptr)
    for (const TokenId token : *request.stop_ids)
      if (float* logit = local(token)) *logit = kMinusInfinity;
}

}  // namespace

std::size_t RankSlice::candidates(std::int32_t count) const {
  return static_cast<std::size_t>(std::clamp(count, 0, slice_max));
}

void RankSlice::wait() { HERD_CHECK(device.wait().ok(), "a CPU device does not fail"); }

RowDraw::RowDraw(RankSlice& slice, const SampleRow& request, float* row)
    : slice_(slice), request_(request), params_(*request.params), row_(row), floor_(kMinusInfinity) {
  ask_first();
}

bool RowDraw::tells_logprob() const { return params_.logprobs >= 0; }

// min-p often needs few of many; top-k alone needs all that it names.
void RowDraw::ask_first() {
  if (params_.greedy() || (params_.min_p <= 0.0F && !has_filters(params_, slice_.vocab_size))) return;
  count_ = candidates_first(params_, slice_.vocab_size);
  ask_ = count_ > 0 ? Ask::kLikeliest : Ask::kRange;
}

void RowDraw::edit(bool finite) {
  finite_ = finite;
  if (!finite || !edits_row(request_)) return;
  if (tells_logprob()) raw_.assign(row_, row_ + slice_.plan.vocab.size());
  apply_edits(request_, slice_.plan.vocab, row_);
}

void RowDraw::reserve(RankRound& round) {
  if (ask_ == Ask::kWinner || ask_ == Ask::kLikeliest) {
    const std::size_t count = slice_.candidates(count_);
    part_ = round.reserve<Candidate>(count);
    if (tells_logprob()) raws_ = round.reserve<float>(count);
  }
  if (ask_ == Ask::kLikeliest || ask_ == Ask::kRange) range_ = round.reserve<LogitRange>(1);
  if (ask_ == Ask::kBins) part_ = round.reserve<NucleusBin>(kNucleusBins);
  if (ask_ == Ask::kBorder)
    part_ = round.reserve<float>(*std::max_element(border_counts_.begin(), border_counts_.end()));
}

// A slice that is not finite has nothing to say, and the whole row is not sampled.
void RowDraw::answer(RankRound& round) {
  Ops& ops = slice_.device.ops();
  const std::int32_t columns = slice_.plan.vocab.size(), first = slice_.plan.vocab.begin;
  auto* const candidates = round.mine<Candidate>(part_);
  const bool for_candidates = ask_ == Ask::kWinner || ask_ == Ask::kLikeliest;
  const std::size_t count = for_candidates ? slice_.candidates(count_) : 0;
  std::fill_n(candidates, count, Candidate{});
  if (!finite_) return;
  if (ask_ == Ask::kWinner) answer_winner(candidates);
  if (ask_ == Ask::kLikeliest) ops.top_k(row_, columns, first, static_cast<std::int32_t>(count), candidates);
  if (ask_ == Ask::kRange || (ask_ == Ask::kLikeliest && count_ < candidates_max(params_, slice_.vocab_size)))
    ops.logit_range({row_, DType::kF32, 1, columns, columns}, round.mine<LogitRange>(range_));
  if (ask_ == Ask::kBins) ops.weigh(row_, columns, search_->scale(), round.mine<NucleusBin>(part_));
  if (ask_ == Ask::kBorder) answer_border(round.mine<float>(part_));
  slice_.wait();
  if (!tells_logprob()) return;
  const float* const raw = raw_.empty() ? row_ : raw_.data();
  for (std::size_t i = 0; i < count; ++i)
    if (candidates[i].id >= 0) round.mine<float>(raws_)[i] = raw[candidates[i].id - first];
}

// What the filters drop of the columns at the floor is hidden from the draw meanwhile.
void RowDraw::answer_winner(Candidate* out) {
  for (const auto& [column, logit] : left_out_) row_[column] = kMinusInfinity;
  const float temperature = params_.greedy() ? 0.0F : params_.temperature;
  slice_.device.ops().draw(row_, slice_.plan.vocab.size(), slice_.plan.vocab.begin, temperature, floor_, draw_key(request_), out);
  slice_.wait();
  for (const auto& [column, logit] : left_out_) row_[column] = logit;
}

void RowDraw::answer_border(float* out) {
  const auto room = static_cast<std::size_t>(slice_.plan.vocab.size());
  const std::size_t count = border_counts_[static_cast<std::size_t>(slice_.rank)];
  slice_.columns.resize(std::max(slice_.columns.size(), room));
  slice_.values.resize(std::max(slice_.values.size(), room));
  slice_.device.ops().select(row_, slice_.plan.vocab.size(), search_->scale(), search_->first(), search_->last(),
                             slice_.columns.data(), slice_.values.data());
  slice_.wait();
  std::copy_n(slice_.values.begin(), count, out);
  columns_.assign(slice_.columns.begin(), slice_.columns.begin() + static_cast<std::ptrdiff_t>(count));
}

// True when the row's token is known, or that it has none. False: ask_ says what comes next.
bool RowDraw::decide(const RankRound& round) {
  switch (ask_) {
    case Ask::kWinner: {
      Candidate best = *round.of<Candidate>(0, part_);
      for (int rank = 1; rank < slice_.ranks; ++rank)
        if (const Candidate& theirs = *round.of<Candidate>(rank, part_); better(theirs, best)) best = theirs;
      return end(best, round);
    }
    case Ask::kLikeliest:
      return decide_candidates(round);
    case Ask::kRange:
      return decide_range(whole_range(round));
    case Ask::kBins:
      return decide_bins(round);
    case Ask::kBorder:
      return decide_border(round);
  }
  HERD_UNREACHABLE("a row asks for something");
}

bool RowDraw::decide_candidates(const RankRound& round) {
  std::vector<Candidate> top;
  for (int rank = 0; rank < slice_.ranks; ++rank)
    merge_candidates(top, round.of<Candidate>(rank, part_), slice_.candidates(count_));
  if (top.size() > static_cast<std::size_t>(count_)) top.resize(static_cast<std::size_t>(count_));
  const bool complete = count_ == candidates_max(params_, slice_.vocab_size);
  const auto winner = draw_filtered(top, complete, params_, draw_key(request_));
  return winner ? end(*winner, round) : decide_range(whole_range(round));
}

LogitRange RowDraw::whole_range(const RankRound& round) const {
  LogitRange whole = *round.of<LogitRange>(0, range_);
  for (int rank = 1; rank < slice_.ranks; ++rank) {
    const LogitRange& theirs = *round.of<LogitRange>(rank, range_);
    whole = {std::max(whole.max, theirs.max), std::min(whole.min, theirs.min)};
  }
  return whole;
}

bool RowDraw::decide_range(const LogitRange& range) {
  search_.emplace(params_, range);
  if (!search_->anybody()) return true;
  count_ = 1;
  floor_ = search_->scale().floor;
  ask_ = has_filters(params_, slice_.vocab_size) ? Ask::kBins : Ask::kWinner;
  return false;
}

bool RowDraw::decide_bins(const RankRound& round) {
  std::vector<NucleusBin> sum(kNucleusBins, NucleusBin{0, 0});
  for (int rank = 0; rank < slice_.ranks; ++rank) {
    const NucleusBin* const theirs = round.of<NucleusBin>(rank, part_);
    for (std::size_t bin = 0; bin < sum.size(); ++bin) {
      sum[bin].weight += theirs[bin].weight;
      sum[bin].columns += theirs[bin].columns;
    }
  }
  ask_ = Ask::kWinner;
  if (!search_->weigh(sum.data())) return false;
  ask_ = Ask::kBorder;
  for (int rank = 0; rank < slice_.ranks; ++rank) {
    std::uint64_t count = 0;
    for (std::int32_t bin = search_->first(); bin <= search_->last(); ++bin)
      count += round.of<NucleusBin>(rank, part_)[bin].columns;
    border_counts_.push_back(std::min(static_cast<std::size_t>(count), static_cast<std::size_t>(slice_.slice_max)));
  }
  return false;
}

bool RowDraw::decide_border(const RankRound& round) {
  std::vector<float> logits;
  for (std::size_t rank = 0; rank < border_counts_.size(); ++rank) {
    const float* const theirs = round.of<float>(static_cast<int>(rank), part_);
    logits.insert(logits.end(), theirs, theirs + border_counts_[rank]);
  }
  if (slice_.ranks > 1)  // none but of a rank that is not right
    std::erase_if(logits, [&](float logit) {
      const float quotient = logit / params_.temperature;
      return !(quotient >= floor_ && quotient <= search_->scale().max);
    });
  const Border border = search_->find(slice_.device.ops(), std::move(logits));
  std::uint64_t equals = border.equals;  // ranks are in the order of their ids
  for (int rank = 0; rank < slice_.rank; ++rank) {
    const float* const theirs = round.of<float>(rank, part_);
    const auto theirs_count = static_cast<std::ptrdiff_t>(border_counts_[static_cast<std::size_t>(rank)]);
    equals -= std::min(equals, static_cast<std::uint64_t>(std::count(theirs, theirs + theirs_count, border.logit)));
  }
  leave_out(border, equals);
  floor_ = std::max(floor_, border.logit / params_.temperature);
  ask_ = Ask::kWinner;
  return false;
}

// Of this rank's columns whose quotient is the border's own, or whose logit is.
void RowDraw::leave_out(const Border& border, std::uint64_t equals) {
  const float floor = border.logit / params_.temperature;
  const bool shared = std::nextafter(border.logit, kMinusInfinity) / params_.temperature == floor;  // by lesser logits too
  for (const std::int32_t column : columns_) {
    const float logit = row_[column];
    if (logit == border.logit && equals > 0) {
      --equals;
    } else if (logit == border.logit || (shared && logit < border.logit && logit / params_.temperature == floor)) {
      left_out_.emplace_back(column, logit);
    }
  }
}

bool RowDraw::end(const Candidate& winner, const RankRound& round) {
  winner_ = winner;
  if (winner.id < 0 || !tells_logprob()) return true;
  for (int rank = 0; rank < slice_.ranks; ++rank) {
    const auto* const candidates = round.of<Candidate>(rank, part_);
    for (std::size_t i = 0; i < slice_.candidates(count_); ++i)
      if (candidates[i].id == winner.id) winner_raw_ = round.of<float>(rank, raws_)[i];
  }
  return true;
}

void RowDraw::tell(float log_sum, step::SampledToken& out) const {
  out.finite = winner_.id >= 0;  // every token masked: nothing to draw
  if (!out.finite) return;
  out.token = winner_.id;
  if (tells_logprob()) out.logprob = winner_raw_ - log_sum;
}

}  // namespace herd::sampling
