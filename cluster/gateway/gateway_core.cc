#include "cluster/gateway/gateway_core.h"

#include <algorithm>
#include <string>

#include "cluster/wire/generate_codec.h"
#include "kernels/check.h"

namespace herd::gateway {
namespace {

const Status kShuttingDown(StatusCode::kAborted, "the gateway is shutting down");
const Status kLateToStart(StatusCode::kAborted, "its deadline passed before it could start");
const Status kLateToFinish(StatusCode::kAborted, "its deadline passed before it finished");
const Status kPoison(StatusCode::kBadInput, "a request with this prompt made ranks die a short while ago: it is not tried again so soon");
const RequestEnd kKnownPoison{.kind = RequestEnd::Kind::kFailed, .why = kPoison, .blames_caller = true, .poison = true};

std::string no_replica_for(const routing::NumericsId& numerics) {
  if (numerics.empty()) return "no replica is serving, and none will come back";
  return "no replica makes the bits of the stream that the request goes on with (numerics " + numerics + ")";
}

std::string none_now_for(const routing::NumericsId& numerics) {
  return "no replica makes the bits of the stream that the request goes on with at this moment (numerics " + numerics + ")";
}

admission::AdmissionRequest to_admission(const GatewayRequest& request) {
  return {.id = request.id,
          .tenant = request.tenant,
          .sequences = std::max(1U, request.sequences),
          .prompt_tokens = request.prompt_tokens,
          .output_tokens_max = request.output_tokens_max,
          .priority = request.priority,
          .deadline = request.deadline};
}

// The submissions are those that the request announced, and replicas may be sent them.
Status validate(const GatewayRequest& request, const std::vector<step::Submission>& choices) {
  if (choices.size() != request.sequences)
    return bad_input(std::to_string(choices.size()) + " submissions came for a request of " +
                     std::to_string(request.sequences) + " sequences");
  for (const step::Submission& choice : choices) {
    if (auto status = wire::validate(choice); !status.ok()) return status;
  }
  return {};
}

}  // namespace

Status GatewayConfig::validate() const {
  if (open_sequences_max == 0) return usage_error("open_sequences_max must be at least 1");
  if (!(retry_min_s > 0) || !(retry_max_s >= retry_min_s))
    return usage_error("retry_min_s must be positive and at most retry_max_s");
  return admission.validate();
}

GatewayCore::GatewayCore(const GatewayConfig& config)
    : admission_(config.admission),
      dispatcher_(config.id, config.open_sequences_max,
                  RetryDelay(config.retry_min_s, config.retry_max_s, config.jitter_seed), config.routing) {
  HERD_CHECK(config.validate().ok(), "a gateway's configuration is checked before");
}

void GatewayCore::on_request(const GatewayRequest& request, Instant now, GatewayEffects& effects) {
  if (shut_down_) {
    effects.emplace_back(EndRequest{request.id, {.kind = End::kShutdown, .why = kShuttingDown}});
    return;
  }
  // No matter of the cluster's load, so no refusal of the admission.
  if (request.deadline <= now) {
    effects.emplace_back(EndRequest{request.id, {.kind = End::kLate, .why = kLateToStart}});
    return;
  }
  // The bound is of those that must wait: what can run leaves the queue before the next one is judged.
  advance(now, effects);
  const bool computes = request.sequences > 0;
  if (computes && !dispatcher_.router().may_serve(request.numerics))
    return refuse(request.id, admission_.refuse_without_replica(no_replica_for(request.numerics)), effects);
  if (auto refusal = admission_.on_arrival(to_admission(request), now))
    return refuse(request.id, std::move(*refusal), effects);
  const auto open = requests_.emplace(request.id, request).first;
  deadlines_.emplace(request.deadline, request.id);
  if (!computes) {
    effects.emplace_back(StartRequest{request.id});
    open->second.start({});
    end(open, End::kFinished, {}, now, effects);
  }
  advance(now, effects);
}

void GatewayCore::refuse(RequestId request, admission::AdmissionRefusal refusal, GatewayEffects& effects) const {
  RequestEnd end{.kind = End::kRefused, .why = {StatusCode::kOverloaded, refusal.message}};
  end.refusal = std::move(refusal);
  effects.emplace_back(EndRequest{request, std::move(end)});
}

void GatewayCore::refuse_taken(Requests::iterator request, std::string why, Instant now, GatewayEffects& effects) {
  const RequestId id = request->first;
  admission_.on_refused(id, now);
  starting_.erase(id);
  deadlines_.erase({request->second.asked().deadline, id});
  requests_.erase(request);
  refuse(id, admission_.refuse_without_replica(std::move(why)), effects);
}

void GatewayCore::on_started(RequestId id, std::vector<step::Submission> choices, Instant now, GatewayEffects& effects) {
  if (starting_.erase(id) == 0) return;  // it has ended meanwhile
  const auto request = requests_.find(id);
  RequestEnd wrong{.kind = End::kFailed, .why = validate(request->second.asked(), choices), .blames_caller = true};
  const auto killed = [&](const step::Submission& choice) { return poison_.holds_prompt_of(choice, now); };
  if (wrong.why.ok() && std::ranges::any_of(choices, killed)) wrong = kKnownPoison;
  if (!wrong.why.ok()) {
    end(request, std::move(wrong), now, effects);
    return advance(now, effects);
  }
  request->second.start(std::move(choices));
  hopes_changed_ |= !dispatcher_.router().may_serve(request->second.asked().numerics);
  run_allowed(request, now, effects);
  advance(now, effects);
}

void GatewayCore::run_allowed(Requests::iterator request, Instant now, GatewayEffects& effects) {
  OpenRequest& open = request->second;
  while (auto next = open.take_next()) {
    // Another request may have shown what its prompt does, while it was held back.
    if (poison_.holds_prompt_of(next->submission, now)) return end(request, kKnownPoison, now, effects);
    const auto sequence = dispatcher_.accept(request->first, next->choice, std::move(next->submission), open.asked().numerics, now);
    if (!sequence) return end(request, End::kFailed, sequence.error(), now, effects);
    open.run(next->choice, *sequence);
  }
}

void GatewayCore::on_consumed(RequestId request, std::size_t deltas) {
  if (const auto open = requests_.find(request); open != requests_.end()) open->second.on_consumed(deltas);
}

void GatewayCore::on_choice_stopped(RequestId id, std::uint32_t choice, Instant now, GatewayEffects& effects) {
  const auto request = requests_.find(id);
  if (request == requests_.end()) return;
  if (request->second.drop(choice)) {
    admission_.on_sequence_dropped(id);
    if (request->second.open_choices() == 0) end(request, End::kFinished, {}, now, effects);
    return advance(now, effects);
  }
  const SequenceId sequence = request->second.sequence_of(choice);
  if (sequence.value == 0) return;  // it ended by itself meanwhile
  dispatcher_.stop(sequence, RequestLedger::End::kFinished, effects);
  close_choice(request, choice, now, effects);
  advance(now, effects);
}

void GatewayCore::on_gone(RequestId id, Instant now, GatewayEffects& effects) {
  const auto request = requests_.find(id);
  if (request == requests_.end()) return;
  end(request, End::kGone, {}, now, effects);
  advance(now, effects);
}

void GatewayCore::set_tenant(admission::TenantId tenant, const admission::TenantLimits& limits) {
  admission_.set_tenant(tenant, limits);
}

std::optional<admission::AdmissionRefusal> GatewayCore::refuses_now(admission::TenantId tenant, Instant now) {
  if (!dispatcher_.router().may_serve({})) return admission::no_replica_refusal(no_replica_for({}));
  return admission_.refuses_now(tenant, now);
}

void GatewayCore::on_deltas(routing::ReplicaGeneration from, std::span<const step::TokenDelta> deltas, Instant now,
                            GatewayEffects& effects) {
  for (const step::TokenDelta& delta : deltas) on_delta(from, delta, now, effects);
  advance(now, effects);
}

void GatewayCore::on_delta(routing::ReplicaGeneration from, const step::TokenDelta& delta, Instant now,
                           GatewayEffects& effects) {
  using Kind = RequestLedger::Verdict::Kind;
  auto verdict = dispatcher_.on_delta(from, delta, now, effects);
  switch (verdict.kind) {
    case Kind::kDropped:
      return;
    case Kind::kMoved:
      hopes_changed_ = true;
      return;
    case Kind::kFailed:
      return end(requests_.find(verdict.request),
                 {.kind = End::kFailed, .why = std::move(verdict.why), .blames_caller = verdict.blames_caller}, now, effects);
    case Kind::kDeliver:
    case Kind::kFinished:
      return deliver(requests_.find(verdict.request), std::move(verdict), now, effects);
  }
}

void GatewayCore::deliver(Requests::iterator request, RequestLedger::Verdict verdict, Instant now,
                          GatewayEffects& effects) {
  OpenRequest& open = request->second;
  const bool finished = verdict.kind == RequestLedger::Verdict::Kind::kFinished;
  if (!finished && !open.has_credit())
    return end(request, End::kSlow, {StatusCode::kOverloaded, "the stream's reader is too slow"}, now, effects);
  open.on_delivered(verdict.choice, verdict.delta);
  if (verdict.delta.has_token) admission_.on_output(request->first, 1, now);
  effects.emplace_back(Deliver{request->first, verdict.choice, std::move(verdict.delta)});
  if (finished) close_choice(request, verdict.choice, now, effects);
}

void GatewayCore::close_choice(Requests::iterator request, std::uint32_t choice, Instant now, GatewayEffects& effects) {
  request->second.close_choice(choice);
  admission_.on_sequence_over(request->first);
  if (request->second.open_choices() == 0) end(request, End::kFinished, {}, now, effects);
}

bool GatewayCore::on_view(const routing::ClusterView& view, Instant now, GatewayEffects& effects) {
  if (!dispatcher_.on_view(view, now, effects)) return false;
  hopes_changed_ = true;
  advance(now, effects);
  return true;
}

void GatewayCore::on_replica_lost(const routing::ReplicaLoss& loss, Instant now, GatewayEffects& effects) {
  hopes_changed_ = true;
  end(dispatcher_.on_replica_lost(loss, now, effects), now, effects);
  advance(now, effects);
}

void GatewayCore::on_link_lost(routing::ReplicaGeneration replica, Instant now, GatewayEffects& effects) {
  hopes_changed_ = true;
  dispatcher_.on_link_lost(replica, now, effects);
  advance(now, effects);
}

void GatewayCore::on_unsent(routing::ReplicaGeneration replica, const step::AttemptKey& attempt, Instant now,
                            GatewayEffects& effects) {
  hopes_changed_ = true;
  dispatcher_.on_unsent(replica, attempt, now, effects);
  advance(now, effects);
}

void GatewayCore::on_link_open(routing::ReplicaGeneration replica, Instant now, GatewayEffects& effects) {
  dispatcher_.on_link_open(replica, now);
  advance(now, effects);
}

void GatewayCore::on_draining(routing::ReplicaGeneration replica, Instant now, GatewayEffects& effects) {
  if (dispatcher_.on_draining(replica)) advance(now, effects);
}

void GatewayCore::on_timer(Instant now, GatewayEffects& effects) { advance(now, effects); }

void GatewayCore::on_shutdown(Instant now, GatewayEffects& effects) {
  shut_down_ = true;
  while (!requests_.empty()) end(requests_.begin(), End::kShutdown, kShuttingDown, now, effects);
}

void GatewayCore::advance(Instant now, GatewayEffects& effects) {
  end_overdue(now, effects);
  end_hopeless(now, effects);
  dispatcher_.route(now, effects);
  admission_.set_parked(dispatcher_.parked());
  start_waiting(now, effects);
  say_wake(now, effects);
}

void GatewayCore::end_overdue(Instant now, GatewayEffects& effects) {
  for (const RequestId waiting : admission_.take_expired(now))
    end(requests_.find(waiting), End::kLate, kLateToStart, now, effects);
  while (!deadlines_.empty() && deadlines_.begin()->first <= now) {
    const auto request = requests_.find(deadlines_.begin()->second);
    const bool started = request->second.started();
    end(request, started ? End::kTimedOut : End::kLate, started ? kLateToFinish : kLateToStart, now, effects);
  }
}

void GatewayCore::end_hopeless(Instant now, GatewayEffects& effects) {
  if (!std::exchange(hopes_changed_, false)) return;
  end(dispatcher_.hopeless(), now, effects);
  for (auto next = requests_.begin(); next != requests_.end();) {
    const auto request = next++;
    const bool started = request->second.started();
    if (started && !request->second.holds_back()) continue;  // whether its sequences have hope is the dispatcher's to say
    if (dispatcher_.router().may_serve(request->second.asked().numerics)) continue;
    std::string why = no_replica_for(request->second.asked().numerics);
    if (started) end(request, End::kFailed, {StatusCode::kAborted, std::move(why)}, now, effects);
    else refuse_taken(request, std::move(why), now, effects);
  }
}

void GatewayCore::end(const std::vector<Dispatcher::Failure>& failures, Instant now, GatewayEffects& effects) {
  for (const auto& failure : failures) {
    if (failure.poison) poison_.add(*failure.poison, now);
    // Another of its sequences may have ended it.
    if (const auto request = requests_.find(failure.request); request != requests_.end())
      end(request, {.kind = End::kFailed, .why = failure.why, .poison = failure.poison.has_value()}, now, effects);
  }
}

void GatewayCore::end(Requests::iterator request, End kind, Status why, Instant now, GatewayEffects& effects) {
  end(request, {.kind = kind, .why = std::move(why)}, now, effects);
}

void GatewayCore::end(Requests::iterator request, RequestEnd how, Instant now, GatewayEffects& effects) {
  const OpenRequest& open = request->second;
  const auto rest = how.kind == End::kFailed ? RequestLedger::End::kFailed : RequestLedger::End::kAborted;
  for (const SequenceId sequence : open.open_sequences()) dispatcher_.stop(sequence, rest, effects);
  admission_.set_parked(dispatcher_.parked());
  admission_.on_finished(request->first, open.computed_prompt_tokens(), open.output_tokens(), now);
  deadlines_.erase({open.asked().deadline, request->first});
  starting_.erase(request->first);
  how.started = open.started();
  effects.emplace_back(EndRequest{request->first, std::move(how)});
  requests_.erase(request);
}

void GatewayCore::start_waiting(Instant now, GatewayEffects& effects) {
  // What started without a replica would only be parked, in the order of its arrival; in the queue tenants and priorities
  // keep theirs.
  if (!dispatcher_.router().serves()) return;
  bool more_run = false;
  for (auto turns = admission_.take_startable(now); !turns.empty(); turns = admission_.take_startable(now)) {
    for (const admission::Turn& turn : turns) {
      const auto request = requests_.find(turn.request);
      const routing::NumericsId& numerics = request->second.asked().numerics;
      const bool begins = !request->second.started() && !starting_.contains(turn.request);
      if (begins && !dispatcher_.router().serves(numerics)) {
        refuse_taken(request, none_now_for(numerics), now, effects);
        continue;
      }
      request->second.allow(turn.sequences);
      if (request->second.started()) {
        run_allowed(request, now, effects);
        more_run = true;
      } else if (begins) {
        starting_.insert(turn.request);
        effects.emplace_back(StartRequest{turn.request});
      }
    }
  }
  if (!more_run) return;
  dispatcher_.route(now, effects);
  admission_.set_parked(dispatcher_.parked());
}

void GatewayCore::say_wake(Instant now, GatewayEffects& effects) {
  // The shell may call on_started while it carries out this very list: what it is told then has to be the last word.
  if (!starting_.empty()) return;
  if (woken_at_ && *woken_at_ <= now) woken_at_.reset();
  std::optional<Instant> next = dispatcher_.next_retry();
  if (!deadlines_.empty() && (!next || deadlines_.begin()->first < *next)) next = deadlines_.begin()->first;
  if (!next || next == woken_at_) return;
  woken_at_ = next;
  effects.emplace_back(WakeAt{*next});
}

const routing::ClusterView& GatewayCore::view() const { return dispatcher_.router().view(); }
std::optional<routing::Route> GatewayCore::route_of(routing::ReplicaGeneration replica) const {
  if (!dispatcher_.router().is_alive(replica)) return std::nullopt;
  return std::ranges::find(view().replicas, replica, [](const auto& known) { return known.route.generation; })->route;
}
admission::AdmissionStats GatewayCore::admission() const { return admission_.stats(); }
std::optional<double> GatewayCore::first_token_seconds() const {
  std::optional<double> there;
  dispatcher_.router().for_each_load([&there](const routing::LoadEstimate& load) {
    const double seconds = load.first_token_seconds_of(kTypicalPromptTokens);
    if (load.is_measured()) there = std::min(there.value_or(seconds), seconds);
  });
  return there ? std::optional(admission_.stats().wait_s + *there) : std::nullopt;
}

RequestLedgerStats GatewayCore::ledger() const { return dispatcher_.stats(); }
std::size_t GatewayCore::open_requests() const { return requests_.size(); }

void GatewayCore::check_integrity() const {
  admission_.check_integrity();
  dispatcher_.check_integrity();
  std::size_t sequences = 0;
  for (const auto& [id, request] : requests_) {
    HERD_CHECK(request.asked().id == id, "requests are filed under their id");
    HERD_CHECK(deadlines_.contains({request.asked().deadline, id}), "what is open has a deadline");
    for (const SequenceId sequence : request.open_sequences()) {
      const RequestLedger::Entry* entry = dispatcher_.ledger().find(sequence);
      HERD_CHECK(entry != nullptr && entry->request == id, "an open choice is owed");
      ++sequences;
    }
  }
  for (const RequestId id : starting_) HERD_CHECK(requests_.contains(id), "what starts is open");
  HERD_CHECK(deadlines_.size() == requests_.size(), "only what is open has a deadline");
  HERD_CHECK(sequences == dispatcher_.ledger().open().size(), "what is owed is a choice of an open request");
}

}  // namespace herd::gateway
