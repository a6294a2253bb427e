#pragma once
// What RowSampler::sample_rows is to answer for one row, as plainly as can be: all candidates sorted, one loop a stage, over
// the reference operations. Knows nothing of runtime/ (tests/runtime/device_sampler_test.cc compares with the Sampler
// itself), so it goes where only the kernels go. Not a test.

#include <algorithm>
#include <cstdint>
#include <limits>
#include <numeric>
#include <vector>

#include "kernels/device.h"
#include "kernels/nucleus.h"
#include "kernels/ops.h"
#include "kernels/philox.h"

namespace herd::testing {

inline MaxSum merge_leaves(const MaxSum& a, const MaxSum& b) {
  if (a.max == -math::kInf && a.sum == 0.0F) return b;
  if (b.max == -math::kInf && b.sum == 0.0F) return a;
  const float max = std::max(a.max, b.max);
  return {max, a.sum * exp_f32(a.max - max) + b.sum * exp_f32(b.max - max)};
}

inline std::uint64_t hash_of_logits(const float* row, std::int32_t vocab) {
  std::uint64_t hash = 0;
  for (std::int32_t id = 0; id < vocab; id++) {
    std::uint64_t x = static_cast<std::uint64_t>(id) * 0x9e3779b97f4a7c15ULL ^ bits_of(row[id]);
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
    hash += x ^ (x >> 31);
  }
  return hash;
}

inline void edit_logits(float* row, const LogitEdit* edits, std::int32_t begin, std::int32_t end) {
  for (std::int32_t i = begin; i < end; i++) {
    float& logit = row[edits[i].token];
    if ((edits[i].flags & kEditBias) != 0) logit += edits[i].bias;
    if ((edits[i].flags & kEditRepetition) != 0) {
      logit = logit < 0.0F ? logit * edits[i].repetition_penalty : logit / edits[i].repetition_penalty;
    }
    if ((edits[i].flags & kEditCount) != 0) logit -= edits[i].count_penalty;
    if ((edits[i].flags & kEditMask) != 0) logit = -math::kInf;
  }
}

// How many of the first of these weights top-p keeps.
inline std::size_t nucleus_size(const std::vector<std::uint64_t>& weight, float top_p) {
  const std::uint64_t goal = nucleus_goal(top_p, std::accumulate(weight.begin(), weight.end(), std::uint64_t{0}));
  std::uint64_t sum = 0;
  std::size_t kept = 0;
  while (sum < goal) sum += weight[kept++];
  return kept;
}

// The token drawn from an edited row; -1: nobody.
inline std::int32_t drawn_token(Ops& reference, const float* row, std::int32_t vocab, const SampleRowParams& params) {
  std::vector<Candidate> sorted;
  for (std::int32_t id = 0; id < vocab; id++) {
    if (row[id] != row[id]) return -1;
    if (row[id] > -math::kInf) sorted.push_back({row[id], row[id], id});
  }
  std::stable_sort(sorted.begin(), sorted.end(),
                   [](const Candidate& a, const Candidate& b) { return a.logit > b.logit; });
  if (sorted.empty()) return -1;
  const float temperature = params.temperature;
  if (!(temperature > 0.0F)) return sorted.front().id;

  const DrawKey key{params.seed, params.choice, params.output_index, kDrawPurposeSample};
  const float max = sorted.front().logit / temperature;
  const float floor = params.min_p > 0.0F ? max + log_f32(params.min_p) : -math::kInf;
  const bool top_k = params.top_k > 1 && params.top_k < vocab;
  if (!top_k && params.top_p >= 1.0F) {
    Candidate drawn;
    reference.draw(row, vocab, 0, temperature, floor, key, &drawn);
    return drawn.id;
  }
  std::vector<std::uint64_t> weight;
  for (const Candidate& candidate : sorted) {
    const float scaled = candidate.logit / temperature;
    if (scaled < floor || scaled == -math::kInf || (top_k && weight.size() == static_cast<std::size_t>(params.top_k))) break;
    weight.push_back(nucleus_weight(scaled, max));
  }
  if (params.top_p < 1.0F && !weight.empty()) weight.resize(nucleus_size(weight, params.top_p));
  Candidate best;
  for (std::size_t i = 0; i < weight.size(); i++) {
    const std::int32_t id = sorted[i].id;
    const float score = sorted[i].logit / temperature + gumbel_of(draw_word(key.seed, key.choice, key.output_index,
                                                                            key.purpose, static_cast<std::uint32_t>(id)));
    if (best.id < 0 || score > best.score || (score == best.score && id < best.id)) best = {score, sorted[i].logit, id};
  }
  return best.id;
}

// `batch` holds host pointers; its out is not looked at. row: changed in place, as the device does.
inline SampledRow sampled_row(Ops& reference, float* row, const SampleBatch& batch, const SampleRowParams& params) {
  SampledRow out;
  if (params.active == 0) {
    for (TokenScore& score : out.top) score.id = 0;
    return out;
  }
  set_kernel_float_mode();
  const std::int32_t vocab = batch.vocab_size;
  const TensorView view{row, DType::kF32, 1, vocab, vocab};
  MaxSum node[kLeaves];
  for (int leaf = 0; leaf < kLeaves; leaf++) {
    reference.leaf_max_sum(view, batch.vocab_leaf[leaf], batch.vocab_leaf[leaf + 1], &node[leaf]);
  }
  for (int count = kLeaves / 2; count > 0; count /= 2) {
    for (int i = 0; i < count; i++) node[i] = merge_leaves(node[2 * i], node[2 * i + 1]);
  }
  if (batch.hash_logits) out.logits_hash = hash_of_logits(row, vocab);
  if (node[0].sum != node[0].sum) return out;

  const float log_sum = node[0].max + log_f32(node[0].sum);
  std::vector<Candidate> top(static_cast<std::size_t>(std::max(params.logprobs, 0)));
  if (!top.empty()) reference.top_k(row, vocab, 0, params.logprobs, top.data());
  for (const Candidate& candidate : top) {
    if (candidate.id >= 0) out.top[out.top_count++] = {candidate.id, candidate.logit - log_sum};
  }
  const std::vector<float> raw(row, row + vocab);
  edit_logits(row, batch.edits, params.edit_begin, params.edit_end);
  const std::int32_t token = drawn_token(reference, row, vocab, params);
  if (token < 0) return out;
  out.finite = 1;
  out.token = token;
  if (params.logprobs >= 0) out.logprob = raw[static_cast<std::size_t>(token)] - log_sum;
  return out;
}

}  // namespace herd::testing
