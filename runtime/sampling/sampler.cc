#include "runtime/sampling/sampler.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "kernels/check.h"
#include "runtime/sampling/candidates.h"

namespace herd::sampling {
namespace {

constexpr std::size_t kGatherFloats = std::size_t{1} << 20;  // of one rank, where whole rows are gathered

}  // namespace

Sampler::Sampler(const model::ShardPlan& plan, std::int32_t vocab_size, Device& device, Collective& tp,
                 bool hash_logits, std::size_t round_bytes)
    : plan_(plan),
      vocab_size_(vocab_size),
      ops_(device.ops()),
      tp_(tp),
      hash_logits_(hash_logits),
      round_bytes_(round_bytes),
      slice_{plan_, vocab_size, model::widest_vocab_slice(vocab_size, plan.size), device, tp.size(), tp.rank(), {}, {}} {}

float* Sampler::slice_row(const TensorView& logits, std::size_t row) const {
  return static_cast<float*>(logits.data) + static_cast<std::int64_t>(row) * logits.row_stride;
}

// Of this rank's slice: log-sum-exp over its vocabulary leaves, rule 3's tree, where it is asked for, else the largest logit and
// whether all are numbers; the hash when asked for.
std::vector<RowStats> Sampler::slice_stats(const TensorView& logits, const std::vector<bool>& with_sum) {
  const auto rows = static_cast<std::size_t>(logits.rows);
  std::vector<RowStats> stats(rows);
  std::vector<LogitRange> ranges(rows);
  ops_.logit_range(logits, ranges.data());
  slice_.wait();
  for (std::size_t row = 0; row < rows; ++row) {
    const float max = ranges[row].max;
    stats[row].normaliser = {max, max < kInfinity ? 0.0F : std::numeric_limits<float>::quiet_NaN()};
    if (hash_logits_)
      stats[row].hash = hash_elements(static_cast<std::uint64_t>(plan_.vocab.begin),
                                      {slice_row(logits, row), static_cast<std::size_t>(plan_.vocab.size())});
  }
  for (std::size_t row = 0; row < rows;) {  // neighbours together
    const auto end = static_cast<std::size_t>(std::find(with_sum.begin() + static_cast<std::ptrdiff_t>(row), with_sum.end(), false) -
                                              with_sum.begin());
    if (end > row) add_sums(logits, row, end, stats);
    row = end + 1;
  }
  return stats;
}

void Sampler::add_sums(const TensorView& logits, std::size_t begin, std::size_t end, std::vector<RowStats>& stats) {
  const std::size_t rows = end - begin;
  TensorView view = logits;
  view.data = slice_row(logits, begin);
  view.rows = static_cast<std::int64_t>(rows);
  std::vector<MaxSum> leaves(static_cast<std::size_t>(plan_.leaf_count) * rows);  // [leaf, row]
  for (int leaf = 0; leaf < plan_.leaf_count; ++leaf)
    ops_.leaf_max_sum(view, plan_.vocab_leaf[leaf], plan_.vocab_leaf[leaf + 1],
                      leaves.data() + static_cast<std::size_t>(leaf) * rows);
  slice_.wait();
  for (std::size_t row = 0; row < rows; ++row) {
    MaxSum nodes[kLeaves];
    for (int leaf = 0; leaf < plan_.leaf_count; ++leaf) nodes[leaf] = leaves[static_cast<std::size_t>(leaf) * rows + row];
    stats[begin + row].normaliser = merge_tree(nodes, plan_.leaf_count);
  }
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

std::vector<step::TokenLogprob> Sampler::merged_top(const RankRound& round, std::size_t at, std::int32_t count,
                                                    float log_sum) const {
  std::vector<Candidate> all;
  for (int rank = 0; rank < tp_.size(); ++rank)
    merge_candidates(all, round.of<Candidate>(rank, at), slice_.candidates(count));
  if (all.size() > static_cast<std::size_t>(count)) all.resize(static_cast<std::size_t>(count));
  std::vector<step::TokenLogprob> top;
  for (const Candidate& candidate : all) top.push_back({candidate.id, candidate.logit - log_sum});
  return top;
}

std::vector<step::SampledToken> Sampler::sample(const TensorView& logits, const std::vector<SampleRow>& rows) {
  HERD_CHECK(logits.rows == static_cast<std::int64_t>(rows.size()), "one row of logits per draw");
  std::vector<RowDraw> draws;
  draws.reserve(rows.size());
  for (std::size_t i = 0; i < rows.size(); ++i) draws.emplace_back(slice_, rows[i], slice_row(logits, i));
  std::vector<float> log_sums;
  std::vector<RowDraw*> undecided;
  std::vector<step::SampledToken> sampled = first_round(logits, rows, draws, log_sums, undecided);
  while (!undecided.empty()) next_round(undecided);  // the same rows on every rank
  for (std::size_t i = 0; i < rows.size(); ++i)
    if (sampled[i].finite) draws[i].tell(log_sums[i], sampled[i]);
  return sampled;
}

// Statistics, the likeliest of the raw rows, and what each draw asks for first.
std::vector<step::SampledToken> Sampler::first_round(const TensorView& logits, const std::vector<SampleRow>& rows,
                                                     std::vector<RowDraw>& draws, std::vector<float>& log_sums,
                                                     std::vector<RowDraw*>& undecided) {
  std::vector<bool> with_sum;
  for (const SampleRow& row : rows) with_sum.push_back(row.params->logprobs >= 0);
  const std::vector<RowStats> mine = slice_stats(logits, with_sum);
  RankRound round;
  const std::size_t stats_at = round.reserve<RowStats>(rows.size());
  std::vector<std::size_t> top_at;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    top_at.push_back(round.reserve<Candidate>(slice_.candidates(rows[i].params->logprobs)));
    draws[i].reserve(round);
  }
  round.open(tp_);
  std::copy(mine.begin(), mine.end(), round.mine<RowStats>(stats_at));
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const std::size_t top = slice_.candidates(rows[i].params->logprobs);
    std::fill_n(round.mine<Candidate>(top_at[i]), top, Candidate{});
    if (mine[i].finite())
      ops_.top_k(slice_row(logits, i), plan_.vocab.size(), plan_.vocab.begin, static_cast<std::int32_t>(top),
                 round.mine<Candidate>(top_at[i]));
    slice_.wait();
    draws[i].edit(mine[i].finite());
    draws[i].answer(round);
  }
  round.gather(tp_, CollectiveName::kSampling);

