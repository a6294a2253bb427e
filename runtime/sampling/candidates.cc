#include "runtime/sampling/candidates.h"

#include <algorithm>
#include <iterator>
#include <numeric>

#include "kernels/math.h"
#include "kernels/nucleus.h"
#include "kernels/philox.h"
#include "runtime/sampling/row_stats.h"

namespace herd::sampling {
namespace {

// Looked at first where min-p may need few or many, and the most that are where top-k names how many: little to sort and to send.
constexpr std::int32_t kFew = 256;
constexpr std::int32_t kMany = 1024;

float gumbel(const DrawKey& key, TokenId token) {
  return gumbel_of(draw_word(key.seed, key.choice, key.output_index, key.purpose, static_cast<std::uint32_t>(token)));
}

bool likelier(const Candidate& a, const Candidate& b) {
  return a.logit > b.logit || (a.logit == b.logit && a.id < b.id);
}

}  // namespace

bool better(const Candidate& a, const Candidate& b) {
  if (b.id < 0) return a.id >= 0;
  if (a.id < 0) return false;
  return a.score > b.score || (a.score == b.score && a.id < b.id);
}

void merge_candidates(std::vector<Candidate>& all, const Candidate* slice, std::size_t count) {
  const auto middle = static_cast<std::ptrdiff_t>(all.size());
  std::copy_if(slice, slice + count, std::back_inserter(all), [](const Candidate& candidate) { return candidate.id >= 0; });
  if (middle > 0) std::inplace_merge(all.begin(), all.begin() + middle, all.end(), likelier);
}

bool has_filters(const step::SamplingParams& params, std::int32_t vocab_size) {
  return params.top_p < 1.0F || (params.top_k > 1 && params.top_k < vocab_size);
}

std::int32_t candidates_max(const step::SamplingParams& params, std::int32_t vocab_size) {
  return params.top_k > 0 ? std::min(params.top_k, vocab_size) : vocab_size;
}

std::int32_t candidates_first(const step::SamplingParams& params, std::int32_t vocab_size) {
  const std::int32_t max = candidates_max(params, vocab_size);
  if (has_filters(params, vocab_size) && params.min_p > 0.0F) return std::min(kFew, max);
  return params.top_k > 1 && max <= kMany ? max : 0;
}

std::optional<Candidate> draw_filtered(const std::vector<Candidate>& top, bool complete,
                                       const step::SamplingParams& params, const DrawKey& key) {
  if (top.empty()) return Candidate{};
  const float max = top.front().logit / params.temperature;
  const float floor = params.min_p > 0.0F ? max + log_f32(params.min_p) : kMinusInfinity;
  std::vector<std::uint64_t> weight;  // of the candidates min-p keeps
  for (const Candidate& candidate : top) {
    const float t = candidate.logit / params.temperature;
    if (t < floor || t == kMinusInfinity) break;
    weight.push_back(nucleus_weight(t, max));
  }
  // top-p's total needs every token that the filters before kept; a weight of zero is followed by none above it.
  if (!complete && weight.size() == top.size() && weight.back() != 0) return std::nullopt;
  std::size_t kept = weight.size();
  if (params.top_p < 1.0F && kept > 0) {
    std::uint64_t left = nucleus_goal(params.top_p, std::accumulate(weight.begin(), weight.end(), std::uint64_t{0}));
    for (kept = 0; left > 0; ++kept) left -= std::min(left, weight[kept]);
  }
  Candidate best;
  for (std::size_t i = 0; i < kept; ++i) {
    Candidate candidate = top[i];
    candidate.score = candidate.logit / params.temperature + gumbel(key, candidate.id);
    if (better(candidate, best)) best = candidate;
  }
  return best;
}

}  // namespace herd::sampling
