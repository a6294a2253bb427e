#include "runtime/sampling/sampler.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

#include "kernels/check.h"
#include "kernels/math.h"
#include "kernels/philox.h"
#include "kernels/splitmix64.h"

namespace herd::sampling {
namespace {

constexpr float kMinusInfinity = -std::numeric_limits<float>::infinity();
constexpr std::int32_t kTopFirst = 256;  // candidates fetched at first when a filter may need many

// Two runs of logits, neighbours in rule 3's tree. An empty one is skipped.
MaxSum merge(const MaxSum& a, const MaxSum& b) {
  if (a.max == kMinusInfinity && a.sum == 0.0F) return b;
  if (b.max == kMinusInfinity && b.sum == 0.0F) return a;
  const float max = std::max(a.max, b.max);
  return {max, a.sum * exp_f32(a.max - max) + b.sum * exp_f32(b.max - max)};
}

// Balanced binary tree over 1, 2, 4 or 8 nodes.
MaxSum merge_tree(const MaxSum* nodes, int count) {
  if (count == 1) return nodes[0];
  return merge(merge_tree(nodes, count / 2), merge_tree(nodes + count / 2, count / 2));
}

bool better(const Candidate& a, const Candidate& b) {  // a wins over b
  if (b.id < 0) return a.id >= 0;
  if (a.id < 0) return false;
  return a.score > b.score || (a.score == b.score && a.id < b.id);
}

float gumbel(const DrawKey& key, TokenId token) {
  return gumbel_of(draw_word(key.seed, key.choice, key.output_index, key.purpose, static_cast<std::uint32_t>(token)));
}

DrawKey draw_key(const SampleRow& row) {
  return {row.params->seed, row.params->choice, row.output_index, kDrawPurposeSample};
}

// SplitMix64's finaliser over (position, bits): the sum over a row does not depend on how it is sliced.
std::uint64_t hash_element(std::uint64_t position, float value) {
  return splitmix64_finish(position * kSplitMix64Step ^ std::bit_cast<std::uint32_t>(value));
}

}  // namespace

bool penalised(const step::SamplingParams& params) {
  return params.repetition_penalty != 1.0F || params.presence_penalty != 0.0F || params.frequency_penalty != 0.0F;
}

bool edits_row(const SampleRow& row) {
  return !row.params->logit_bias.empty() || penalised(*row.params) || row.output_index < row.params->min_tokens;
}

Sampler::Sampler(const model::ShardPlan& plan, std::int32_t vocab_size, Device& device, Collective& tp,
                 bool hash_logits)
    : plan_(plan), vocab_size_(vocab_size), device_(device), ops_(device.ops()), tp_(tp), hash_logits_(hash_logits) {
  slice_max_ = model::widest_vocab_slice(vocab_size, plan.size);
}

float Sampler::RowStats::log_sum() const { return normaliser.max + log_f32(normaliser.sum); }

// Log-sum-exp over 8 vocabulary leaves, rule 3's tree; the hash when asked for.
std::vector<Sampler::RowStats> Sampler::row_stats(const TensorView& logits) {
  const auto rows = static_cast<std::size_t>(logits.rows);
  std::vector<MaxSum> leaves(static_cast<std::size_t>(plan_.leaf_count) * rows);  // [leaf, row]
  for (int leaf = 0; leaf < plan_.leaf_count; ++leaf)
    ops_.leaf_max_sum(logits, plan_.vocab_leaf[leaf], plan_.vocab_leaf[leaf + 1],
                      leaves.data() + static_cast<std::size_t>(leaf) * rows);
  HERD_CHECK(device_.wait().ok(), "a CPU device does not fail");

  std::vector<RowStats> mine(rows);
  for (std::size_t row = 0; row < rows; ++row) {
    MaxSum nodes[kLeaves];
    for (int leaf = 0; leaf < plan_.leaf_count; ++leaf) nodes[leaf] = leaves[static_cast<std::size_t>(leaf) * rows + row];
    mine[row].normaliser = merge_tree(nodes, plan_.leaf_count);
    if (!hash_logits_) continue;
    const float* values = static_cast<const float*>(logits.data) + static_cast<std::int64_t>(row) * logits.row_stride;
    for (int id = 0; id < plan_.vocab.size(); ++id)
      mine[row].hash += hash_element(static_cast<std::uint64_t>(plan_.vocab.begin + id), values[id]);
  }
  if (tp_.size() == 1) return mine;

  std::vector<RowStats> all(rows * static_cast<std::size_t>(tp_.size()));
  tp_.all_gather(CollectiveName::kSampling, mine.data(), all.data(), rows * sizeof(RowStats));
  for (std::size_t row = 0; row < rows; ++row) {
    MaxSum nodes[kLeaves];
    mine[row].hash = 0;
    for (int rank = 0; rank < tp_.size(); ++rank) {
      nodes[rank] = all[static_cast<std::size_t>(rank) * rows + row].normaliser;
      mine[row].hash += all[static_cast<std::size_t>(rank) * rows + row].hash;
    }
    mine[row].normaliser = merge_tree(nodes, tp_.size());
  }
  return mine;
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

Candidate Sampler::best_of_ranks(const Candidate& local) {
  if (tp_.size() == 1) return local;
  Candidate all[kLeaves];
  tp_.all_gather(CollectiveName::kSampling, &local, all, sizeof(Candidate));
  Candidate best;
  for (int rank = 0; rank < tp_.size(); ++rank)
    if (better(all[rank], best)) best = all[rank];
  return best;
}

// The k best of the whole row by (logit desc, id asc); fewer when the vocabulary is smaller.
std::vector<Candidate> Sampler::top_of_ranks(const float* row, std::int32_t k) {
  k = std::min(k, vocab_size_);
  const std::int32_t local_k = std::min(k, slice_max_);
  std::vector<Candidate> local(static_cast<std::size_t>(local_k));
  ops_.top_k(row, plan_.vocab.size(), plan_.vocab.begin, local_k, local.data());
  HERD_CHECK(device_.wait().ok(), "a CPU device does not fail");
  std::vector<Candidate> all = local;
  if (tp_.size() > 1) {
    all.resize(local.size() * static_cast<std::size_t>(tp_.size()));
    tp_.all_gather(CollectiveName::kSampling, local.data(), all.data(), local.size() * sizeof(Candidate));
  }
  std::erase_if(all, [](const Candidate& candidate) { return candidate.id < 0; });
  std::sort(all.begin(), all.end(), [](const Candidate& a, const Candidate& b) {
    return a.logit > b.logit || (a.logit == b.logit && a.id < b.id);
  });
  if (all.size() > static_cast<std::size_t>(k)) all.resize(static_cast<std::size_t>(k));
  return all;
}

std::vector<float> Sampler::gather_row(const float* row) {
  const auto slice = static_cast<std::size_t>(slice_max_);
  std::vector<float> mine(slice, kMinusInfinity);
  std::copy_n(row, plan_.vocab.size(), mine.begin());
  std::vector<float> all(slice * static_cast<std::size_t>(tp_.size()));
  tp_.all_gather(CollectiveName::kSampling, mine.data(), all.data(), slice * sizeof(float));
  const auto border = model::leaf_borders(vocab_size_, kPanelOutputs);
  std::vector<float> whole(static_cast<std::size_t>(round_up(vocab_size_, kPanelOutputs)), kMinusInfinity);
  for (int rank = 0; rank < tp_.size(); ++rank) {
    const int begin = border[rank * plan_.leaf_count];
    const int end = border[(rank + 1) * plan_.leaf_count];
    std::copy_n(all.begin() + static_cast<std::ptrdiff_t>(slice) * rank, end - begin, whole.begin() + begin);
  }
  return whole;
}

std::vector<float> Sampler::gather_rows(const TensorView& logits) {
  std::vector<float> out;
  out.reserve(static_cast<std::size_t>(logits.rows) * static_cast<std::size_t>(vocab_size_));
  for (std::int64_t row = 0; row < logits.rows; ++row) {
    const float* values = static_cast<const float*>(logits.data) + row * logits.row_stride;
    if (tp_.size() == 1) {
      out.insert(out.end(), values, values + vocab_size_);
    } else {
      const std::vector<float> whole = gather_row(values);
      out.insert(out.end(), whole.begin(), whole.begin() + vocab_size_);
    }
  }
  return out;
}

Candidate Sampler::draw(const float* row, const SampleRow& request) {
  const step::SamplingParams& params = *request.params;
  const bool greedy = params.greedy();
  const bool filtered = !greedy && (params.top_p < 1.0F || (params.top_k > 1 && params.top_k < vocab_size_));
  if (filtered) return draw_filtered(row, request);

  Candidate local;
  float floor = kMinusInfinity;
  const float temperature = greedy ? 0.0F : params.temperature;
  if (!greedy && params.min_p > 0.0F) {
    ops_.draw(row, plan_.vocab.size(), plan_.vocab.begin, 0.0F, kMinusInfinity, {}, &local);
    HERD_CHECK(device_.wait().ok(), "a CPU device does not fail");
    floor = best_of_ranks(local).logit / temperature + log_f32(params.min_p);
  }
  ops_.draw(row, plan_.vocab.size(), plan_.vocab.begin, temperature, floor, draw_key(request), &local);
  HERD_CHECK(device_.wait().ok(), "a CPU device does not fail");
  return best_of_ranks(local);
}

// min-p → top-k → top-p over the best candidates in descending (logit, id) order, then the same Gumbel draw among
// those kept. Probabilities are exp(l/T − max): p_i relative to what the filters before left.
Candidate Sampler::draw_filtered(const float* row, const SampleRow& request) {
  const step::SamplingParams& params = *request.params;
  const std::int32_t k_max = params.top_k > 0 ? std::min(params.top_k, vocab_size_) : vocab_size_;
  for (std::int32_t fetch = std::min(kTopFirst, k_max);; fetch = std::min(fetch * 16, k_max)) {
    const std::vector<Candidate> top = top_of_ranks(row, fetch);
    if (top.empty()) return {};
    const float max = top.front().logit / params.temperature;
    const float floor = params.min_p > 0.0F ? max + log_f32(params.min_p) : kMinusInfinity;
    std::vector<float> weight;  // of the candidates min-p keeps
    for (const Candidate& candidate : top) {
      const float scaled = candidate.logit / params.temperature;
      if (scaled < floor) break;
      weight.push_back(exp_f32(scaled - max));
    }
    const bool complete = weight.size() < top.size() || fetch == k_max || weight.back() == 0.0F;
    std::size_t kept = weight.size();
    if (params.top_p < 1.0F) {
      if (!complete) continue;  // the total needs every token that the filters before kept
      float total = 0.0F;
      for (const float w : weight) total += w;
      float before = 0.0F;
      for (kept = 0; kept < weight.size() && (kept == 0 || before < params.top_p * total); ++kept) before += weight[kept];
    } else if (!complete) {
      continue;
    }
    Candidate best;
    const DrawKey key = draw_key(request);
    for (std::size_t i = 0; i < kept; ++i) {
      Candidate candidate = top[i];
      candidate.score = candidate.logit / params.temperature + gumbel(key, candidate.id);
      if (better(candidate, best)) best = candidate;
    }
    return best;
  }
}

std::vector<float> Sampler::raw_logits(std::span<const float* const> raw_rows, std::span<const TokenId> tokens) {
  const std::size_t count = tokens.size();
  std::vector<float> mine(count, kMinusInfinity);
  for (std::size_t i = 0; i < count; ++i) {
    if (tokens[i] >= plan_.vocab.begin && tokens[i] < plan_.vocab.end)
      mine[i] = raw_rows[i][tokens[i] - plan_.vocab.begin];
  }
  if (tp_.size() == 1) return mine;
  std::vector<float> all(count * static_cast<std::size_t>(tp_.size()));
  tp_.all_gather(CollectiveName::kSampling, mine.data(), all.data(), count * sizeof(float));
  for (std::size_t i = 0; i < count; ++i) {
    for (std::size_t rank = 0; rank < static_cast<std::size_t>(tp_.size()); ++rank)
      mine[i] = std::max(mine[i], all[rank * count + i]);
  }
  return mine;
}

void Sampler::append_top(const float* raw_row, std::int32_t k, float log_sum,
                         std::vector<step::TokenLogprob>& out) {
  if (k <= 0) return;
  for (const Candidate& candidate : top_of_ranks(raw_row, k)) out.push_back({candidate.id, candidate.logit - log_sum});
}

std::vector<step::PromptLogprob> Sampler::score(const TensorView& logits, std::span<const TokenId> targets,
                                                     std::int32_t top) {
  HERD_CHECK(logits.rows == static_cast<std::int64_t>(targets.size()), "one row of logits per target");
  const std::vector<RowStats> stats = row_stats(logits);
  std::vector<const float*> rows;
  for (std::int64_t i = 0; i < logits.rows; ++i)
    rows.push_back(static_cast<const float*>(logits.data) + i * logits.row_stride);
  const std::vector<float> target_logits = raw_logits(rows, targets);
  std::vector<step::PromptLogprob> scored(targets.size());
  for (std::size_t i = 0; i < scored.size(); ++i) {
    const float log_sum = stats[i].log_sum();
    scored[i].token = targets[i];
    scored[i].logprob = target_logits[i] - log_sum;
    if (!std::isnan(log_sum)) append_top(rows[i], top, log_sum, scored[i].top);  // the same on every rank
  }
  return scored;
}

std::vector<step::SampledToken> Sampler::sample(const TensorView& logits, const std::vector<SampleRow>& rows) {
  HERD_CHECK(logits.rows == static_cast<std::int64_t>(rows.size()), "one row of logits per draw");
  const std::vector<RowStats> stats = row_stats(logits);
  std::vector<step::SampledToken> sampled(rows.size());
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const SampleRow& request = rows[i];
    step::SampledToken& out = sampled[i];
    out.sequence = request.sequence;
    out.output_index = request.output_index;
    out.logits_hash = stats[i].hash;
    out.finite = !std::isnan(stats[i].normaliser.sum);
    if (!out.finite) continue;  // the same on every rank: nobody waits in a collective

    float* row = static_cast<float*>(logits.data) + static_cast<std::int64_t>(i) * logits.row_stride;
    const std::int32_t logprobs = request.params->logprobs;
    const float log_sum = stats[i].log_sum();
    append_top(row, logprobs, log_sum, out.top);
    std::vector<float> raw;
    if (edits_row(request)) {
      if (logprobs >= 0) raw.assign(row, row + plan_.vocab.size());
      apply_edits(row, request);
    }
    const Candidate winner = draw(row, request);
    out.finite = winner.id >= 0;  // every token masked: nothing to draw
    if (!out.finite) continue;
    out.token = winner.id;
    if (logprobs < 0) continue;
    const float* raw_row = raw.empty() ? row : raw.data();
    out.logprob = raw_logits({&raw_row, 1}, {&winner.id, 1}).front() - log_sum;
  }
  return sampled;
}

}  // namespace herd::sampling
