#include "cluster/routing/replica_paces.h"

#include <algorithm>
#include <utility>

namespace herd::routing {
namespace {

// What was measured longer ago says nothing about now.
constexpr double kFreshSeconds = 10.0;

}  // namespace

bool ReplicaPaces::on_token(ReplicaGeneration from, SequenceId sequence, Instant now) {
  const auto [last, is_first] = last_.try_emplace(sequence, Last{from, now});
  if (is_first) return false;
  const Last before = std::exchange(last->second, Last{from, now});
  if (before.from != from) return false;
  Replica& replica = replicas_[from];
  replica.add(before.at, now);
  return replica.close_stretch(now);
}

void ReplicaPaces::Replica::add(Instant begin, Instant end) {
  ++tokens;
  sum_s += seconds_between(begin, end);
  waited_s += std::max(0.0, seconds_between(std::max(begin, waited_until), end));
  waited_until = std::max(waited_until, end);
}

bool ReplicaPaces::Replica::close_stretch(Instant now) {
  if (waited_s < kStretchSeconds || tokens < 2) return false;
  paces[stretches++ % kStretches] = {sum_s / tokens, std::max({1.0, sum_s / waited_s, static_cast<double>(said.running)}), now};
  sum_s = waited_s = 0.0;
  tokens = 0;
  return true;
}

bool ReplicaPaces::is_slower(const Pace& pace, const Pace& other) {
  return pace.step_s >= kFactor * other.step_s && pace.step_s / pace.sequences >= kFactor * (other.step_s / other.sequences);
}

std::optional<ReplicaPaces::Pace> ReplicaPaces::said_pace(const Replica& replica) {
  if (!(replica.said.decode_step_s > 0)) return std::nullopt;
  return Pace{replica.said.decode_step_s, std::max(1.0, static_cast<double>(replica.said.running)), {}};
}

bool ReplicaPaces::is_known(ReplicaGeneration replica) const {
  const auto known = replicas_.find(replica);
  return known != replicas_.end() && known->second.stretches >= kStretches;
}

bool ReplicaPaces::is_slower(ReplicaGeneration replica, ReplicaGeneration other, Instant now) const {
  const auto slow = replicas_.find(replica), fast = replicas_.find(other);
  if (fast == replicas_.end() || !is_known(replica)) return false;
  const auto slower_than = [&](const Pace& pace) {
    return std::ranges::all_of(slow->second.paces, [&](const Pace& own) { return is_slower(own, pace); });
  };
  bool is_measured = false;
  for (std::size_t i = 0; i < std::min(kStretches, fast->second.stretches); ++i) {
    const Pace& pace = fast->second.paces[i];
    if (seconds_between(pace.at, now) > kFreshSeconds) continue;
    if (!slower_than(pace)) return false;
    is_measured = true;
  }
  if (is_measured) return true;
  const auto said = said_pace(slow->second), other_said = said_pace(fast->second);
  return said && other_said && is_slower(*said, *other_said) && slower_than(*other_said);
}

}  // namespace herd::routing
