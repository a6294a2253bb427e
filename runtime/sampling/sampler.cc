#include "runtime/sampling/sampler.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "kernels/check.h"
#include "kernels/math.h"
#include "kernels/philox.h"
#include "runtime/sampling/candidates.h"

namespace herd::sampling {
namespace {

constexpr float kMinusInfinity = -std::numeric_limits<float>::infinity();
constexpr std::size_t kGatherFloats = std::size_t{1} << 20;  // of one rank, where whole rows are gathered

DrawKey draw_key(const SampleRow& row) {
  return {row.params->seed, row.params->choice, row.output_index, kDrawPurposeSample};
}

}  // namespace

bool penalised(const step::SamplingParams& params) {
  return params.repetition_penalty != 1.0F || params.presence_penalty != 0.0F || params.frequency_penalty != 0.0F;
}

bool edits_row(const SampleRow& row) {
  return !row.params->logit_bias.empty() || penalised(*row.params) || row.output_index < row.params->min_tokens;
}

// What is known of a row, and what every rank is asked for in the round under way.
struct Sampler::Draw {
  enum class Want {
    kWinner,   // of the draw
    kLargest,  // logit, which says where min-p ends
    kTop,      // so many of the likeliest
  };
  const SampleRow* request;
  float* row;              // this rank's slice
  std::vector<float> raw;  // before the edits, when the token's log-probability is asked for
  step::SampledToken* out;
  std::size_t stats = 0, top = 0;  // parts of the first round
  bool slice_finite = true;
  float log_sum = 0.0F;
  Want want = Want::kWinner;
  std::int32_t count = 1;        // of candidates in the whole row
  float floor = kMinusInfinity;  // of logit / temperature
  std::size_t candidates = 0, raws = 0;  // parts of the round under way

