#include "runtime/sampling/border_search.h"

#include <algorithm>
#include <functional>
#include <utility>

#include "kernels/math.h"
#include "runtime/sampling/row_stats.h"

namespace herd::sampling {
namespace {

// A column so far below the best has weight 0 (2^-40 is exp(-27.73)) and cannot win: noise spans 25.7 (kernels/philox.h).
constexpr float kNobodyBelow = 28.0F;
constexpr std::size_t kSorted = 64;  // so few logits are sorted at once

// Bins for each unit of t that cut [least, top].
float steps_between(float top, float least) {
  const float span = std::max(top - least, 0x1p-100F);
  return span < kInfinity ? static_cast<float>(kNucleusBins - 1) / span : 0.0F;  // a span that is no number too
}

std::uint64_t measured(const NucleusBin& bin, bool columns) { return columns ? bin.columns : bin.weight; }

// The bin in which the sum reaches `goal`; kNucleusBins: none.
std::int32_t crossed(const NucleusBin* bins, bool columns, std::uint64_t goal) {
  std::uint64_t sum = 0;
  for (std::int32_t bin = 0; bin < kNucleusBins; ++bin) {
    sum += measured(bins[bin], columns);
    if (sum >= goal) return bin;
  }
  return kNucleusBins;
}

}  // namespace

BorderSearch::BorderSearch(const step::SamplingParams& params, const LogitRange& range)
    : top_p_(params.top_p), top_k_(params.top_k) {
  const float max = range.max / params.temperature;
  anybody_ = range.max > -kInfinity && max > -kInfinity;
  if (!anybody_) return;
  const float floor = params.min_p > 0.0F ? max + log_f32(params.min_p) : -kInfinity;
  scale_ = {params.temperature, max, std::max(floor, max - kNobodyBelow), max, 0.0F};
  scale_.steps = steps_between(max, std::max(scale_.floor, range.min / params.temperature));
}

void BorderSearch::sum_before_first(const NucleusBin* bins) {
  before_ = {0, 0};
  for (std::int32_t bin = 0; bin < first_; ++bin) {
    before_.weight += bins[bin].weight;
    before_.columns += bins[bin].columns;
  }
}

// Until its own border is known, top-k leaves top-p's total open by the weight of one bin; so top-p's border may lie in any bin
// from that of the least total on.
bool BorderSearch::weigh(const NucleusBin* bins) {
  std::uint64_t columns = 0, least = 0;
  for (std::int32_t bin = 0; bin < kNucleusBins; ++bin) {
    columns += bins[bin].columns;
    total_ += bins[bin].weight;
  }
  k_ = top_k_ > 1 && static_cast<std::uint64_t>(top_k_) < columns ? static_cast<std::uint64_t>(top_k_) : 0;
  const bool top_p = top_p_ < 1.0F;
  if (columns == 0 || (k_ == 0 && !top_p)) return false;
  if (k_ > 0) {
    last_ = first_ = crossed(bins, true, k_);
    for (std::int32_t bin = 0; bin < last_; ++bin) least += bins[bin].weight;
  } else {
    least = total_;
  }
  if (top_p) first_ = crossed(bins, false, nucleus_goal(top_p_, std::max<std::uint64_t>(least, 1)));
  if (k_ == 0) last_ = first_;
  if (first_ > last_ || last_ >= kNucleusBins) return false;  // sums of a rank that is not right
  sum_before_first(bins);
  return true;
}

Border BorderSearch::find(Ops& ops, std::vector<float> logits) const {
  std::uint64_t total = total_;
  Head head;
  if (k_ > 0) {
    head = shortest(ops, logits, Measure::kColumns, k_ - std::min(k_, before_.columns));
    total = before_.weight + head.weight;
  }
  if (top_p_ < 1.0F) {
    const std::uint64_t goal = nucleus_goal(top_p_, std::max<std::uint64_t>(total, 1));
    head = shortest(ops, std::move(logits), Measure::kWeight, goal - std::min(goal, before_.weight));
  }
  return head.border;
}

// The fewest first of `logits` that measure at least `goal`, or all of them.
BorderSearch::Head BorderSearch::shortest(Ops& ops, std::vector<float> logits, Measure measure, std::uint64_t goal) const {
  Head head;
  while (logits.size() > kSorted && narrow(ops, logits, measure, goal, head)) continue;
  std::sort(logits.begin(), logits.end(), std::greater<>());
  for (std::size_t i = 0, next = 0; i < logits.size() && goal > 0; i = next) {
    next = i + 1;
    while (next < logits.size() && logits[next] == logits[i]) ++next;
    take(logits[i], next - i, measure, goal, head);
  }
  return head;
}

// As many of `columns` equal logits as it takes, or all of them.
void BorderSearch::take(float logit, std::uint64_t columns, Measure measure, std::uint64_t& goal, Head& head) const {
  const std::uint64_t weight = nucleus_weight(logit / scale_.temperature, scale_.max);
  const std::uint64_t one = measure == Measure::kColumns ? 1 : std::max<std::uint64_t>(weight, 1);
  const std::uint64_t equals = goal == 0 ? 0 : std::min(columns, (goal - 1) / one + 1);
  head.border = {logit, equals};
  head.weight += equals * weight;
  goal -= std::min(goal, equals * one);
}

// Leaves of `logits` those in one of finer bins, adds what lies before them to `head` and takes it from `goal`; none when all are
// equal. False: nothing has changed, because no bin parts them.
bool BorderSearch::narrow(Ops& ops, std::vector<float>& logits, Measure measure, std::uint64_t& goal, Head& head) const {
  const auto count = static_cast<std::int64_t>(logits.size());
  LogitRange range;
  ops.logit_range({logits.data(), DType::kF32, 1, count, count}, &range);
  if (range.max == range.min) {
    take(range.max, logits.size(), measure, goal, head);
    logits.clear();
    return false;
  }
  if (!(range.max > range.min)) return false;  // a rank that is not right
  NucleusScale scale = scale_;
  scale.top = range.max / scale.temperature;
  scale.steps = steps_between(scale.top, range.min / scale.temperature);
  std::vector<NucleusBin> bins(kNucleusBins);
  ops.weigh(logits.data(), count, scale, bins.data());
  const bool columns = measure == Measure::kColumns;
  const std::int32_t border = crossed(bins.data(), columns, goal);
  if (border == kNucleusBins) return false;
  const auto here = static_cast<std::size_t>(bins[static_cast<std::size_t>(border)].columns);
  if (here == logits.size()) return false;
  for (std::int32_t bin = 0; bin < border; ++bin) {
    goal -= measured(bins[static_cast<std::size_t>(bin)], columns);
    head.weight += bins[static_cast<std::size_t>(bin)].weight;
  }
  std::vector<std::int32_t> places(logits.size());
  std::vector<float> finer(logits.size());
  ops.select(logits.data(), count, scale, border, border, places.data(), finer.data());
  finer.resize(here);
  logits = std::move(finer);
  return true;
}

}  // namespace herd::sampling
