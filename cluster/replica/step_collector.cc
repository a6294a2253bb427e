#include "cluster/replica/step_collector.h"

#include <algorithm>
#include <string>
#include <utility>

#include "kernels/check.h"

namespace herd::replica {
namespace {

using Failure = StepCollector::Failure;

Failure failure_of(std::uint32_t rank, StepId step, const Status& status) {
  // A rank gives a step up when its collective does not come about: it is not the one to blame.
  const bool given_up = status.code() == StatusCode::kAborted;
  const std::string what = "rank " + std::to_string(rank) + " failed step " + std::to_string(step.value) + ": " + status.message();
  if (given_up) return {routing::LossCause::kOverdue, {status.code(), what}, {}};
  return {routing::LossCause::kDiedOfItself, {status.code(), what}, {rank}};
}

std::string list(const std::vector<std::uint32_t>& ranks) {
  std::string text = ranks.size() == 1 ? " rank" : " ranks";
  for (const std::uint32_t rank : ranks) text.append(" ").append(std::to_string(rank));
  return text;
}

// Those whose tokens are not most ranks'. Without a majority it may be any of them.
std::vector<std::uint32_t> different(const std::vector<std::uint64_t>& hashes) {
  std::vector<std::uint32_t> minority;
  for (const std::uint64_t hash : hashes) {
    const auto equal = static_cast<std::size_t>(std::ranges::count(hashes, hash));
    if (2 * equal <= hashes.size()) continue;
    for (std::uint32_t rank = 0; rank < hashes.size(); ++rank) {
      if (hashes[rank] != hash) minority.push_back(rank);
    }
    return minority;
  }
  for (std::uint32_t rank = 0; rank < hashes.size(); ++rank) minority.push_back(rank);
  return minority;
}

std::optional<Failure> check_equal_tokens(StepId step, const std::vector<std::uint64_t>& hashes) {
  const std::vector<std::uint32_t> blamed = different(hashes);
  if (blamed.empty()) return std::nullopt;
  const std::string which = blamed.size() == hashes.size() ? " between" : " from most ranks' on";
  return Failure{routing::LossCause::kTokensDiffer,
                 {StatusCode::kInternal,
                  "step " + std::to_string(step.value) + ": sampled tokens differ" + which + list(blamed)},
                 blamed};
}

// A block is written when it is on every rank, and good when it is on each.
step::StepResult joined(std::vector<std::optional<step::StepResult>>& results) {
  step::StepResult joined = std::move(*results[0]);
  for (std::size_t rank = 1; rank < results.size(); ++rank) {
    joined.blocks_written = std::min(joined.blocks_written, results[rank]->blocks_written);
    for (const step::DamagedBlock& block : results[rank]->damaged) {
      if (std::ranges::count(joined.damaged, block) == 0) joined.damaged.push_back(block);
    }
  }
  return joined;
}

}  // namespace

void StepCollector::on_plan_sent(StepId step, Instant now) {
  HERD_CHECK(waiting_.empty() || waiting_.back().step < step, "plans are sent in step order");
  waiting_.push_back({step, now, now, std::vector<std::optional<step::StepResult>>(ranks_), ranks_});
}

tl::expected<std::vector<StepCollector::Done>, Failure> StepCollector::on_result(step::StepResult result, Instant now) {
  std::vector<Done> done;
  const auto step = std::ranges::find(waiting_, result.step, &Step::step);
  if (result.epoch != epoch_ || step == waiting_.end() || result.rank >= ranks_ || step->results[result.rank]) {
    ++stale_results_;
    return done;
  }
  std::optional<step::StepResult>& place = step->results[result.rank];
  place = std::move(result);
  --step->missing;
  if (!place->status.ok()) {
    step->failed = true;
    return tl::unexpected(failure_of(place->rank, place->step, place->status));
  }
  while (!waiting_.empty() && waiting_.front().missing == 0 && !waiting_.front().failed) {
    std::vector<std::uint64_t> hashes;
    for (const auto& of_rank : waiting_.front().results) hashes.push_back(of_rank->token_hash);
    if (auto failure = check_equal_tokens(waiting_.front().step, hashes)) return tl::unexpected(std::move(*failure));
    const Instant begin = steps_done_ == 0 ? waiting_.front().sent : std::max(waiting_.front().sent, last_done_);
    done.push_back({joined(waiting_.front().results), seconds_between(begin, now)});
    last_done_ = now;
    waiting_.pop_front();
    ++steps_done_;
  }
  return done;
}

std::optional<Failure> StepCollector::overdue(Instant now, double step_seconds_max) const {
  if (waiting_.empty()) return std::nullopt;
  // One that was sent ahead has its time from the end of the one before.
  const Instant from = steps_done_ == 0 ? waiting_.front().deadline_from : std::max(waiting_.front().deadline_from, last_done_);
  if (seconds_between(from, now) <= step_seconds_max) return std::nullopt;
  std::vector<std::uint32_t> missing;
  for (std::uint32_t rank = 0; rank < ranks_; ++rank) {
    if (!waiting_.front().results[rank]) missing.push_back(rank);
  }
  Failure failure{routing::LossCause::kOverdue,
                  {StatusCode::kAborted, "step " + std::to_string(waiting_.front().step.value) + " is overdue on" + list(missing)},
                  {}};
  if (missing.size() == 1 || missing.size() < ranks_) failure.blamed = missing;  // else they may wait for each other
  return failure;
}

void StepCollector::restart_deadlines(Instant now) {
  for (Step& step : waiting_) step.deadline_from = now;
}

bool StepCollector::owes(std::uint32_t rank) const {
  return std::ranges::any_of(waiting_, [rank](const Step& step) { return !step.results[rank]; });
}

std::vector<std::uint32_t> StepCollector::owing() const {
  std::vector<std::uint32_t> ranks;
  for (std::uint32_t rank = 0; rank < ranks_; ++rank) {
    if (owes(rank)) ranks.push_back(rank);
  }
  return ranks;
}

}  // namespace herd::replica
