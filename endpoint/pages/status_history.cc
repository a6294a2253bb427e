#include "endpoint/pages/status_history.h"

#include <utility>

namespace herd::pages {
namespace {

double rate(std::uint64_t before, std::uint64_t now, double seconds) {
  return now > before && seconds > 0 ? static_cast<double>(now - before) / seconds : 0.0;
}

}  // namespace

void StatusHistory::add(const observability::StatsSample& sample, const actors::ClusterStatus& status) {
  const double seconds = last_ ? sample.at_s - last_->at_s : 0.0;
  double generation = 0;
  double prompt = 0;
  std::map<ReplicaId, Counted> replicas;
  for (const actors::ReplicaStatus& replica : status.replicas) {
    Counted now{replica.scheduler.tokens_emitted, replica.scheduler.prefill_rows, {}};
    if (const auto before = replicas_.find(replica.replica); before != replicas_.end())
      now.rates = {rate(before->second.generation, now.generation, seconds), rate(before->second.prompt, now.prompt, seconds)};
    generation += now.rates.generation;
    prompt += now.rates.prompt;
    replicas.emplace(replica.replica, now);
  }
  replicas_ = std::move(replicas);
  last_ = sample;
  points_.push_back({generation, prompt, sample.running, sample.waiting, sample.kv_usage});
  if (points_.size() > kPointsMax) points_.pop_front();
}

ReplicaRates StatusHistory::rates_of(ReplicaId replica) const {
  const auto found = replicas_.find(replica);
  return found != replicas_.end() ? found->second.rates : ReplicaRates{};
}

}  // namespace herd::pages