  std::vector<step::SampledToken> sampled(rows.size());
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const RowStats stats = merged_stats(round, stats_at + i * sizeof(RowStats));
    step::SampledToken& out = sampled[i];
    out.sequence = rows[i].sequence;
    out.output_index = rows[i].output_index;
    out.logits_hash = stats.hash;
    out.finite = stats.finite();
    log_sums.push_back(stats.log_sum());
    if (!out.finite) continue;
    out.top = merged_top(round, top_at[i], rows[i].params->logprobs, log_sums[i]);
    if (!draws[i].decide(round)) undecided.push_back(&draws[i]);
  }
  return sampled;
}

// One round for as many rows as there is room for, in practice all. A rank by itself takes a row to its end while it is in the cache.
void Sampler::next_round(std::vector<RowDraw*>& undecided) {
  RankRound round;
  std::size_t asked = 0;
  const std::size_t most = tp_.size() == 1 ? 1 : undecided.size();
  while (asked < most && (asked == 0 || round.bytes() * static_cast<std::size_t>(tp_.size()) <= round_bytes_))
    undecided[asked++]->reserve(round);
  round.open(tp_);
  for (std::size_t i = 0; i < asked; ++i) undecided[i]->answer(round);
  round.gather(tp_, CollectiveName::kCandidates);
  std::vector<RowDraw*> left;
  for (std::size_t i = 0; i < undecided.size(); ++i)
    if (i >= asked || !undecided[i]->decide(round)) left.push_back(undecided[i]);
  undecided = std::move(left);
}

std::vector<step::PromptLogprob> Sampler::score(const TensorView& logits, std::span<const TokenId> targets,
                                                     std::int32_t top) {
  HERD_CHECK(logits.rows == static_cast<std::int64_t>(targets.size()), "one row of logits per target");
  const std::size_t rows = targets.size(), top_of_slice = slice_.candidates(top);
  const std::vector<RowStats> mine = slice_stats(logits, std::vector<bool>(rows, true));
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
  slice_.wait();
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
  const auto rows = static_cast<std::size_t>(logits.rows), slice = static_cast<std::size_t>(slice_.slice_max);
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