  [[nodiscard]] const step::SamplingParams& params() const { return *request->params; }
  [[nodiscard]] bool tells_logprob() const { return params().logprobs >= 0; }
};

Sampler::Sampler(const model::ShardPlan& plan, std::int32_t vocab_size, Device& device, Collective& tp,
                 bool hash_logits, std::size_t round_bytes)
    : plan_(plan),
      vocab_size_(vocab_size),
      device_(device),
      ops_(device.ops()),
      tp_(tp),
      hash_logits_(hash_logits),
      round_bytes_(round_bytes) {
  slice_max_ = model::widest_vocab_slice(vocab_size, plan.size);
}

void Sampler::wait() { HERD_CHECK(device_.wait().ok(), "a CPU device does not fail"); }

float* Sampler::slice_row(const TensorView& logits, std::size_t row) const {
  return static_cast<float*>(logits.data) + static_cast<std::int64_t>(row) * logits.row_stride;
}

// Of this rank's slice: log-sum-exp over its vocabulary leaves, rule 3's tree; the hash when asked for.
std::vector<RowStats> Sampler::slice_stats(const TensorView& logits) {
  const auto rows = static_cast<std::size_t>(logits.rows);
  std::vector<MaxSum> leaves(static_cast<std::size_t>(plan_.leaf_count) * rows);  // [leaf, row]
  for (int leaf = 0; leaf < plan_.leaf_count; ++leaf)
    ops_.leaf_max_sum(logits, plan_.vocab_leaf[leaf], plan_.vocab_leaf[leaf + 1],
                      leaves.data() + static_cast<std::size_t>(leaf) * rows);
  wait();
  std::vector<RowStats> stats(rows);
  for (std::size_t row = 0; row < rows; ++row) {
    MaxSum nodes[kLeaves];
    for (int leaf = 0; leaf < plan_.leaf_count; ++leaf) nodes[leaf] = leaves[static_cast<std::size_t>(leaf) * rows + row];
    stats[row].normaliser = merge_tree(nodes, plan_.leaf_count);
    if (hash_logits_)
      stats[row].hash = hash_elements(static_cast<std::uint64_t>(plan_.vocab.begin),
                                      {slice_row(logits, row), static_cast<std::size_t>(plan_.vocab.size())});
  }
  return stats;
}

RowStats Sampler::merged_stats(const RankRound& round, std::size_t at) const {
  RowStats merged;
  MaxSum nodes[kLeaves];
  for (int rank = 0; rank < tp_.size(); ++rank) {
    const RowStats& theirs = *round.of<RowStats>(rank, at);
    nodes[rank] = theirs.normaliser;
    merged.hash += theirs.hash;
  }
  merged.normaliser = merge_tree(nodes, tp_.size());
  return merged;
}

// Of the `count` likeliest of a row, as many as one slice may hold.
std::size_t Sampler::slice_candidates(std::int32_t count) const {
  return static_cast<std::size_t>(std::clamp(count, 0, slice_max_));
}

std::vector<step::TokenLogprob> Sampler::merged_top(const RankRound& round, std::size_t at, std::int32_t count,
                                                    float log_sum) const {
  std::vector<Candidate> all;
  for (int rank = 0; rank < tp_.size(); ++rank)
    merge_candidates(all, round.of<Candidate>(rank, at), slice_candidates(count));
  if (all.size() > static_cast<std::size_t>(count)) all.resize(static_cast<std::size_t>(count));
  std::vector<step::TokenLogprob> top;
  for (const Candidate& candidate : all) top.push_back({candidate.id, candidate.logit - log_sum});
  return top;
}

// bias → penalties → mask, on this rank's slice of the row.
void Sampler::apply_edits(float* row, const SampleRow& request) const {
  const step::SamplingParams& params = *request.params;
  auto local = [&](TokenId token) -> float* {
    return token >= plan_.vocab.begin && token < plan_.vocab.end ? row + (token - plan_.vocab.begin) : nullptr;
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

// Every row's parts of the first round: statistics, the likeliest of the raw row, and what its draw asks for first.
std::vector<Sampler::Draw> Sampler::first_draws(const TensorView& logits, const std::vector<SampleRow>& rows,
                                                RankRound& round) const {
  std::vector<Draw> draws(rows.size());
  for (std::size_t i = 0; i < rows.size(); ++i) {
    Draw& draw = draws[i];
    draw.request = &rows[i];
    draw.row = slice_row(logits, i);
    const step::SamplingParams& params = draw.params();
    draw.stats = round.reserve<RowStats>(1);
    draw.top = round.reserve<Candidate>(slice_candidates(params.logprobs));
    if (!params.greedy() && has_filters(params, vocab_size_)) {
      draw.want = Draw::Want::kTop;
      draw.count = candidates_first(params, vocab_size_);
    } else if (!params.greedy() && params.min_p > 0.0F) {
      draw.want = Draw::Want::kLargest;
    }
    reserve(draw, round);
  }
  return draws;
}

void Sampler::reserve(Draw& draw, RankRound& round) const {
  const std::size_t count = slice_candidates(draw.count);
  draw.candidates = round.reserve<Candidate>(count);
  if (draw.tells_logprob()) draw.raws = round.reserve<float>(count);
}

// The likeliest of the raw rows, then the edits.
void Sampler::fill_first(std::vector<Draw>& draws, RankRound& round) {
  for (Draw& draw : draws) {
    const std::size_t top = slice_candidates(draw.params().logprobs);
    std::fill_n(round.mine<Candidate>(draw.top), top, Candidate{});
    if (draw.slice_finite)
      ops_.top_k(draw.row, plan_.vocab.size(), plan_.vocab.begin, static_cast<std::int32_t>(top),
                 round.mine<Candidate>(draw.top));
  }
  wait();
  for (Draw& draw : draws) {
    if (!draw.slice_finite || !edits_row(*draw.request)) continue;
    if (draw.tells_logprob()) draw.raw.assign(draw.row, draw.row + plan_.vocab.size());
    apply_edits(draw.row, *draw.request);
  }
}

// This rank's candidates. A slice that is not finite has none, and the whole row is not sampled.
void Sampler::fill(std::span<Draw> draws, RankRound& round) {
  for (Draw& draw : draws) {
    auto* const candidates = round.mine<Candidate>(draw.candidates);
    const std::size_t count = slice_candidates(draw.count);
    std::fill_n(candidates, count, Candidate{});
    if (!draw.slice_finite) continue;
    const std::int32_t columns = plan_.vocab.size(), first = plan_.vocab.begin;
    if (draw.want == Draw::Want::kTop) {
      ops_.top_k(draw.row, columns, first, static_cast<std::int32_t>(count), candidates);
    } else if (draw.want == Draw::Want::kLargest || draw.params().greedy()) {
      ops_.draw(draw.row, columns, first, 0.0F, kMinusInfinity, {}, candidates);
    } else {
      ops_.draw(draw.row, columns, first, draw.params().temperature, draw.floor, draw_key(*draw.request), candidates);
    }
  }
  wait();
  for (const Draw& draw : draws) {
    if (!draw.tells_logprob()) continue;
    const auto* const candidates = round.mine<Candidate>(draw.candidates);
    const float* const raw = draw.raw.empty() ? draw.row : draw.raw.data();
    for (std::size_t i = 0; i < slice_candidates(draw.count); ++i)
      if (candidates[i].id >= 0) round.mine<float>(draw.raws)[i] = raw[candidates[i].id - plan_.vocab.begin];
  }
}

// True when the row's token is known, or that it has none. False: the draw says what it asks for next.
bool Sampler::decide(Draw& draw, const RankRound& round) const {
  const step::SamplingParams& params = draw.params();
  if (draw.want == Draw::Want::kTop) {
    std::vector<Candidate> top;
    for (int rank = 0; rank < tp_.size(); ++rank)
      merge_candidates(top, round.of<Candidate>(rank, draw.candidates), slice_candidates(draw.count));
    if (top.size() > static_cast<std::size_t>(draw.count)) top.resize(static_cast<std::size_t>(draw.count));
    const std::int32_t max = candidates_max(params, vocab_size_);
    const auto winner = draw_filtered(top, draw.count == max, params, draw_key(*draw.request));
    if (winner) {
      finish(draw, *winner, round);
    } else {
      draw.count = candidates_next(draw.count, max);
    }
    return winner.has_value();
  }
  Candidate best = *round.of<Candidate>(0, draw.candidates);
  for (int rank = 1; rank < tp_.size(); ++rank)
    if (const Candidate& theirs = *round.of<Candidate>(rank, draw.candidates); better(theirs, best)) best = theirs;
  if (draw.want == Draw::Want::kLargest && best.id >= 0) {
    draw.want = Draw::Want::kWinner;
    draw.floor = best.logit / params.temperature + log_f32(params.min_p);
    if (!std::isnan(draw.floor)) return false;
    best = {};  // from a rank that is not right: no check of ours may fail of it
  }
  finish(draw, best, round);
  return true;
}

void Sampler::finish(const Draw& draw, const Candidate& winner, const RankRound& round) const {
  draw.out->finite = winner.id >= 0;  // every token masked: nothing to draw
  if (!draw.out->finite) return;
  draw.out->token = winner.id;
  if (!draw.tells_logprob()) return;
  for (int rank = 0; rank < tp_.size(); ++rank) {
    const auto* const candidates = round.of<Candidate>(rank, draw.candidates);
    for (std::size_t i = 0; i < slice_candidates(draw.count); ++i)
      if (candidates[i].id == winner.id) draw.out->logprob = round.of<float>(rank, draw.raws)[i] - draw.log_sum;
  }
}

std::vector<step::SampledToken> Sampler::sample(const TensorView& logits, const std::vector<SampleRow>& rows) {
  HERD_CHECK(logits.rows == static_cast<std::int64_t>(rows.size()), "one row of logits per draw");
  std::vector<step::SampledToken> sampled(rows.size());
  const std::vector<RowStats> mine = slice_stats(logits);
  RankRound round;
  std::vector<Draw> draws = first_draws(logits, rows, round);
  round.open(tp_);
  for (std::size_t i = 0; i < draws.size(); ++i) {
    *round.mine<RowStats>(draws[i].stats) = mine[i];
    draws[i].slice_finite = mine[i].finite();
  }
  fill_first(draws, round);
  fill(draws, round);
  round.gather(tp_, CollectiveName::kSampling);

  for (std::size_t i = 0; i < draws.size(); ++i) {
    Draw& draw = draws[i];
    step::SampledToken& out = sampled[i];
    const RowStats stats = merged_stats(round, draw.stats);
    out.sequence = rows[i].sequence;
    out.output_index = rows[i].output_index;
    out.logits_hash = stats.hash;
    out.finite = stats.finite();
    draw.out = &out;
    draw.log_sum = stats.log_sum();
    if (out.finite) out.top = merged_top(round, draw.top, draw.params().logprobs, draw.log_sum);
  }
  std::erase_if(draws, [&](Draw& draw) { return !draw.out->finite || decide(draw, round); });
  while (!draws.empty()) decide_more(draws);  // the same rows on every rank
  return sampled;
}

// One round for as many rows as there is room for, in practice all.
void Sampler::decide_more(std::vector<Draw>& draws) {
  RankRound round;
  std::size_t asked = 0;
  while (asked < draws.size() && (asked == 0 || round.bytes() * static_cast<std::size_t>(tp_.size()) <= round_bytes_))
    reserve(draws[asked++], round);
  round.open(tp_);
  fill(std::span(draws).first(asked), round);
  round.gather(tp_, CollectiveName::kCandidates);
  std::vector<Draw> left;
  for (std::size_t i = 0; i < draws.size(); ++i)
    if (i >= asked || !decide(draws[i], round)) left.push_back(std::move(draws[i]));
  draws = std::move(left);
}

std::vector<step::PromptLogprob> Sampler::score(const TensorView& logits, std::span<const TokenId> targets,
                                                     std::int32_t top) {
  HERD_CHECK(logits.rows == static_cast<std::int64_t>(targets.size()), "one row of logits per target");
  const std::size_t rows = targets.size(), top_of_slice = slice_candidates(top);
  const std::vector<RowStats> mine = slice_stats(logits);
  RankRound round;
  const std::size_t stats_at = round.reserve<RowStats>(rows), logits_at = round.reserve<float>(rows);
  std::vector<std::size_t> top_at;
  for (std::size_t i = 0; i < rows; ++i) top_at.push_back(round.reserve<Candidate>(top_of_slice));
  round.open(tp_);
  for (std::size_t i = 0; i < rows; ++i) {
    const float* const row = slice_row(logits, i);
    round.mine<RowStats>(stats_at)[i] = mine[i];
    const bool here = targets[i] >= plan_.vocab.begin && targets[i] < plan_.vocab.end;
    round.mine<float>(logits_at)[i] = here ? row[targets[i] - plan_.vocab.begin] : kMinusInfinity;
    ops_.top_k(row, plan_.vocab.size(), plan_.vocab.begin, static_cast<std::int32_t>(top_of_slice),
               round.mine<Candidate>(top_at[i]));
  }
  wait();
  round.gather(tp_, CollectiveName::kPromptLogprobs);

  std::vector<step::PromptLogprob> scored(rows);
  for (std::size_t i = 0; i < rows; ++i) {
    const RowStats stats = merged_stats(round, stats_at + i * sizeof(RowStats));
    const float log_sum = stats.log_sum();
    float logit = round.of<float>(0, logits_at)[i];
    for (int rank = 1; rank < tp_.size(); ++rank) logit = std::max(logit, round.of<float>(rank, logits_at)[i]);
    scored[i].token = targets[i];
    scored[i].logprob = logit - log_sum;
    if (stats.finite()) scored[i].top = merged_top(round, top_at[i], top, log_sum);
  }
  return scored;
}

std::vector<float> Sampler::gather_rows(const TensorView& logits) {
  const auto rows = static_cast<std::size_t>(logits.rows), slice = static_cast<std::size_t>(slice_max_);
  const auto border = model::leaf_borders(vocab_size_, kPanelOutputs);
  const std::size_t together = std::max<std::size_t>(1, kGatherFloats / slice);
  std::vector<float> whole;
  whole.reserve(rows * static_cast<std::size_t>(vocab_size_));
  for (std::size_t done = 0; done < rows; done += together) {
    const std::size_t count = std::min(rows - done, together);
    RankRound round;
    const std::size_t at = round.reserve<float>(count * slice);
    round.open(tp_);
    for (std::size_t i = 0; i < count; ++i)
      std::copy_n(slice_row(logits, done + i), plan_.vocab.size(), round.mine<float>(at) + i * slice);
    round.gather(tp_, CollectiveName::kLogits);
    for (std::size_t i = 0; i < count; ++i) {
      for (int rank = 0; rank < tp_.size(); ++rank) {
        const int ids = border[(rank + 1) * plan_.leaf_count] - border[rank * plan_.leaf_count];
        const float* const theirs = round.of<float>(rank, at) + i * slice;
        whole.insert(whole.end(), theirs, theirs + ids);
      }
    }
  }
  return whole;
}

}  // namespace herd::sampling
