#include "cluster/gateway/step_progress.h"

#include <algorithm>

namespace herd::gateway {

void StepProgress::on_report(routing::ReplicaGeneration from, std::uint64_t steps, bool busy, Instant now) {
  if (any_busy()) idle_at_ = now;
  Replica& replica = replicas_[from];
  if (steps != replica.steps || !replica.busy) replica.moved = now;
  replica.steps = steps;
  replica.busy = busy;
}

void StepProgress::on_open(std::size_t sequences, Instant now) {
  if (open_ == 0 || any_busy()) idle_at_ = now;
  open_ = sequences;
}

std::optional<Instant> StepProgress::silent_since() const {
  if (open_ == 0) return std::nullopt;
  std::optional<Instant> since;
  for (const auto& [generation, replica] : replicas_) {
    if (replica.busy && (!since || replica.moved < *since)) since = replica.moved;
  }
  return since ? since : idle_at_;
}

bool StepProgress::any_busy() const {
  return std::ranges::any_of(replicas_, [](const auto& entry) { return entry.second.busy; });
}

}  // namespace herd::gateway
