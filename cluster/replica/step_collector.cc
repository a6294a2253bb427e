#include "cluster/replica/step_collector.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>

#include "kernels/check.h"

namespace herd::replica {
namespace {

StepCollector::Failure failure_of(const step::StepResult& result) {
  // A rank gives a step up when its collective did not come about in time: it is not the one to blame.
  const bool given_up = result.status.code() == StatusCode::kAborted;
  return {given_up ? routing::LossCause::kOverdue : routing::LossCause::kDiedOfItself,
          {result.status.code(), "rank " + std::to_string(result.rank) + " failed step " +
                                     std::to_string(result.step.value) + ": " + result.status.message()}};
}

}  // namespace

void StepCollector::on_plan_sent(StepId step, Instant now) {
  HERD_CHECK(waiting_.empty() || waiting_.back().step < step, "plans are sent in step order");
  waiting_.push_back({step, now, std::vector<std::optional<step::StepResult>>(ranks_), ranks_});
}

tl::expected<std::vector<StepCollector::Done>, StepCollector::Failure> StepCollector::on_result(
    step::StepResult result, Instant now) {
  std::vector<Done> done;
  const auto step = std::ranges::find(waiting_, result.step, &Step::step);
  if (result.epoch != epoch_ || step == waiting_.end() || result.rank >= ranks_ || step->results[result.rank]) {
    ++stale_results_;
    return done;
  }
  if (!result.status.ok()) return tl::unexpected(failure_of(result));
  std::optional<step::StepResult>& place = step->results[result.rank];
  place = std::move(result);
  --step->missing;
  while (!waiting_.empty() && waiting_.front().missing == 0) {
    if (Status status = check_equal_tokens(waiting_.front()); !status.ok())
      return tl::unexpected(Failure{routing::LossCause::kTokensDiffer, std::move(status)});
    const Instant begin = steps_done_ == 0 ? waiting_.front().sent : std::max(waiting_.front().sent, last_done_);
    done.push_back({std::move(*waiting_.front().results[0]), seconds_between(begin, now)});
    last_done_ = now;
    waiting_.pop_front();
    ++steps_done_;
  }
  return done;
}

Status StepCollector::check_equal_tokens(const Step& step) const {
  std::string different;
  for (const auto& result : step.results) {
    if (result->token_hash != step.results[0]->token_hash) different.append(" ").append(std::to_string(result->rank));
  }
  if (different.empty()) return {};
  return {StatusCode::kInternal,
          "step " + std::to_string(step.step.value) + ": sampled tokens differ from rank 0's on rank" + different};
}

std::optional<Instant> StepCollector::overdue_at(double step_seconds_max) const {
  if (waiting_.empty()) return std::nullopt;
  return Instant{waiting_.front().sent.ns + std::llround(step_seconds_max * 1e9) + 1};
}

Status StepCollector::check_deadline(Instant now, double step_seconds_max) const {
  const auto overdue = overdue_at(step_seconds_max);
  if (!overdue || now < *overdue) return {};
  std::string missing;
  for (std::uint32_t rank = 0; rank < ranks_; ++rank) {
    if (!waiting_.front().results[rank]) missing.append(" ").append(std::to_string(rank));
  }
  return {StatusCode::kAborted,
          "step " + std::to_string(waiting_.front().step.value) + " is overdue on rank" + missing};
}

}  // namespace herd::replica
