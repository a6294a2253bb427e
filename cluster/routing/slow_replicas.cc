#include "cluster/routing/slow_replicas.h"

#include <algorithm>
#include <cmath>

namespace herd::routing {

bool SlowReplicas::on_token(ReplicaGeneration from, SequenceId sequence, Instant now) {
  return paces_.on_token(from, sequence, now) && paces_.is_known(from);
}

bool SlowReplicas::judge(ReplicaGeneration replica, std::span<const ReplicaGeneration> others, Instant now) {
  const bool slower = std::ranges::any_of(others, [&](ReplicaGeneration other) {
    return other != replica && !marks_.contains(other) && paces_.is_slower(replica, other, now);
  });
  const auto known = marks_.find(replica);
  if (!slower) {
    if (known != marks_.end()) marks_.erase(known);
    return false;
  }
  if (known != marks_.end() && !known->second.on_trial) return false;
  const double rest_s = std::min(kRestSecondsMax, kRestSeconds * std::exp2(times_[replica]++));
  marks_[replica] = {.on_trial = false, .asked_again = seconds_after(now, rest_s)};
  ++ejections_;
  return true;
}

void SlowReplicas::on_trial(ReplicaGeneration replica) {
  const auto mark = marks_.find(replica);
  if (mark == marks_.end() || mark->second.on_trial) return;
  mark->second.on_trial = true;
  paces_.measure_anew(replica);
}

bool SlowReplicas::is_slow(ReplicaGeneration replica) const {
  const auto mark = marks_.find(replica);
  return mark != marks_.end() && !mark->second.on_trial;
}

bool SlowReplicas::is_spared(ReplicaGeneration replica, std::uint32_t running, Instant now) const {
  const auto mark = marks_.find(replica);
  return mark != marks_.end() && (running > 0 || now < mark->second.asked_again);
}

}  // namespace herd::routing
