#include "cluster/gateway/dispatcher.h"

#include <algorithm>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <utility>

#include "kernels/check.h"

namespace herd::gateway {
namespace {

using routing::ReplicaGeneration;

constexpr std::int64_t kWordOfLossNs = 50'000'000;  // from a leader's death to its node's word of it, with time to spare

std::optional<Instant> earlier(std::optional<Instant> a, std::optional<Instant> b) {
  if (!a || !b) return a ? a : b;
  return std::min(*a, *b);
}

std::string name_of(ReplicaGeneration generation) { return "replica " + std::to_string(generation.replica.value); }

}  // namespace

Expected<SequenceId> Dispatcher::accept(RequestId request, std::uint32_t choice, step::Submission submission,
                                        const routing::NumericsId& numerics, Instant now) {
  auto sequence = ledger_.accept(request, choice, std::move(submission), numerics);
  if (sequence) park(*sequence, now);
  return sequence;
}

void Dispatcher::park(SequenceId sequence, Instant ready_at) {
  router_.on_no_tokens(sequence);
  const RequestLedger::Entry& entry = *ledger_.find(sequence);
  lot_.park(sequence,
            {.request = entry.request,
             .tokens = entry.submission.tokens.size(),
             .ready_at = ready_at,
             .prefix = router_.prefix_of(entry.submission.tokens, entry.submission.cache_salt)});
  changed_ = true;
}

void Dispatcher::stop(SequenceId sequence, RequestLedger::End how, GatewayEffects& effects) {
  const RequestLedger::Entry* entry = ledger_.find(sequence);
  HERD_CHECK(entry != nullptr, "only an open sequence is stopped");
  if (entry->on) {
    effects.emplace_back(StopOn{*entry->on, entry->submission.key()});
    router_.on_ended(entry->on->generation, entry->suspect());
    changed_ = true;
  }
  lot_.remove(sequence);
  router_.on_no_tokens(sequence);
  ledger_.close(sequence, how);
}

RequestLedger::Verdict Dispatcher::on_delta(ReplicaGeneration from, const step::TokenDelta& delta, Instant now,
                                            GatewayEffects& effects) {
  using Kind = RequestLedger::Verdict::Kind;
  auto verdict = ledger_.on_delta(from, delta);
  switch (verdict.kind) {
    case Kind::kDropped:
      return verdict;
    case Kind::kDeliver:
      if (verdict.cleared) router_.on_suspicion_cleared(from);
      if (!(delta.has_token && router_.on_token(from, delta.sequence, now)) && !verdict.cleared) return verdict;
      break;
    case Kind::kFinished:
      router_.on_no_tokens(delta.sequence);
      router_.on_ended(from, verdict.suspect);
      break;
    case Kind::kFailed:
      if (!verdict.runs_on) router_.on_ended(from, verdict.suspect);
      break;
    case Kind::kMoved: {
      router_.on_left(from, verdict.suspect);
      router_.on_refused(from, delay_.after(now, router_.failures_in_a_row(from) + 1));
      // The first refusal asks another replica at once. The next ones wait on their own too, so that a sequence that fits
      // nowhere is not tried before all others each time.
      say_cut(delta.sequence, AttemptCutBy::kRefusal, ledger_.find(delta.sequence)->lost_because, effects);
      const std::uint32_t refusals = ledger_.find(delta.sequence)->refusals;
      park(delta.sequence, refusals == 1 ? now : delay_.after(now, refusals));
      break;
    }
  }
  changed_ = true;
  return verdict;
}

void Dispatcher::say_cut(SequenceId sequence, AttemptCutBy by, const Status& why, GatewayEffects& effects) const {
  const RequestLedger::Entry& entry = *ledger_.find(sequence);
  effects.emplace_back(AttemptCut{entry.request, entry.choice, by, why});
}

void Dispatcher::say_cut(const RequestLedger::Orphans& orphans, AttemptCutBy by, const Status& why, GatewayEffects& effects) const {
  for (const auto& moved : orphans.moved) say_cut(moved.sequence, moved.runs_on ? AttemptCutBy::kSuspicion : by, why, effects);
}

bool Dispatcher::on_view(const routing::ClusterView& view, Instant now, GatewayEffects& effects) {
  if (!router_.on_view(view)) return false;
  changed_ = true;
  for (const ReplicaGeneration generation : ledger_.in_use()) {
    if (router_.is_alive(generation)) continue;
    const Status why(StatusCode::kAborted, name_of(generation) + " is no longer there");
    const auto orphans = ledger_.on_unreachable(generation, RequestLedger::Unreachable::kBuried, why);
    say_cut(orphans, AttemptCutBy::kLoss, why, effects);
    take_orphans(orphans, now, delay_.longest_after(now));
  }
  return true;
}

std::vector<Dispatcher::Failure> Dispatcher::on_replica_lost(const routing::ReplicaLoss& loss, Instant now,
                                                             GatewayEffects& effects) {
  router_.on_lost(loss.replica);
  routing::ReplicaLoss told = loss;
  if (told.why.ok()) told.why = {StatusCode::kAborted, name_of(loss.replica) + " is lost"};
  last_loss_ = told.why;
  changed_ = true;
  const auto orphans = ledger_.on_replica_lost(told);
  for (const auto& moved : orphans.moved) {
    if (moved.runs_on) effects.emplace_back(StopOn{moved.from, moved.attempt});
  }
  say_cut(orphans, told.cause == routing::LossCause::kStopped ? AttemptCutBy::kStop : AttemptCutBy::kLoss, told.why, effects);
  take_orphans(orphans, now, now);
  end_wait_for(loss.replica, now);
  std::vector<Failure> failures;
  for (const auto& condemned : orphans.condemned) {
    if (condemned.from) router_.on_left(*condemned.from, true);
    const RequestLedger::Entry& entry = *ledger_.find(condemned.sequence);
    const std::span prompt = std::span(entry.submission.tokens).first(entry.submission.prompt_tokens);
    failures.push_back({entry.request, condemned.why, PoisonList::name_of(prompt)});
  }
  return failures;
}

// A leader that died is a cut link first. What it died of comes by way of its node a moment later: what ran there waits for that
// word, so that a sequence that killed one replica is not sent to the next one before it is known.
void Dispatcher::on_link_lost(ReplicaGeneration replica, Instant now, GatewayEffects& effects) {
  const Status why(StatusCode::kAborted, "the link to " + name_of(replica) + " was cut");
  const auto orphans = ledger_.on_unreachable(replica, RequestLedger::Unreachable::kLinkCut, why);
  say_cut(orphans, AttemptCutBy::kLink, why, effects);
  take_orphans(orphans, {now.ns + kWordOfLossNs}, delay_.longest_after(now));
  const Instant retry_at = delay_.after(now, router_.failures_in_a_row(replica) + 1);
  router_.on_link_lost(replica, std::max(retry_at, Instant{now.ns + 2 * kWordOfLossNs}));  // others first
  changed_ = true;
}

// Several may be on their way there in one go: that is one failure of the replica.
void Dispatcher::on_unsent(ReplicaGeneration replica, const step::AttemptKey& attempt, Instant now, GatewayEffects& effects) {
  if (!ledger_.on_unsent(replica, attempt)) return;
  say_cut(attempt.sequence, AttemptCutBy::kUnsent, {StatusCode::kAborted, name_of(replica) + " could not be reached"}, effects);
  router_.on_left(replica, ledger_.find(attempt.sequence)->suspect());
  if (!router_.rests(replica, now)) router_.on_link_lost(replica, delay_.after(now, router_.failures_in_a_row(replica) + 1));
  park(attempt.sequence, now);
}

void Dispatcher::on_link_open(ReplicaGeneration replica, Instant now) {
  router_.on_link_open(replica);
  end_wait_for(replica, now);  // it lives
  changed_ = true;
}

bool Dispatcher::on_draining(ReplicaGeneration replica) {
  const bool news = router_.on_draining(replica);
  changed_ |= news;
  return news;
}

void Dispatcher::end_wait_for(ReplicaGeneration replica, Instant now) {
  for (const auto& [sequence, entry] : ledger_.open()) {
    if (!entry.left || entry.left->from != replica || entry.on) continue;
    lot_.remove(sequence);
    park(sequence, now);
  }
}

// Where nobody knows yet why the replica is out of reach, a suspect waits longer: should it have killed a second one, the
// notice condemns it before it comes to a third.
void Dispatcher::take_orphans(const RequestLedger::Orphans& orphans, Instant ready_at, Instant suspects_ready_at) {
  for (const auto& moved : orphans.moved) {
    router_.on_left(moved.from.generation, moved.was_suspect);
    park(moved.sequence, moved.was_suspect ? suspects_ready_at : ready_at);
  }
}

void Dispatcher::route(Instant now, GatewayEffects& effects) {
  if (!changed_ && !(retry_at_ && *retry_at_ <= now)) return;
  changed_ = false;
  if (!crowd_at_ || *crowd_at_ <= now) {
    router_.begin_round();
    crowd_at_.reset();
  }
  bool crowd = false;
  for (auto next = lot_.parked().begin(); next != lot_.parked().end() && router_.has_room(now);) {
    const auto& [sequence, parked] = *next++;
    if (parked.ready_at > now) continue;
    const RequestLedger::Entry& entry = *ledger_.find(sequence);
    const routing::RouteQuestion question{.numerics = entry.numerics,
                                          .alone = entry.suspect(),
                                          .orphan = entry.submission.attempt > 0,
                                          .tokens = parked.tokens,
                                          .prefix = &parked.prefix};
    if (auto to = router_.pick(question, now)) {
      send(sequence, std::move(*to), question, now, effects);
    } else {
      crowd |= question.orphan && router_.takes_next_round(question, now);
    }
  }
  const bool stays = move_off(now, crowd, effects);
  if (!crowd) {
    crowd_rounds_ = 0;
    crowd_at_.reset();
  } else if (!crowd_at_) {
    crowd_at_ = delay_.after(now, ++crowd_rounds_);
  }
  retry_at_ = crowd_at_;
  if (lot_.parked().empty() && !stays) return;
  retry_at_ = earlier(retry_at_, earlier(lot_.next_ready(now), router_.next_rest_end(now)));
}

// Until there is room for it elsewhere it runs on: nobody waits. The others are not flooded with it, as with what a loss sets free.
bool Dispatcher::move_off(Instant now, bool& crowd, GatewayEffects& effects) {
  if (!router_.has_draining() && !router_.has_slow()) return false;
  bool stays = false;
  for (const auto& [sequence, entry] : ledger_.open()) {
    if (!entry.on) continue;
    const bool drains = router_.drains(entry.on->generation);
    if (!drains && !router_.is_slow(entry.on->generation)) continue;
    routing::RouteQuestion question{.numerics = entry.numerics,
                                    .alone = entry.suspect(),
                                    .orphan = true,
                                    .to_faster = !drains,
                                    .tokens = entry.submission.tokens.size()};
    if (!router_.takes(question, now)) {
      stays = true;
      crowd |= router_.takes_next_round(question, now);
      continue;
    }
    const routing::PromptPrefix prefix = router_.prefix_of(entry.submission.tokens, entry.submission.cache_salt);
    question.prefix = &prefix;
    auto to = *router_.pick(question, now);
    const Status why(StatusCode::kAborted, name_of(entry.on->generation) + (drains ? " drains" : " is slow"));
    const auto left = ledger_.move(sequence, why);
    say_cut(sequence, drains ? AttemptCutBy::kDrain : AttemptCutBy::kSlowness, why, effects);
    effects.emplace_back(StopOn{left.from, left.attempt});
    router_.on_left(left.from.generation, left.was_suspect);
    send(sequence, std::move(to), question, now, effects);
  }
  return stays;
}

void Dispatcher::send(SequenceId sequence, routing::Router::Destination to, const routing::RouteQuestion& question, Instant now,
                      GatewayEffects& effects) {
  router_.on_sent(to.route.generation, question, to.held, now);
  lot_.remove(sequence);
  const RequestLedger::Entry& entry = *ledger_.find(sequence);
  RunOn run{to.route, ledger_.on_routed(sequence, to.route), entry.request, entry.choice};
  if (to.source) run.submission.source = std::move(*to.source);
  effects.emplace_back(std::move(run));
}

std::vector<Dispatcher::Failure> Dispatcher::hopeless() const {
  std::vector<Failure> failures;
  std::map<routing::NumericsId, bool> may_serve;
  for (const auto& [sequence, parked] : lot_.parked()) {
    const RequestLedger::Entry& entry = *ledger_.find(sequence);
    const auto known = may_serve.find(entry.numerics);
    const bool hope = known != may_serve.end()
                          ? known->second
                          : may_serve.emplace(entry.numerics, router_.may_serve(entry.numerics)).first->second;
    if (hope) continue;
    const Status& lost = entry.lost_because.ok() ? last_loss_ : entry.lost_because;
    const std::string none = entry.numerics.empty() || !router_.may_serve({}) ? "no replica is serving"
                                                                              : "no replica of its numerics is serving";
    failures.push_back({entry.request, lost.ok() ? Status{StatusCode::kAborted, none}
                                                 : Status{lost.code(), lost.message() + "; " + none}});
  }
  return failures;
}

void Dispatcher::check_integrity() const {
  ledger_.check_integrity();
  router_.check_integrity();
  lot_.check_integrity();
  std::map<ReplicaGeneration, std::size_t> running;
  for (const auto& [sequence, entry] : ledger_.open()) {
    HERD_CHECK(entry.on.has_value() != lot_.parked().contains(sequence), "what is owed runs or is parked");
    if (entry.on) ++running[entry.on->generation];
  }
  for (const auto& parked : lot_.parked()) HERD_CHECK(ledger_.find(parked.first) != nullptr, "what is parked is owed");
  for (const auto& [generation, count] : running) {
    HERD_CHECK(router_.is_alive(generation), "nothing runs on a generation that is known to be gone");
    HERD_CHECK(router_.running(generation) == count, "what runs on a replica is counted");
  }
  for (const auto& replica : router_.view().replicas) {
    if (!running.contains(replica.route.generation))
      HERD_CHECK(router_.running(replica.route.generation) == 0, "nothing is counted that does not run");
  }
}

}  // namespace herd::gateway
