#include "cluster/routing/router.h"

#include <algorithm>
#include <tuple>
#include <utility>

#include "kernels/check.h"

namespace herd::routing {
namespace {

// A prompt is in the cache after this many times its predicted time and a second; if it is not by then, it will not be.
constexpr double kComputedFactor = 2.0;
constexpr double kComputedSecondsMax = 60.0;
// So many tokens more than the replica that computes them has, and another one is asked for them.
constexpr std::uint64_t kMovedTokensMin = 64;

std::uint32_t free_places(const ReplicaView& view, std::uint32_t running) {
  return view.sequences_max > running ? view.sequences_max - running : 0;
}

bool is_of(const ReplicaView& replica, const NumericsId& numerics) { return numerics.empty() || replica.route.numerics == numerics; }

}  // namespace

bool Router::on_view(const ClusterView& view) {
  if (has_view_ &&
      std::tie(view.cluster_epoch, view.number) <= std::tie(view_.cluster_epoch, view_.number))
    return false;
  view_ = view;
  has_view_ = true;
  Replicas replicas;
  for (const ReplicaView& seen : view.replicas) {
    const ReplicaGeneration generation = seen.route.generation;
    if (seen.state == ReplicaState::kLost) on_lost(generation);
    // A coordinator that came after the loss has found an older generation of that replica, whose node had been away for long.
    if (const auto lost = lost_.find(generation.replica); lost != lost_.end() && seen.state == ReplicaState::kServing &&
                                                          generation.epoch < lost->second.epoch &&
                                                          lost->second.cluster_epoch < view.cluster_epoch)
      lost_.erase(lost);
    Replica replica;
    if (const Replica* before = find(generation)) replica = *before;
    replica.view = seen;
    // The coordinator reaches it, so this gateway may try again.
    if (replica.cut && seen.state == ReplicaState::kServing) {
      replica.cut = false;
      replica.rests_until = {};
    }
    replicas.insert_or_assign(generation.replica, std::move(replica));
  }
  replicas_ = std::move(replicas);
  const auto is_there = [this](ReplicaGeneration generation) { return find(generation) != nullptr; };
  slow_.keep_only(is_there);
  holders_.keep_only(is_there);
  if (lost_.size() > kReplicasMax) std::erase_if(lost_, [&](const auto& lost) { return !replicas_.contains(lost.first); });
  return true;
}

void Router::on_lost(ReplicaGeneration generation) {
  Lost& lost = lost_[generation.replica];
  if (lost.epoch < generation.epoch) lost = {generation.epoch, view_.cluster_epoch};
  holders_.forget(generation);
}

void Router::on_link_lost(ReplicaGeneration generation, Instant until) {
  // What it said was of work that it has lost since, and at times of a machine in trouble: it shall not be avoided for that.
  if (Replica* replica = find(generation)) replica->load = {};
  holders_.on_link_lost(generation);
  rest(generation, until, true);
}
void Router::on_refused(ReplicaGeneration generation, Instant until) { rest(generation, until, false); }

void Router::on_link_open(ReplicaGeneration generation) {
  Replica* replica = find(generation);
  if (replica == nullptr) return;
  replica->cut = false;
  replica->rests_until = {};
}

bool Router::on_draining(ReplicaGeneration generation) {
  Replica* replica = find(generation);
  if (replica == nullptr) return false;
  const bool known = replica->draining();
  replica->said_draining = true;
  return !known;
}

void Router::on_load(ReplicaGeneration generation, const ReplicaLoad& load) {
  Replica* replica = find(generation);
  if (replica == nullptr) return;
  replica->load.on_report(load, replica->running);
  slow_.on_load(generation, load);
}

bool Router::on_news(ReplicaGeneration generation, const kv::BlockNews& news) {
  return find(generation) == nullptr || is_known_lost(generation) || holders_.on_news(generation, news);
}

RoutingStats Router::stats() const {
  RoutingStats stats = stats_;
  stats.news_missed = holders_.news_missed();
  return stats;
}

bool Router::on_token(ReplicaGeneration from, SequenceId sequence, Instant now) {
  if (!slow_.on_token(from, sequence, now)) return false;
  const Replica* judged = find(from);
  if (judged == nullptr) return false;
  std::vector<ReplicaGeneration> others;
  for (const auto& [id, replica] : replicas_) {
    // Of other numerics is another kind of device, and no stream could go on there.
    if (replica.view.route.numerics != judged->view.route.numerics) continue;
    if (serves(replica) && replica.rests_until <= now) others.push_back(replica.view.route.generation);
  }
  return slow_.judge(from, others, now);
}

void Router::rest(ReplicaGeneration generation, Instant until, bool cut) {
  Replica* replica = find(generation);
  if (replica == nullptr) return;
  ++replica->failures;
  replica->rests_until = std::max(replica->rests_until, until);
  replica->cut |= cut;
}

std::uint32_t Router::failures_in_a_row(ReplicaGeneration generation) const {
  const Replica* replica = find(generation);
  return replica == nullptr ? 0 : replica->failures;
}

void Router::on_sent(ReplicaGeneration generation, const RouteQuestion& question, std::uint64_t held, Instant now) {
  Replica* replica = find(generation);
  HERD_CHECK(replica != nullptr, "a sequence is sent to a replica of the view");
  ++replica->running;
  if (question.alone) ++replica->suspects;
  replica->load.on_sent(question.tokens - held);
  stats_.prompt_tokens += question.tokens;
  stats_.held_tokens += held;
  if (question.prefix == nullptr) return;
  const double seconds = 1.0 + kComputedFactor * replica->load.first_token_seconds_of(0);  // it is among what was sent by now
  holders_.on_sent(*question.prefix, generation, seconds_after(now, std::min(seconds, kComputedSecondsMax)));
}

void Router::on_ended(ReplicaGeneration generation, bool alone) {
  on_left(generation, alone);
  Replica* replica = find(generation);
  if (replica == nullptr || replica->cut) return;
  replica->failures = 0;
  replica->rests_until = {};
}

void Router::on_left(ReplicaGeneration generation, bool alone) {
  Replica* replica = find(generation);
  if (replica == nullptr) return;
  HERD_CHECK(replica->running > 0, "what leaves a replica had run there");
  --replica->running;
  ++replica->crowd_left;
  if (alone) on_suspicion_cleared(generation);
}

void Router::on_suspicion_cleared(ReplicaGeneration generation) {
  Replica* replica = find(generation);
  if (replica == nullptr) return;
  HERD_CHECK(replica->suspects > 0, "a suspect had run there");
  --replica->suspects;
}

void Router::begin_round() {
  for (auto& [id, replica] : replicas_)
    replica.crowd_left = std::max(1U, free_places(replica.view, replica.running) / 2);
}

std::optional<Router::Destination> Router::pick(const RouteQuestion& question, Instant now) {
  std::vector<Replica*> able;
  const bool spared = slow_are_spared(question, now);
  const auto consider = [&](Replica& replica) {
    if (may_have(replica, question, spared, now)) able.push_back(&replica);
  };
  const auto turn = replicas_.lower_bound(next_);
  for (auto replica = turn; replica != replicas_.end(); ++replica) consider(replica->second);
  for (auto replica = replicas_.begin(); replica != turn; ++replica) consider(replica->second);
  if (able.empty()) return std::nullopt;
  Replica* best = able.front();
  const RouteChoice choice = choice_for(question, now);
  if (policy_ != RoutingPolicy::kRoundRobin) {
    std::vector<Candidate> candidates;
    candidates.reserve(able.size());
    for (const Replica* replica : able) candidates.push_back(candidate(*replica));
    best = able[choice.best_of(candidates)];
  }
  for (Replica* replica : able) {
    if (!spared || !slow_.is_marked(replica->view.route.generation)) continue;
    best = replica;  // its rest is over
    slow_.on_trial(replica->view.route.generation);
    break;
  }
  if (question.orphan) --best->crowd_left;
  next_ = ReplicaId(best->view.route.generation.replica.value + 1);
  return destination(*best, choice);
}

// Those that others may take blocks from may drain, or have no room.
RouteChoice Router::choice_for(const RouteQuestion& question, Instant now) const {
  PromptHolders::Holdings holdings;
  if (question.prefix != nullptr) holdings = holders_.find(*question.prefix, now);
  std::vector<Candidate> givers;
  for (const auto& [id, replica] : replicas_) {
    if (holdings.empty() || replica.cut || is_known_lost(replica.view.route.generation)) continue;
    const ReplicaState state = replica.view.state;
    if (state == ReplicaState::kServing || state == ReplicaState::kDraining) givers.push_back(candidate(replica));
  }
  return {question.tokens, std::move(holdings), std::move(givers)};
}

Router::Destination Router::destination(const Replica& replica, const RouteChoice& choice) const {
  Destination to{replica.view.route, choice.held_by(replica.view.route.generation)};
  if (policy_ == RoutingPolicy::kRoundRobin) return to;
  const RouteChoice::Giver giver = choice.giver_for(replica.view);
  if (giver.tokens < to.held + kMovedTokensMin) return to;
  const Route& from = giver.view->route;
  to.source = step::KvSource{from.generation.replica, from.generation.epoch, from.address, static_cast<std::uint32_t>(giver.tokens)};
  return to;
}

bool Router::serves(const Replica& replica) const {
  return replica.view.state == ReplicaState::kServing && !replica.draining() && !is_known_lost(replica.view.route.generation);
}

bool Router::takes(const Replica& replica, Instant now) const {
  return serves(replica) && replica.rests_until <= now && free_places(replica.view, replica.running) > 0;
}

bool Router::takes(const Replica& replica, const RouteQuestion& question, Instant now) const {
  if (!is_of(replica.view, question.numerics)) return false;
  if (question.alone && replica.suspects > 0) return false;
  if (question.orphan && replica.crowd_left == 0) return false;
  if (question.to_faster && slow_.is_marked(replica.view.route.generation)) return false;
  return takes(replica, now);
}

bool Router::takes(const RouteQuestion& question, Instant now) const {
  const bool spared = slow_are_spared(question, now);
  return std::ranges::any_of(replicas_, [&](const auto& entry) { return may_have(entry.second, question, spared, now); });
}

bool Router::may_have(const Replica& replica, const RouteQuestion& question, bool spared, Instant now) const {
  if (!takes(replica, question, now)) return false;
  const ReplicaGeneration generation = replica.view.route.generation;
  if (!spared || !slow_.is_marked(generation)) return true;
  return !question.orphan && !question.alone && !slow_.is_spared(generation, replica.running, now);
}

bool Router::slow_are_spared(RouteQuestion question, Instant now) const {
  if (slow_.empty()) return false;
  question.orphan = false;
  question.to_faster = true;
  return std::ranges::any_of(replicas_, [&](const auto& entry) { return takes(entry.second, question, now); });
}

bool Router::takes_next_round(RouteQuestion question, Instant now) const {
  question.orphan = false;
  return takes(question, now);
}

bool Router::has_room(Instant now) const {
  return std::ranges::any_of(replicas_, [&](const auto& entry) { return takes(entry.second, now); });
}

bool Router::serves(const NumericsId& numerics) const {
  return std::ranges::any_of(replicas_, [&](const auto& entry) { return is_of(entry.second.view, numerics) && serves(entry.second); });
}

bool Router::may_serve(const NumericsId& numerics) const {
  if (!has_view_) return true;
  return std::ranges::any_of(view_.replicas, [&](const ReplicaView& replica) {
    // One that is still being made may not know its numerics yet.
    const NumericsId& its = replica.route.numerics;
    if (!numerics.empty() && its != numerics && !(its.empty() && replica.state != ReplicaState::kServing)) return false;
    const bool lives = !is_known_lost(replica.route.generation) &&
                       (replica.state == ReplicaState::kServing || replica.state == ReplicaState::kMaking);
    return lives || replica.returns;
  });
}

bool Router::drains(ReplicaGeneration generation) const {
  const Replica* replica = find(generation);
  return replica != nullptr && replica->draining() && !is_known_lost(generation);
}

bool Router::has_draining() const {
  return std::ranges::any_of(replicas_, [](const auto& entry) { return entry.second.draining(); });
}

bool Router::is_known_lost(ReplicaGeneration generation) const {
  const auto lost = lost_.find(generation.replica);
  return lost != lost_.end() && generation.epoch <= lost->second.epoch;
}

bool Router::is_alive(ReplicaGeneration generation) const {
  return find(generation) != nullptr && !is_known_lost(generation);
}

bool Router::rests(ReplicaGeneration generation, Instant now) const {
  const Replica* replica = find(generation);
  return replica != nullptr && replica->rests_until > now;
}

std::optional<Instant> Router::next_rest_end(Instant now) const {
  std::optional<Instant> next;
  for (const auto& [id, replica] : replicas_) {
    if (!serves(replica) || replica.rests_until <= now) continue;
    next = next ? std::min(*next, replica.rests_until) : replica.rests_until;
  }
  return next;
}

const Router::Replica* Router::find(ReplicaGeneration generation) const {
  const auto replica = replicas_.find(generation.replica);
  if (replica == replicas_.end() || replica->second.view.route.generation != generation) return nullptr;
  return &replica->second;
}
Router::Replica* Router::find(ReplicaGeneration generation) {
  return const_cast<Replica*>(std::as_const(*this).find(generation));
}

std::size_t Router::running(ReplicaGeneration generation) const {
  const Replica* replica = find(generation);
  return replica == nullptr ? 0 : replica->running;
}

void Router::check_integrity() const {
  for (const auto& [id, replica] : replicas_) {
    HERD_CHECK(replica.view.route.generation.replica == id, "replicas are filed under their id");
    HERD_CHECK(replica.suspects <= replica.running, "suspects are among the running");
    HERD_CHECK(replica.running == 0 || !is_known_lost(replica.view.route.generation), "nothing runs on a lost generation");
  }
}

}  // namespace herd::routing
