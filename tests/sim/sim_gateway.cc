#include "tests/sim/sim_gateway.h"

#include <algorithm>
#include <string>
#include <utility>
#include <variant>

#include "tests/sim/sim_coordinator.h"

namespace herd::sim {

using gateway::GatewayEffects;

SimGateway::Life::Life(World& world, const Network& network, std::uint32_t slot, GatewayId id)
    : core({.id = id,
            .admission = world.options.admission,
            .retry_min_s = world.options.retry_min_s,
            .retry_max_s = world.options.retry_max_s,
            .jitter_seed = world.random()}),
      watch(world, network, slot, id) {
  for (std::uint64_t tenant = 0; tenant < world.options.tenants; ++tenant)
    core.set_tenant(admission::TenantId(tenant), tenant_limits(world.options, admission::TenantId(tenant)));
}

SimGateway::SimGateway(World& world, Network& network, SimCoordinator& coordinator, RequestBook& book, std::uint32_t slot)
    : world_(world), network_(network), coordinator_(coordinator), book_(book), slot_(slot) {}

// Lives ---------------------------------------------------------------------------------------------------------------

void SimGateway::start() {
  ++lives_;
  id_ = GatewayId(world_.random());
  life_ = std::make_unique<Life>(world_, network_, slot_, id_);
  network_.on_gateway_life(slot_);
  coordinator_.join(slot_);
}

void SimGateway::crash() {
  if (!alive()) return;
  world_.reach(Reached::kGatewaysCrashed);
  end_life();
}

void SimGateway::stop() {
  if (!alive()) return;
  world_.reach(Reached::kGatewaysStopped);
  life_->watch.on_shutdown();
  GatewayEffects effects;
  life_->core.on_shutdown(world_.now(), effects);
  carry_out(std::move(effects));
  if (!life_->watch.idle()) world_.violate("a gateway that was told to stop owes something");
  end_life();
}

void SimGateway::end_life() {
  for (auto& [id, request] : life_->requests) {
    if (request->open()) request->state = SimRequest::State::kGone;
  }
  const GatewayId gone = id_;
  life_.reset();
  said_.clear();
  enough_.clear();
  ++lives_;
  id_ = {};
  network_.on_gateway_gone(gone);
  world_.loop.after(world_.us_up_to(world_.options.restart_us_max), [this] { start(); });
}

EventLoop::Event SimGateway::for_this_life(EventLoop::Event event) {
  return [this, lives = lives_, event = std::move(event)] { if (lives == lives_ && alive()) event(); };
}

// Clients -------------------------------------------------------------------------------------------------------------

void SimGateway::arrive(SimRequest& request) {
  if (!alive()) {  // its client tries again
    world_.loop.after(world_.us_up_to(5000), [this, &request] { arrive(request); });
    return;
  }
  request.asked.id = RequestId(life_->next_request++);
  life_->requests[request.asked.id] = &request;
  const bool due = life_->wakes_at <= world_.now();
  const auto refusal = life_->core.refuses_now(request.asked.tenant, world_.now());
  const bool late = request.asked.deadline <= world_.now();
  if (late) request.asked.deadline = {world_.now().ns + 1000};  // its client gave up and asks for a moment more
  GatewayEffects effects;
  life_->watch.before_request(request);
  life_->core.on_request(request.asked, world_.now(), effects);
  carry_out(std::move(effects));
  // What is due in this very moment may make room first.
  if (refusal && !due && request.open() && request.asked.sequences > 0)
    world_.violate("a request was taken that would be refused whatever it asks for: " + refusal->message);
  if (request.open()) life_->watch.check_taken(request);
  if (request.leaves_after_us && request.open())
    world_.loop.after(*request.leaves_after_us, for_this_life([this, &request] { leave(request); }));
}

void SimGateway::leave(SimRequest& request) {
  if (!request.open()) return;
  request.left = true;
  GatewayEffects effects;
  life_->core.on_gone(request.asked.id, world_.now(), effects);
  carry_out(std::move(effects));
  if (request.open()) world_.violate("a request whose client is gone goes on");
}

void SimGateway::read(SimRequest& request) {
  --request.unread;
  life_->core.on_consumed(request.asked.id, 1);
}

// From the network ----------------------------------------------------------------------------------------------------

void SimGateway::on_deltas(routing::ReplicaGeneration from, const std::vector<step::TokenDelta>& deltas) {
  GatewayEffects effects;
  life_->core.on_deltas(from, deltas, world_.now(), effects);
  life_->watch.on_deltas(from, deltas);
  carry_out(std::move(effects));
}

void SimGateway::on_view(const routing::ClusterView& view) {
  const routing::ClusterView before = life_->core.view();
  const bool newer = std::pair(view.cluster_epoch, view.number) > std::pair(before.cluster_epoch, before.number);
  GatewayEffects effects;
  life_->core.on_view(view, world_.now(), effects);
  if (newer ? life_->core.view() != view : life_->core.view() != before)
    world_.violate("a gateway takes an old view or leaves a new one");
  if (!newer) world_.reach(Reached::kStaleViews);
  if (newer) life_->watch.on_view(view);
  carry_out(std::move(effects));
}

void SimGateway::on_loss(const routing::ReplicaLoss& loss) {
  GatewayEffects effects;
  if (World::tells) world_.tell("gateway " + std::to_string(slot_) + " hears of a loss: " + loss.why.message());
  life_->core.on_replica_lost(loss, world_.now(), effects);
  life_->watch.on_loss(loss);
  carry_out(std::move(effects));
}

void SimGateway::on_link_lost(routing::ReplicaGeneration replica) {
  GatewayEffects effects;
  if (World::tells)
    world_.tell("gateway " + std::to_string(slot_) + " hears of a cut link to replica " + std::to_string(replica.replica.value));
  life_->core.on_link_lost(replica, world_.now(), effects);
  life_->watch.on_link_lost(replica);
  carry_out(std::move(effects));
}

// Effects -------------------------------------------------------------------------------------------------------------

void SimGateway::carry_out(GatewayEffects effects) {
  said_.insert(said_.end(), std::make_move_iterator(effects.begin()), std::make_move_iterator(effects.end()));
  while (!said_.empty() || !enough_.empty()) {
    if (said_.empty()) {
      const auto [id, choice] = enough_.front();
      enough_.erase(enough_.begin());
      SimRequest& request = *life_->requests.at(id);
      if (!request.open() || request.choices[choice].checker.ended()) continue;
      GatewayEffects more;
      life_->core.on_choice_stopped(id, choice, world_.now(), more);
      said_.insert(said_.end(), std::make_move_iterator(more.begin()), std::make_move_iterator(more.end()));
      request.choices[choice].stopped = true;
      life_->watch.on_choice_stopped(request, request.choices[choice]);
      world_.reach(Reached::kChoicesStopped);
      continue;
    }
    gateway::GatewayEffect effect = std::move(said_.front());
    said_.pop_front();
    std::visit([this](auto& what) { carry_out(what); }, effect);
  }
}

void SimGateway::carry_out(gateway::StartRequest& effect) {
  SimRequest& request = *life_->requests.at(effect.request);
  life_->watch.on_start(request);
  std::vector<step::Submission> choices;
  for (const SimChoice& choice : request.choices) choices.push_back(choice.asked);
  GatewayEffects more;
  life_->core.on_started(effect.request, std::move(choices), world_.now(), more);
  said_.insert(said_.end(), std::make_move_iterator(more.begin()), std::make_move_iterator(more.end()));
}

void SimGateway::carry_out(gateway::RunOn& effect) {
  const std::uint64_t seed = effect.submission.sampling.seed;
  if (World::tells)
    world_.tell("gateway " + std::to_string(slot_) + " runs " + std::to_string(effect.submission.sequence.value) + "/" +
                std::to_string(effect.submission.attempt) + " (choice " + std::to_string(seed & 0xFFFFF) + ", " +
                std::to_string(effect.submission.tokens.size()) + " tokens, alone until " +
                std::to_string(effect.submission.alone_until) + ") on replica " +
                std::to_string(effect.to.generation.replica.value));
  SimChoice* choice = book_.choice_of(seed);
  if (choice == nullptr) return world_.violate("a gateway sends what nobody asked for");
  life_->watch.on_run(*choice, effect, life_->core.view());
  network_.submit(slot_, effect.to, std::move(effect.submission));
}

void SimGateway::carry_out(gateway::StopOn& effect) {
  life_->watch.on_stop(effect);
  network_.abort(slot_, effect.on, effect.attempt);
}

void SimGateway::carry_out(gateway::Deliver& effect) {
  SimRequest& request = *life_->requests.at(effect.request);
  SimChoice& choice = request.choices.at(effect.choice);
  if (choice.stopped) return world_.violate("a delta of a choice that its client needs no more");
  life_->watch.on_deliver(request, choice, effect.delta);
  ++request.unread;
  world_.trace({static_cast<std::uint64_t>(world_.now().ns), slot_, effect.request.value, effect.choice,
                static_cast<std::uint64_t>(effect.delta.token.token), static_cast<std::uint64_t>(effect.delta.finish)});
  for (const auto& run : effect.delta.prompt_logprobs) world_.reach(Reached::kPromptLogprobs, run.tokens.size());
  if (request.read_us_max == 0) {
    read(request);
  } else {
    world_.loop.after(static_cast<std::int64_t>(world_.below(static_cast<std::uint64_t>(request.read_us_max))),
                      for_this_life([this, &request] { read(request); }));
  }
  if (choice.enough > 0 && choice.tokens.size() == choice.enough && effect.delta.finish == step::FinishReason::kNone)
    enough_.emplace_back(effect.request, effect.choice);
}

void SimGateway::carry_out(gateway::EndRequest& effect) {
  SimRequest& request = *life_->requests.at(effect.request);
  if (World::tells)
    world_.tell("gateway " + std::to_string(slot_) + " ends request " + std::to_string(effect.request.value) + " as kind " +
                std::to_string(static_cast<int>(effect.end.kind)) + ": " + effect.end.why.message());
  life_->watch.on_end(request, effect.end);
  world_.trace({static_cast<std::uint64_t>(world_.now().ns), slot_, effect.request.value,
                static_cast<std::uint64_t>(effect.end.kind)});
}

void SimGateway::carry_out(gateway::WakeAt& effect) {
  if (effect.at < world_.now()) world_.violate("a gateway asks to be woken in the past");
  life_->wakes_at = effect.at;
  world_.loop.at(effect.at, for_this_life([this, wake = ++life_->wakes] {
    if (wake != life_->wakes) return;
    GatewayEffects effects;
    life_->core.on_timer(world_.now(), effects);
    carry_out(std::move(effects));
  }));
}

// Checks --------------------------------------------------------------------------------------------------------------

void SimGateway::check() {
  if (!alive()) return;
  life_->core.check_integrity();
  life_->watch.check();
}

void SimGateway::check_drained(const routing::ClusterView& truth) {
  if (!alive()) return world_.violate("a gateway is still down");
  if (life_->core.open_requests() != 0 || !life_->watch.idle()) world_.violate("a gateway owes something after the drain");
  if (life_->core.ledger().open != 0) world_.violate("a ledger is not empty after the drain");
  const auto stats = life_->core.admission();
  if (stats.waiting + stats.running + stats.running_sequences != 0) world_.violate("admission counts what is over");
  if (life_->core.view() != truth) world_.violate("a gateway knows another cluster than the coordinator");
}

}  // namespace herd::sim
