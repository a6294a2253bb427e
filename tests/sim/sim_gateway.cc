#include "tests/sim/sim_gateway.h"

#include <algorithm>
#include <string>
#include <utility>
#include <variant>

#include "tests/sim/sim_coordinator.h"
#include "tests/sim/sim_replica.h"
#include "tests/sim/through_wire.h"

namespace herd::sim {

using gateway::GatewayEffects;

SimGateway::Life::Life(World& world, const Truth& truth, std::uint32_t slot, GatewayId id, std::uint64_t jitter_seed)
    : core({.id = id,
            .admission = world.options.admission,
            .retry_min_s = world.options.retry_min_s,
            .retry_max_s = world.options.retry_max_s,
            .jitter_seed = jitter_seed}),
      watch(world, truth, slot, id) {
  for (std::uint64_t tenant = 0; tenant < world.options.tenants; ++tenant)
    core.set_tenant(admission::TenantId(tenant), tenant_limits(world.options, admission::TenantId(tenant)));
}

SimGateway::SimGateway(World& world, Network& network, const Truth& truth, SimCoordinator& coordinator, RequestBook& book,
                       std::uint32_t slot, std::function<void(SimRequest&)> arrive_elsewhere)
    : world_(world),
      chance_(world.chance("gateway-" + std::to_string(slot))),
      network_(network),
      truth_(truth),
      coordinator_(coordinator),
      book_(book),
      slot_(slot),
      arrive_elsewhere_(std::move(arrive_elsewhere)),
      process_(world) {}

// Lives ---------------------------------------------------------------------------------------------------------------

void SimGateway::start() {
  id_ = GatewayId(chance_());
  process_.begin();
  network_.shake();
  life_ = std::make_unique<Life>(world_, truth_, slot_, id_, chance_());
  life_->coordinator = std::make_shared<SimDial>(
      world_, network_, process_, network_.gateway_machine(slot_),
      SimDial::Owner{.address = kCoordinatorAddress,
                     .hello = hello(),
                     .on_open = [this](const ConnectionPtr& connection) { join(connection); },
                     .on_closed = [](const ConnectionPtr&) {}});
  life_->coordinator->start();
}

handshake::Hello SimGateway::hello() const {
  handshake::Hello hello;
  hello.cluster = "sim";
  hello.role = handshake::Role::kGateway;
  hello.node = name();
  hello.incarnation = id_.value;
  return hello;
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
  process_.end();
  const std::unique_ptr<Life> ended = std::move(life_);
  said_.clear();
  enough_.clear();
  unsent_.clear();
  id_ = {};
  network_.shake();
  world_.loop.after(chance_.us_up_to(world_.options.restart_us_max), [this] { start(); });
  for (auto& [id, request] : ended->requests) {
    if (request->open()) take_up_elsewhere(*request);
  }
}

void SimGateway::sleep(std::int64_t us) {
  if (!alive()) return;
  world_.reach(Reached::kGatewaysAsleep);
  const Instant until{world_.now().ns / 1000 * 1000 + us * 1000 + 500};
  const Machine machine = network_.gateway_machine(slot_);
  network_.disturb(machine);
  world_.loop.at(until, [this, machine] { network_.disturb(machine); });
  life_->watch.on_sleep(until);
  process_.sleep(until);
}

// Clients -------------------------------------------------------------------------------------------------------------

void SimGateway::arrive(SimRequest& request) {
  if (!alive() || process_.sleeps()) {  // its client tries again
    world_.loop.after(chance_.us_up_to(5000), [this, &request] { arrive(request); });
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
    world_.loop.after(*request.leaves_after_us, process_.awake([this, &request] { leave(request); }));
}

void SimGateway::leave(SimRequest& request) {
  if (!request.open()) return;
  request.left = true;
  GatewayEffects effects;
  life_->core.on_gone(request.asked.id, world_.now(), effects);
  carry_out(std::move(effects));
  if (request.open()) world_.violate("a request whose client is gone goes on");
}

// A stream that more than one kind of numerics made cannot be told to go on as it began.
void SimGateway::take_up_elsewhere(SimRequest& request) {
  request.state = SimRequest::State::kGone;
  std::set<routing::NumericsId> made_by;
  for (const SimChoice& choice : request.choices) {
    if (!choice.tokens.empty()) made_by.insert(*choice.numerics);
  }
  if (!request.takes_up || made_by.size() > 1) return;
  world_.reach(Reached::kTakenUpElsewhere);
  if (!made_by.empty()) request.asked.numerics = *made_by.begin();
  request.begin_again(world_.options.scheduler.max_model_len);
  request.gateway = static_cast<std::uint32_t>((slot_ + 1 + chance_.below(world_.options.gateways)) % world_.options.gateways);
  world_.loop.after(chance_.us_up_to(5000), [this, &request] {
    request.asked.deadline = {world_.now().ns + request.patience_us * 1000};
    arrive_elsewhere_(request);
  });
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
  dial_leaders();
  carry_out(std::move(effects));
}

void SimGateway::on_loss(const routing::ReplicaLoss& loss) {
  GatewayEffects effects;
  if (World::tells) world_.tell("gateway " + std::to_string(slot_) + " hears of a loss: " + loss.why.message());
  life_->core.on_replica_lost(loss, world_.now(), effects);
  life_->watch.on_loss(loss);
  carry_out(std::move(effects));
}

void SimGateway::on_report(routing::ReplicaGeneration from, const replica::ReplicaReport& report) {
  const replica::ReplicaStats& stats = report.stats;
  const scheduler::SchedulerStats& work = stats.scheduler;
  life_->core.on_load(from, {.running = work.num_running,
                             .waiting = work.num_waiting,
                             .waiting_tokens = work.queue_tokens,
                             .decode_step_s = stats.decode_step_s,
                             .prompt_token_s = stats.prompt_token_s,
                             .moved_token_s = stats.moves.token_s});
  if (report.draining && life_->core.route_of(from)) {
    GatewayEffects effects;
    life_->core.on_draining(from, world_.now(), effects);
    life_->watch.on_draining(from);
    carry_out(std::move(effects));
  }
  if (!life_->core.route_of(from)) return;
  if (life_->reported.insert(from).second) {
    GatewayEffects effects;
    life_->core.on_link_open(from, world_.now(), effects);
    carry_out(std::move(effects));
  }
  if (report.news) on_news(from, *report.news);
}

void SimGateway::on_news(routing::ReplicaGeneration from, const kv::BlockNews& news) {
  world_.reach(Reached::kNewsTold);
  if (life_->core.on_news(from, news)) return;
  world_.reach(Reached::kNewsMissed);
  for (const auto& [address, leader] : life_->leaders) {
    if (leader.generation == from && leader.dial->connection() != nullptr) on_leader_open(leader.dial->connection()->shared_from_this());
  }
}

// Connections ---------------------------------------------------------------------------------------------------------

void SimGateway::join(const ConnectionPtr& connection) {
  const routing::ClusterView& view = life_->core.view();
  connection->send(SimConnection::kDialer, world_.options.message_us_max,
                   [this, &coordinator = coordinator_, peer = coordinator_.number_of(*connection),
                    join = through_wire(world_.options.wire, routing::GatewayJoin{id_, view.cluster_epoch, view.number})] {
                     coordinator.on_gateway_join(peer, *this, join);
                   });
}

// One to each leader of a replica that is there or is being made.
void SimGateway::dial_leaders() {
  std::map<std::string, routing::ReplicaGeneration> wanted;
  for (const routing::ReplicaView& replica : life_->core.view().replicas) {
    if (replica.state != routing::ReplicaState::kLost) wanted[replica.route.address] = replica.route.generation;
  }
  for (auto next = life_->leaders.begin(); next != life_->leaders.end();) {
    const auto leader = next++;
    if (wanted.contains(leader->first)) continue;
    leader->second.dial->stop();
    life_->leaders.erase(leader);
  }
  for (const auto& [address, generation] : wanted) {
    Leader& leader = life_->leaders[address];
    const bool changed = std::exchange(leader.generation, generation) != generation;
    if (leader.dial) {
      // What that generation said before this view had it was passed over.
      if (changed && leader.dial->connection() != nullptr) on_leader_open(leader.dial->connection()->shared_from_this());
      continue;
    }
    leader.dial = std::make_shared<SimDial>(
        world_, network_, process_, network_.gateway_machine(slot_),
        SimDial::Owner{.address = address,
                       .hello = hello(),
                       .on_open = [this](const ConnectionPtr& connection) { on_leader_open(connection); },
                       .on_closed = [this, at = address](const ConnectionPtr&) { on_leader_closed(at); }});
    leader.dial->start();
  }
}

void SimGateway::on_leader_open(const ConnectionPtr& connection) {
  connection->send(SimConnection::kDialer, world_.options.message_us_max, [this, id = id_, weak = std::weak_ptr(connection)] {
    if (const auto joined = weak.lock()) joined->replica().on_gateway_joined(joined, *this, id);
  });
}

void SimGateway::on_leader_closed(const std::string& address) {
  const auto leader = life_->leaders.find(address);
  if (leader == life_->leaders.end()) return;
  world_.reach(Reached::kLinksLost);
  life_->reported.erase(leader->second.generation);
  on_link_lost(leader->second.generation);
}

SimConnection* SimGateway::connection_to(const routing::Route& route) const {
  const auto leader = life_->leaders.find(route.address);
  return leader == life_->leaders.end() ? nullptr : leader->second.dial->connection();
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
  while (!said_.empty() || !enough_.empty() || !unsent_.empty()) {
    if (said_.empty() && !unsent_.empty()) {
      const auto [to, attempt] = unsent_.front();
      unsent_.pop_front();
      GatewayEffects more;
      life_->core.on_unsent(to, attempt, world_.now(), more);
      life_->watch.on_unsent(to, attempt);
      said_.insert(said_.end(), std::make_move_iterator(more.begin()), std::make_move_iterator(more.end()));
      continue;
    }
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
  SimConnection* connection = connection_to(effect.to);
  if (connection == nullptr) {
    world_.reach(Reached::kSentNowhere);
    unsent_.emplace_back(effect.to.generation, effect.submission.key());
    return;
  }
  const step::Submission submission = through_wire(world_.options.wire, std::move(effect.submission));
  const bool twice = chance_.percent(world_.options.repeats_percent);
  if (twice) world_.reach(Reached::kSubmissionsRepeated);
  for (int copy = 0; copy < (twice ? 2 : 1); ++copy)
    connection->send(SimConnection::kDialer, world_.options.message_us_max,
                     [&replica = connection->replica(), to = effect.to.generation, submission] {
                       replica.on_submission(to, submission);
                     });
}

void SimGateway::carry_out(gateway::StopOn& effect) {
  life_->watch.on_stop(effect);
  SimConnection* connection = connection_to(effect.on);
  if (connection == nullptr) return;
  connection->send(SimConnection::kDialer, world_.options.message_us_max,
                   [&replica = connection->replica(), on = effect.on.generation,
                    attempt = through_wire(world_.options.wire, effect.attempt)] { replica.on_abort(on, attempt); });
}

// Nothing has to be done; that each was one that ran is gateway_core_fuzz_test.cc's to check.
void SimGateway::carry_out(gateway::AttemptCut&) {}

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
    world_.loop.after(static_cast<std::int64_t>(chance_.below(static_cast<std::uint64_t>(request.read_us_max))),
                      process_.awake([this, &request] { read(request); }));
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
  if (effect.end.kind == gateway::RequestEnd::Kind::kShutdown) take_up_elsewhere(request);
}

void SimGateway::carry_out(gateway::WakeAt& effect) {
  if (effect.at < world_.now()) world_.violate("a gateway asks to be woken in the past");
  life_->wakes_at = effect.at;
  world_.loop.at(effect.at, process_.awake([this, wake = ++life_->wakes] {
    if (wake != life_->wakes) return;
    GatewayEffects effects;
    life_->core.on_timer(world_.now(), effects);
    carry_out(std::move(effects));
  }));
}

// Checks --------------------------------------------------------------------------------------------------------------

void SimGateway::check() {
  if (!alive() || process_.sleeps()) return;
  life_->core.check_integrity();
  life_->watch.check();
}

void SimGateway::check_drained(const routing::ClusterView& truth) {
  if (!alive()) return world_.violate("a gateway is still down");
  if (life_->core.open_requests() != 0 || !life_->watch.idle()) world_.violate("a gateway owes something after the drain");
  if (life_->core.ledger().open != 0) world_.violate("a ledger is not empty after the drain");
  const auto stats = life_->core.admission();
  if (stats.waiting + stats.running + stats.running_sequences != 0) world_.violate("admission counts what is over");
  const routing::ClusterView& known = life_->core.view();
  if (known != truth)
    world_.violate("gateway " + std::to_string(slot_) + " knows another cluster than the coordinator: view " +
                   std::to_string(known.cluster_epoch.value) + "/" + std::to_string(known.number) + ", not " +
                   std::to_string(truth.cluster_epoch.value) + "/" + std::to_string(truth.number));
}

void SimGateway::check_directory(routing::ReplicaGeneration replica, const std::optional<kv::BlockNews>& cached) const {
  if (!alive()) return;
  const routing::PrefixDirectory& directory = life_->core.directory();
  directory.check_integrity();
  if (directory.knows(replica) != cached.has_value()) return violate_directory(replica, "knows too little or too much of");
  if (!cached) return;
  if (directory.blocks(replica) != cached->stored.size()) return violate_directory(replica, "counts other blocks of");
  for (const kv::BlockKey key : cached->stored)
    if (!directory.holds(replica, key)) return violate_directory(replica, "misses a block of");
}

void SimGateway::violate_directory(routing::ReplicaGeneration replica, const std::string& what) const {
  world_.violate("the directory of gateway " + std::to_string(slot_) + " " + what + " replica " + std::to_string(replica.replica.value));
}

}  // namespace herd::sim
