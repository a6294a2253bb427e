#include "tests/sim/gateway_watch.h"

#include <algorithm>

namespace herd::sim {

using gateway::RequestEnd;
using step::FinishReason;

admission::TenantLimits tenant_limits(const SimOptions& options, admission::TenantId tenant) {
  admission::TenantLimits limits;
  limits.weight = 1.0 + static_cast<double>(tenant.value);
  limits.in_flight_max = 0;
  if (!options.quotas) return limits;
  if (tenant.value == 0) limits.requests_per_minute = 3;
  if (tenant.value == 1) limits.prompt_tokens_per_minute = 60;
  if (tenant.value == 2) limits.output_tokens_per_minute = 40;
  if (tenant.value == 3) limits.in_flight_max = 2;
  return limits;
}

void GatewayWatch::violate(const SimRequest& request, const std::string& what) {
  violate("request " + std::to_string(request.asked.id.value) + ": " + what);
}

// What the gateway is told --------------------------------------------------------------------------------------------

void GatewayWatch::before_request(SimRequest& request) {
  request.state = SimRequest::State::kWaiting;
  request.arrived = world_.now();
  open_[request.asked.id] = &request;
  ++tenants_[request.asked.tenant].in_flight;
}

template <class Gone>
void GatewayWatch::move_if(Gone gone) {
  for (auto next = running_.begin(); next != running_.end();) {
    const auto running = next++;
    if (!gone(running->second)) continue;
    world_.reach(Reached::kMoves);
    park(*running->second.choice);
    running_.erase(running);
  }
}

void GatewayWatch::park(const SimChoice& choice) {
  for (const auto& [id, request] : open_) {
    if (!request->choices.empty() && request->choices[0].request == choice.request)
      parked_[{id, choice.number}] = world_.now();
  }
}

void GatewayWatch::on_deltas(routing::ReplicaGeneration from, const std::vector<step::TokenDelta>& deltas) {
  just_ended_.clear();
  for (const step::TokenDelta& delta : deltas) {
    const auto running = running_.find(delta.sequence);
    if (running == running_.end() || running->second.attempt != delta.key() || running->second.on.generation != from) {
      world_.reach(Reached::kStaleDeltas);
      continue;
    }
    if (delta.has_token && delta.token.output_index < running->second.choice->tokens.size())
      world_.reach(Reached::kDuplicateDeltas);
    if (delta.has_token) {
      const std::uint32_t follow = std::exchange(running->second.follow, 0);
      if (follow > 0 && delta.cached_tokens + world_.options.scheduler.block_size > follow) world_.reach(Reached::kFollowedByBlocks);
    }
    if (delta.finish != FinishReason::kNone) just_ended_.insert(delta.key());
    if (delta.finish == FinishReason::kRefused) {
      world_.reach(Reached::kRefusedByReplica);
      full_[from.replica] = world_.now();
      move_if([&](const Running& of) { return of.attempt == delta.key(); });
    } else if (delta.finish != FinishReason::kNone) {
      running_.erase(running);
    }
  }
}

void GatewayWatch::on_view(const routing::ClusterView& taken) {
  cluster_epoch_ = taken.cluster_epoch;
  // A coordinator that came after a loss may have found an older generation, which serves.
  for (const routing::ReplicaView& replica : taken.replicas) {
    const routing::ReplicaGeneration generation = replica.route.generation;
    const auto lost = lost_.find(generation.replica);
    if (lost == lost_.end() || replica.state != routing::ReplicaState::kServing) continue;
    if (generation.epoch < lost->second.first && lost->second.second < taken.cluster_epoch) lost_.erase(lost);
  }
  for (const routing::ReplicaView& replica : taken.replicas) {
    const routing::ReplicaGeneration generation = replica.route.generation;
    if (replica.state == routing::ReplicaState::kDraining) draining_.try_emplace(generation, world_.now());
    if (replica.state == routing::ReplicaState::kServing && !said_draining_.contains(generation)) draining_.erase(generation);
  }
  const auto seen = [&](routing::ReplicaGeneration on) {
    return std::ranges::any_of(taken.replicas, [&](const routing::ReplicaView& replica) {
      return replica.route.generation == on && replica.state != routing::ReplicaState::kLost;
    });
  };
  move_if([&](const Running& of) {
    if (seen(of.on.generation)) return false;
    check_move(of.on.generation);
    return true;
  });
}

// A coordinator that starts again first learns what serves: no stream moves for that.
void GatewayWatch::check_move(routing::ReplicaGeneration from) {
  if (truth_.is_well(from)) violate("a view takes streams away from replica " + std::to_string(from.replica.value) + ", which serves");
}

void GatewayWatch::on_loss(const routing::ReplicaLoss& loss) {
  const routing::ReplicaGeneration lost = loss.replica;
  if (loss.cause == routing::LossCause::kDiedOfItself) {
    for (const auto& [attempt, choice] : sent_[lost]) {
      if (loss.in_step && std::ranges::count(*loss.in_step, attempt, &routing::AttemptInStep::attempt) == 0) continue;
      if (choice->complete() || !choice->own_deaths.insert(lost).second) continue;
      choice->alone_at_last = !loss.in_step || loss.in_step->size() == 1;
      const auto running = running_.find(attempt.sequence);
      const bool there = running != running_.end() && running->second.attempt == attempt;
      if (loss.in_step && there && choice->killed.contains(lost)) ++choice->blamed;
    }
  }
  auto& last = lost_[lost.replica];
  if (last.first < lost.epoch) last = {lost.epoch, cluster_epoch_};
  move_if([&](const Running& of) {
    return of.on.generation.replica == lost.replica && of.on.generation.epoch <= lost.epoch;
  });
}

void GatewayWatch::on_link_lost(routing::ReplicaGeneration replica) {
  move_if([&](const Running& of) { return of.on.generation == replica; });
}

// Nobody has seen that attempt: it comes again as it was.
void GatewayWatch::on_unsent(routing::ReplicaGeneration to, const step::AttemptKey& attempt) {
  const auto running = running_.find(attempt.sequence);
  if (running == running_.end() || running->second.attempt != attempt || running->second.on.generation != to) return;
  sent_[to].erase(attempt);
  SimChoice& choice = *running->second.choice;
  choice.attempt = attempt.attempt > 0 ? std::optional(attempt.attempt - 1) : std::nullopt;
  park(choice);
  running_.erase(running);
}

// What it says --------------------------------------------------------------------------------------------------------

void GatewayWatch::on_start(SimRequest& request) {
  if (request.state != SimRequest::State::kWaiting) return violate(request, "starts, but does not wait");
  request.state = SimRequest::State::kStarted;
  for (const SimChoice& choice : request.choices) parked_[{request.asked.id, choice.number}] = world_.now();
  check_fair(request);
}

// Start-time fair queueing: while a tenant waits, another one is served at most in proportion to their weights, and a
// request of each more. What a request costs is a forecast here, at least one token and at most what it may use.
void GatewayWatch::check_fair(const SimRequest& started) {
  if (world_.options.admission.priorities) return;
  const admission::TenantId served = started.asked.tenant;
  tenants_[served].overtaken_by.clear();
  const double cost_max = world_.options.choices_max * 2.0 *
                          (world_.options.prompt_tokens_max + world_.options.emitted_tokens_max);
  for (auto& [tenant, use] : tenants_) {
    const bool waits = std::ranges::any_of(open_, [&](const auto& entry) {
      return entry.second->asked.tenant == tenant && entry.second->state == SimRequest::State::kWaiting;
    });
    if (tenant == served) continue;
    if (!waits) {
      use.overtaken_by.clear();
      continue;
    }
    world_.reach(Reached::kOvertaken);
    const double weights = tenant_limits(world_.options, served).weight / tenant_limits(world_.options, tenant).weight;
    if (static_cast<double>(++use.overtaken_by[served]) > (2 * weights + 2) * cost_max)
      violate(started, "is served before tenant " + std::to_string(tenant.value) + ", which waits for longer than is fair");
  }
}

void GatewayWatch::on_run(SimChoice& choice, const gateway::RunOn& effect, const routing::ClusterView& view) {
  const step::Submission& sent = effect.submission;
  const std::string name = "sequence " + std::to_string(sent.sequence.value) + ": ";
  if (sent.gateway != id_) violate(name + "sent under another gateway's name");
  if (running_.contains(sent.sequence)) violate(name + "sent while it runs elsewhere");
  if (const auto known = sequences_.find(sent.sequence); known != sequences_.end() && known->second != &choice)
    violate(name + "its number was another one's before");
  if (choice.complete()) violate(name + "sent after its end");
  if (choice.attempt ? sent.attempt <= *choice.attempt : false) violate(name + "attempt numbers do not rise");
  std::vector<TokenId> tokens = choice.asked.tokens;
  tokens.insert(tokens.end(), choice.tokens.begin(), choice.tokens.end());
  if (sent.tokens != tokens || sent.prompt_tokens != choice.asked.prompt_tokens)
    violate(name + "not sent with its prompt and what was delivered");
  if (choice.numerics && *choice.numerics != effect.to.numerics) violate(name + "goes on under other numerics");
  const auto replica = std::ranges::find(view.replicas, effect.to, &routing::ReplicaView::route);
  if (replica == view.replicas.end() || replica->state != routing::ReplicaState::kServing)
    return violate(name + "sent to a replica that does not serve, as far as the gateway knows");
  if (const auto lost = lost_.find(effect.to.generation.replica);
      lost != lost_.end() && effect.to.generation.epoch <= lost->second.first)
    violate(name + "sent to a generation that is lost");
  if (draining_.contains(effect.to.generation)) violate(name + "sent to a replica that takes nothing new");
  if (sent.attempt >= 4) world_.reach(Reached::kStreamsMovedOften);
  choice.attempt = sent.attempt;
  choice.numerics = effect.to.numerics;
  sequences_[sent.sequence] = &choice;
  const bool follows = draining_.contains({sent.source.replica, sent.source.epoch}) && sent.attempt > 0;
  running_[sent.sequence] = {effect.to, sent.key(), &choice, follows ? std::min(sent.source.tokens, sent.prompt_tokens) : 0};
  sent_[effect.to.generation][sent.key()] = &choice;
  for (const auto& [id, request] : open_) {
    if (request->choices.empty() || request->choices[0].request != choice.request) continue;
    if (request->state != SimRequest::State::kStarted) violate(name + "sent before its request started");
    if (!request->asked.numerics.empty() && request->asked.numerics != effect.to.numerics)
      violate(name + "sent to other numerics than asked for");
    parked_.erase({id, choice.number});
  }
  const auto there = std::ranges::count_if(
      running_, [&](const auto& entry) { return entry.second.on.generation == effect.to.generation; });
  if (there > static_cast<std::ptrdiff_t>(replica->sequences_max)) violate(name + "sent beyond the replica's room");
}

void GatewayWatch::on_stop(const gateway::StopOn& effect) {
  if (just_ended_.contains(effect.attempt)) return;  // its end came after what ended the request
  const auto running = running_.find(effect.attempt.sequence);
  if (running == running_.end() || running->second.attempt != effect.attempt || running->second.on != effect.on)
    return violate("stops what does not run there");
  const SimChoice& choice = *running->second.choice;
  if (!choice.complete()) park(choice);  // perhaps it goes on elsewhere
  if (!choice.complete() && draining_.contains(effect.on.generation)) world_.reach(Reached::kMovedOff);
  running_.erase(running);
}

void GatewayWatch::on_deliver(SimRequest& request, SimChoice& choice, const step::TokenDelta& delta) {
  if (!request.open()) violate(request, "a delta after its end");
  if (delta.finish != FinishReason::kNone && delta.finish != FinishReason::kStop && delta.finish != FinishReason::kLength)
    violate(request, "a bad end is delivered as a delta");
  if (delta.has_token) {
    choice.tokens.push_back(delta.token.token);
    ++tenants_[request.asked.tenant].output_tokens;
    world_.reach(Reached::kTokens);
  }
  choice.checker.on_delta(delta);
  if (choice.checker.violation())
    violate(request, "choice " + std::to_string(choice.number) + ": " + *choice.checker.violation());
  if (delta.finish != FinishReason::kNone) parked_.erase({request.asked.id, choice.number});
}

// Ends ----------------------------------------------------------------------------------------------------------------

void GatewayWatch::on_end(SimRequest& request, const RequestEnd& end) {
  if (!request.open()) return violate(request, "ends twice");
  check_end(request, end);
  TenantUse& use = tenants_[request.asked.tenant];
  --use.in_flight;
  if (end.kind != RequestEnd::Kind::kRefused) {
    ++use.requests;
    use.prompt_tokens += request.asked.prompt_tokens;
  }
  request.state = SimRequest::State::kEnded;
  open_.erase(request.asked.id);
  for (const SimChoice& choice : request.choices) {
    parked_.erase({request.asked.id, choice.number});
    check_not_running(choice);
  }
}

void GatewayWatch::check_not_running(const SimChoice& choice) {
  if (std::ranges::any_of(running_, [&](const auto& entry) { return entry.second.choice == &choice; }))
    violate("a choice is over, but its replica was not told to stop");
}

void GatewayWatch::check_end(SimRequest& request, const RequestEnd& end) {
  using Kind = RequestEnd::Kind;
  const bool started = request.state == SimRequest::State::kStarted;
  const bool known_poison = end.poison && end.blames_caller && started;  // it was refused as its turn came, or that of one of its choices
  if (end.started != started && !known_poison) violate(request, "its end tells another story of its start");
  if (world_.now() > std::max(request.asked.deadline, awake_from_)) violate(request, "ends after its deadline");
  const bool well = end.kind == Kind::kFinished || end.kind == Kind::kGone;
  if (end.why.ok() != well) violate(request, "its end and its status do not fit");
  switch (end.kind) {
    case Kind::kFinished:
      world_.reach(Reached::kFinished);
      if (!request.asked.numerics.empty()) world_.reach(Reached::kResumed);
      if (request.taken_up) world_.reach(Reached::kTakenUpFinished);
      for (const SimChoice& choice : request.choices) {
        if (!choice.complete()) violate(request, "finished, but choice " + std::to_string(choice.number) + " is not");
      }
      return;
    case Kind::kLate:
    case Kind::kTimedOut:
      world_.reach(started ? Reached::kTimedOut : Reached::kLate);
      if ((end.kind == Kind::kTimedOut) != started) violate(request, "is late and has started, or neither");
      return check_late(request);
    case Kind::kRefused:
      return check_refused(request, end);
    case Kind::kFailed:
      return known_poison ? check_known_poison(request) : check_failed(request, end);
    case Kind::kSlow:
      world_.reach(Reached::kSlow);
      if (request.unread < request.asked.credit) violate(request, "called slow with " + std::to_string(request.unread) + " unread");
      return;
    case Kind::kGone:
      world_.reach(Reached::kGone);
      if (!request.left) violate(request, "called gone, and is not");
      return;
    case Kind::kShutdown:
      world_.reach(Reached::kShutdown);
      if (!shut_down_) violate(request, "ends for a shutdown that was not asked for");
  }
}

bool GatewayWatch::had_replica(const SimRequest& request, const SimChoice& choice, std::int64_t us) const {
  for (std::uint32_t replica = 0; replica < world_.options.replicas; ++replica) {
    const auto since = truth_.whole_since(slot_, ReplicaId(replica));
    if (!since) continue;
    const routing::NumericsId numerics = numerics_of(world_.options, ReplicaId(replica));
    if (choice.numerics && *choice.numerics != numerics) continue;
    if (!request.asked.numerics.empty() && request.asked.numerics != numerics) continue;
    if (std::max(*since, request.arrived).ns + us * 1000 < world_.now().ns) return true;
  }
  return false;
}

bool GatewayWatch::had_replica_of(const routing::NumericsId& numerics) const {
  for (std::uint32_t replica = 0; replica < world_.options.replicas; ++replica) {
    if (numerics_of(world_.options, ReplicaId(replica)) != numerics) continue;
    const auto since = truth_.whole_since(slot_, ReplicaId(replica));
    if (since && since->ns + world_.work_us * 1000 < world_.now().ns) return true;
  }
  return false;
}

void GatewayWatch::check_late(const SimRequest& request) {
  if (world_.now() < request.asked.deadline) return violate(request, "called late before its deadline");
  for (const SimChoice& choice : request.choices) {
    if (!choice.complete() && had_replica(request, choice, world_.work_us))
      violate(request, "ran out of time, though a replica could have done all there is to do");
  }
}

bool GatewayWatch::hopeless(const SimRequest& request) const {
  if (!truth_.has_future(request.asked.numerics)) return true;
  return std::ranges::any_of(request.choices, [&](const SimChoice& choice) {
    return !choice.complete() && choice.numerics && !truth_.has_future(*choice.numerics);
  });
}

std::vector<TokenId> GatewayWatch::prompt_of(const SimChoice& choice) {
  return {choice.asked.tokens.begin(), choice.asked.tokens.begin() + choice.asked.prompt_tokens};
}

// Another request with one of its prompts was given up for the ranks that died of it.
void GatewayWatch::check_known_poison(const SimRequest& request) {
  world_.reach(Reached::kPoisonKnown);
  const bool known = std::ranges::any_of(request.choices, [this](const SimChoice& choice) { return poison_.contains(prompt_of(choice)); });
  if (!known) violate(request, "refused as poison, though nobody died of its prompt");
}

void GatewayWatch::check_failed(const SimRequest& request, const RequestEnd& end) {
  world_.reach(Reached::kFailed);
  for (const SimChoice& choice : request.choices) {
    if (end.poison && !choice.own_deaths.empty()) poison_.insert(prompt_of(choice));
  }
  if (hopeless(request)) return;
  if (request.bad && request.state == SimRequest::State::kStarted) return;
  for (const SimChoice& choice : request.choices) {
    if (choice.not_finite) return world_.reach(Reached::kNotFinite);
    if (choice.own_deaths.size() < 2) continue;
    if (choice.fatal_from > 0) return world_.reach(Reached::kPoisonCondemned);
    if (choice.alone_at_last) return;
  }
  violate(request, "failed without a fault of its own: " + end.why.message());
}

GatewayWatch::Queue GatewayWatch::queue(bool with_unsent) const {
  Queue queue;
  for (const auto& [id, request] : open_) {
    const bool waiting = request->state == SimRequest::State::kWaiting;
    bool parked = false;
    for (const SimChoice& choice : request->choices) {
      if (waiting || !parked_.contains({id, choice.number})) continue;
      if (!with_unsent && !choice.attempt) continue;
      parked = true;
      queue.tokens += choice.asked.prompt_tokens + choice.tokens.size();
    }
    queue.requests += waiting || parked ? 1 : 0;
    if (waiting) queue.tokens += request->asked.prompt_tokens;
  }
  return queue;
}

void GatewayWatch::check_refused(const SimRequest& request, const RequestEnd& end) {
  if (request.state != SimRequest::State::kWaiting) violate(request, "refused after it had started");
  if (!end.refusal) return violate(request, "refused for no reason");
  if (end.refusal->retry_after_s < 1) violate(request, "refused, and not told when to come again");
  const admission::AdmissionConfig& config = world_.options.admission;
  const admission::TenantLimits limits = tenant_limits(world_.options, request.asked.tenant);
  const TenantUse& use = tenants_[request.asked.tenant];
  const Queue queue = this->queue(true);  // with this one
  const bool quota_used = limits.requests_per_minute > 0 || limits.prompt_tokens_per_minute > 0 ||
                          limits.output_tokens_per_minute > 0 || limits.in_flight_max > 0;
  // Whatever its key was charged for is open or has ended without a refusal.
  std::uint64_t open_requests = 0, open_prompt_tokens = 0;
  for (const auto& [id, other] : open_) {
    if (other->asked.tenant != request.asked.tenant || other == &request) continue;
    ++open_requests;
    open_prompt_tokens += other->asked.prompt_tokens;
  }
  bool right = false;
  switch (end.refusal->reason) {
    using Reason = admission::AdmissionRefusal::Reason;
    case Reason::kQueueRequests:
      world_.reach(Reached::kRefusedQueue);
      right = queue.requests - 1 >= config.queue_requests_max;
      break;
    case Reason::kQueueTokens:
      world_.reach(Reached::kRefusedQueue);
      right = queue.requests > 1 && (queue.tokens > config.queue_tokens_max ||
                                     queue.tokens - request.asked.prompt_tokens >= config.queue_tokens_max);
      break;
    case Reason::kDeadline:
      world_.reach(Reached::kRefusedDeadline);
      right = request.asked.deadline.ns < world_.now().ns + world_.work_us * 1000;
      break;
    case Reason::kRequestRate:
      world_.reach(Reached::kRefusedQuota);
      right = limits.requests_per_minute > 0 &&
              static_cast<double>(use.requests + open_requests + 1) > limits.requests_per_minute;
      break;
    case Reason::kTokenRate:
      world_.reach(Reached::kRefusedQuota);
      right = (limits.prompt_tokens_per_minute > 0 &&
               static_cast<double>(use.prompt_tokens + open_prompt_tokens + request.asked.prompt_tokens) >
                   limits.prompt_tokens_per_minute) ||
              (limits.output_tokens_per_minute > 0 &&
               static_cast<double>(use.output_tokens) >= limits.output_tokens_per_minute);
      break;
    case Reason::kInFlight:
      world_.reach(Reached::kRefusedQuota);
      right = limits.in_flight_max > 0 && open_requests >= limits.in_flight_max;
      break;
    case Reason::kNoReplica:
      world_.reach(Reached::kRefusedNowhere);
      right = hopeless(request) || (!request.asked.numerics.empty() && !had_replica_of(request.asked.numerics));
      break;
  }
  if (end.refusal->quota && !quota_used) right = false;
  if (!right)
    violate(request, "refused without reason: " + end.refusal->message + "; from outside " + std::to_string(queue.requests) +
                         " requests with " + std::to_string(queue.tokens) + " tokens wait, this one included");
}

// The bounds hold for whatever was let in, this one included.
void GatewayWatch::check_taken(const SimRequest& request) {
  const admission::AdmissionConfig& config = world_.options.admission;
  const Queue queue = this->queue(false);
  if (queue.requests > config.queue_requests_max)
    violate(request, "taken, though " + std::to_string(queue.requests) + " requests wait");
  if (queue.requests > 1 && queue.tokens > config.queue_tokens_max)
    violate(request, "taken, though requests of " + std::to_string(queue.tokens) + " tokens wait");
  check_quota(request);
}

// A key's buckets are full when its gateway begins, and each holds what one minute may bring.
void GatewayWatch::check_quota(const SimRequest& taken) {
  const admission::TenantLimits limits = tenant_limits(world_.options, taken.asked.tenant);
  const TenantUse& use = tenants_[taken.asked.tenant];
  if (limits.in_flight_max > 0 && use.in_flight > limits.in_flight_max)
    violate(taken, "taken as one of " + std::to_string(use.in_flight) + " in flight");
  std::uint64_t requests = use.requests, prompt_tokens = use.prompt_tokens;
  for (const auto& [id, other] : open_) {
    if (other->asked.tenant != taken.asked.tenant) continue;
    ++requests;
    if (other != &taken) prompt_tokens += other->asked.prompt_tokens;
  }
  const double minutes = seconds_between(began_, world_.now()) / 60;
  const auto beyond = [&](double used, double per_minute) {
    return per_minute > 0 && used > per_minute * (1 + minutes) + 1e-6;
  };
  if (beyond(static_cast<double>(requests), limits.requests_per_minute)) violate(taken, "taken beyond its key's requests");
  // A prompt that is longer than the bucket is taken from a full one.
  const double prompt = std::min(static_cast<double>(taken.asked.prompt_tokens), limits.prompt_tokens_per_minute);
  if (beyond(static_cast<double>(prompt_tokens) + prompt, limits.prompt_tokens_per_minute))
    violate(taken, "taken beyond its key's prompt tokens");
  if (beyond(static_cast<double>(use.output_tokens), limits.output_tokens_per_minute))
    violate(taken, "taken beyond its key's output tokens");
}

// After each event ----------------------------------------------------------------------------------------------------

void GatewayWatch::check() {
  for (const auto& [id, request] : open_) {
    if (std::max(request->asked.deadline, awake_from_) < world_.now()) violate(*request, "is open after its deadline");
    for (const SimChoice& choice : request->choices) {
      if (choice.blamed >= 2) violate(*request, "has killed two replicas, and goes on");
    }
  }
  for (const auto& [sequence, running] : running_) {
    if (running.choice->stopped) check_not_running(*running.choice);
  }
  // What waits for too long still does a few events later.
  if (++checks_ % 8 != 0) return;
  check_parked();
  check_moved_off();
}

bool GatewayWatch::was_free(const SimRequest& request, const SimChoice& choice, ReplicaId replica, Instant since, std::size_t crowd) const {
  const auto pause_us = static_cast<std::int64_t>(2e6 * world_.options.retry_max_s) + 8 * world_.options.message_us_max;
  const auto whole = truth_.whole_since(slot_, replica);
  const routing::NumericsId numerics = numerics_of(world_.options, replica);
  if (!whole || (choice.numerics && *choice.numerics != numerics)) return false;
  if (!request.asked.numerics.empty() && request.asked.numerics != numerics) return false;
  const auto full = full_.find(replica);
  Instant from = std::max(since, *whole);
  if (full != full_.end()) from = std::max(from, full->second);
  return from.ns + pause_us * static_cast<std::int64_t>(crowd + 2) * 1000 < world_.now().ns;
}

// What runs on a replica that drains goes to one that has room, one after the other.
void GatewayWatch::check_moved_off() {
  if (draining_.empty()) return;
  for (const auto& [sequence, of] : running_) {
    const auto drains = draining_.find(of.on.generation);
    if (drains == draining_.end() || !of.choice->own_deaths.empty()) continue;
    for (const auto& [id, request] : open_) {
      if (request->choices.empty() || request->choices[0].request != of.choice->request) continue;
      for (std::uint32_t replica = 0; replica < world_.options.replicas; ++replica) {
        if (was_free(*request, *of.choice, ReplicaId(replica), drains->second, parked_.size() + running_.size()))
          violate(*request, "stays where a replica drains beside one with room");
      }
    }
  }
}

// A replica that is whole and has room is asked after the longest pause there is, once for each that waits before.
void GatewayWatch::check_parked() {
  if (parked_.empty()) return;
  const std::uint64_t room = world_.options.sequences_max();
  std::map<ReplicaId, std::uint64_t> running;
  for (const auto& [sequence, of] : running_) {
    const ReplicaId replica = of.on.generation.replica;
    if (++running[replica] >= room) full_[replica] = world_.now();
  }
  // A choice that was never sent may wait for one of the places that others have, whatever room a replica has.
  const auto was_sent = [this](const auto& parked) {
    return open_.at(parked.first.first)->choices[parked.first.second].attempt.has_value();
  };
  if (!running_.empty() || std::ranges::any_of(parked_, was_sent)) {
    for (auto& parked : parked_) {
      if (!was_sent(parked)) parked.second = world_.now();
    }
  }
  for (const auto& [id, since] : parked_) {
    const SimRequest& request = *open_.at(id.first);
    const SimChoice& choice = request.choices[id.second];
    if (choice.complete() || !choice.own_deaths.empty()) continue;
    if (world_.now().ns - since.ns > 20'000'000) world_.reach(Reached::kParkedLong);
    for (std::uint32_t replica = 0; replica < world_.options.replicas; ++replica) {
      if (was_free(request, choice, ReplicaId(replica), since, parked_.size())) violate(request, "stays parked beside a replica with room");
    }
  }
}

}  // namespace herd::sim
