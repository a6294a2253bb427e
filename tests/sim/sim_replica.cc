#include "tests/sim/sim_replica.h"

#include <algorithm>
#include <utility>
#include <variant>

#include "tests/sim/sim_gateway.h"
#include "tests/sim/sim_node.h"
#include "tests/sim/through_wire.h"

namespace herd::sim {

using routing::LossCause;
using routing::ReplicaGeneration;

SimReplica::SimReplica(World& world, Network& network, RequestBook& book, SimNode& node, ReplicaId replica,
                       std::size_t time)
    : world_(world),
      network_(network),
      book_(book),
      node_(node),
      generation_{replica, Epoch(0)},
      address_("node-" + std::to_string(node.index()) + "/replica-" + std::to_string(replica.value)),
      chance_(world.chance(address_ + ", held " + std::to_string(time))),
      leader_(world),
      ranks_process_(world),
      ranks_(world, network, static_cast<RanksHost&>(*this)),
      moves_(world, network, static_cast<MovesHost&>(*this)) {}

void SimReplica::violate(const std::string& what) {
  world_.violate("replica " + std::to_string(id().value) + " on node " + std::to_string(node_.index()) + ", epoch " +
                 std::to_string(generation_.epoch.value) + ": " + what);
}

bool SimReplica::whole() const {
  const SimProcess& leads = world_.options.ranks_are_processes ? leader_ : supervisor_process();
  return held_ && serving() && !draining_ && !life_->doomed() && !leads.sleeps() && ranks_.whole();
}

routing::ReplicaView SimReplica::view() const {
  routing::ReplicaView view;
  view.route = {generation_, address_, numerics_of(world_.options, id())};
  view.state = draining_ ? routing::ReplicaState::kDraining : routing::ReplicaState::kServing;
  view.sequences_max = world_.options.sequences_max();
  view.max_model_len = world_.options.scheduler.max_model_len;
  return view;
}

Machine SimReplica::machine() const { return network_.node_machine(node_.index()); }

// Processes -----------------------------------------------------------------------------------------------------------

SimProcess& SimReplica::supervisor_process() const { return node_.process(); }
SimProcess& SimReplica::leader() { return world_.options.ranks_are_processes ? leader_ : supervisor_process(); }
SimProcess& SimReplica::process_of(std::uint32_t rank) {
  if (!world_.options.ranks_are_processes) return supervisor_process();
  return leads(rank) ? leader_ : ranks_process_;
}

EventLoop::Event SimReplica::awake(std::uint32_t rank, EventLoop::Event event) { return process_of(rank).awake(std::move(event)); }
std::uint64_t SimReplica::pauses_so_far(std::uint32_t rank) const {
  return const_cast<SimReplica*>(this)->process_of(rank).sleeps_so_far();
}

void SimReplica::later(std::int64_t us, EventLoop::Event event) {
  supervisor_process().later(us, [this, event = std::move(event)] { if (held_) event(); });
}

void SimReplica::start() {
  const SimOptions& options = world_.options;
  has_served_ = false;
  if (options.ranks_are_processes) ranks_process_.begin();
  network_.listen(address_, {&leader(), machine(),
                             [this](const ConnectionPtr& connection) { return accept(connection); }, this});
  supervisor_ = std::make_unique<membership::GroupSupervisor>(membership::GroupSupervisorConfig{
      .replica = id(),
      .ranks = options.ranks,
      .ranks_can_be_ended = options.ranks_are_processes,
      .keeps_trying = options.ranks_are_processes,
      .budget = options.budget,
      .watch = options.watch()});
  decide([&](auto& supervisor, auto& effects) { supervisor.on_start(world_.now(), effects); });
}

void SimReplica::release(double drain_s) {
  network_.shake();
  if (ended_) return;  // its node is about to hear so
  if (!std::exchange(ending_, true)) {
    held_ = waits_for_place_ = false;
    decide([](auto& supervisor, auto& effects) { supervisor.on_stop(effects); });
    if (!alive()) return end_ranks();
  }
  drain_generation(drain_s);
}

// Its node hears when none is left.
void SimReplica::end_ranks() {
  ending_ = false;
  ended_ = true;
  fall(false);
  supervisor_process().later(chance_.us_up_to(world_.options.detect_us_max), [this] { node_.on_ended(id()); });
}

void SimReplica::give_up(const Status& why) {
  later(chance_.us_up_to(world_.options.message_us_max), [this, why] { node_.on_given_up(id(), why); });
}

void SimReplica::fall(bool silently) {
  held_ = ending_ = waits_for_place_ = draining_ = false;
  gateways_.clear();
  if (life_) last_life_ = std::move(life_);  // it may be in the middle of something
  ranks_.take_away();
  network_.listen_no_more(address_, *this);
  network_.shake();
  silently ? leader_.vanish() : leader_.end();
  moves_.end();
  ranks_process_.vanish();
}

void SimReplica::sleep(Instant until) {
  leader_.sleep(until);
  ranks_process_.sleep(until);
}

// The other ranks may wait for it in vain.
bool SimReplica::sleep_leader(std::int64_t us) {
  if (!world_.options.ranks_are_processes || !leader_.alive()) return false;
  world_.reach(Reached::kLeadersAsleep);
  const Instant until{world_.now().ns / 1000 * 1000 + us * 1000 + 500};
  const Machine machine = network_.node_machine(node_.index());
  network_.disturb(machine);
  world_.loop.at(until, [this, machine] { network_.disturb(machine); });
  if (alive()) life_->excuse(0, {until.ns + world_.options.settle_us() * 1000});
  leader_.sleep(until);
  return true;
}

bool SimReplica::tell_to_end(std::uint32_t rank) {
  if (!held_ || !ranks_.lives(rank)) return false;
  if (!world_.options.ranks_are_processes) {  // a thread is told nothing; its generation can be
    if (alive()) carry_out(membership::DrainGeneration{});
    return alive();
  }
  world_.reach(Reached::kRanksToldToEnd);
  told_to_end_[rank] = ranks_.starts(rank);
  network_.shake();
  message([this, rank, start = ranks_.starts(rank)] {
    if (!ranks_.lives(rank) || ranks_.starts(rank) != start) return;
    decide([&](auto& supervisor, auto& effects) { supervisor.on_rank_leaving(rank, world_.now(), effects); });
  });
  return true;
}

void SimReplica::drain_generation(double drain_s) {
  if (!alive()) return;
  life_->doom();
  leader().later(chance_.us_up_to(world_.options.message_us_max), [this, of = generation_, drain_s] {
    if (alive() && generation_ == of) begin_drain(drain_s);
  });
}

// Gateways hear of it from the leader, as there may be no coordinator.
void SimReplica::begin_drain(double drain_s) {
  const bool served = serving();
  draining_ |= served;
  network_.shake();
  life_->drain(drain_s);
  if (!served || !alive()) return;
  for (const auto& [gateway, joined] : gateways_) send_report(joined, std::nullopt);
  tell_supervisor([this, view = view()] {
    if ((held_ || ending_) && view.route.generation == generation_) node_.say_serving(view);
  });
}

// What its supervisor says --------------------------------------------------------------------------------------------

void SimReplica::carry_out(const membership::StartRank& effect) {
  if (ranks_.lives(effect.rank)) violate("starts rank " + std::to_string(effect.rank) + ", which lives");
  const std::uint64_t start = ranks_.begin_start(effect.rank, effect.read_weights_again);
  later(chance_.us_up_to(world_.options.restart_us_max), [this, rank = effect.rank, start] {
    if (ranks_.is_last_start(rank, start)) on_rank_started(rank);
  });
}

void SimReplica::on_rank_started(std::uint32_t rank) {
  Status status;
  if (starts_to_fail_ > 0) {
    --starts_to_fail_;
    world_.reach(Reached::kFailedStarts);
    status = {StatusCode::kMissing, "injected"};
    losses_.push_back(world_.now());
  } else {
    if (leads(rank)) leader_.begin();
    ranks_.add(rank);
  }
  decide([&](auto& supervisor, auto& effects) { supervisor.on_rank_ready(rank, status, world_.now(), effects); });
}

void SimReplica::carry_out(const membership::FormGroup& /*effect*/) {
  if (alive()) violate("forms a group beside the one it is in");
  if (ranks_.differed_twice()) violate("forms a group of a rank whose tokens differed twice");
  waits_for_place_ = true;
  const SimOptions& options = world_.options;
  node_.ask_place({id(), address_, numerics_of(options, id()), options.sequences_max(), options.scheduler.max_model_len});
}

void SimReplica::on_placed(const routing::ReplicaView& placed) {
  if (!waits_for_place_) return;
  waits_for_place_ = false;
  const ReplicaGeneration generation = placed.route.generation;
  if (generation.replica != id() || generation <= generation_ || !node_.is_new(generation)) violate("its next epoch is " + std::to_string(generation.epoch.value));
  form(placed);
}

void SimReplica::form(const routing::ReplicaView& placed) {
  moves_.end();
  generation_ = placed.route.generation;
  draining_ = false;
  const bool can = ranks_.lives(0) || !leads(0);
  last_life_.reset();
  if (can) life_ = std::make_unique<SimLife>(world_, network_, book_, static_cast<LifeHost&>(*this), generation_);
  decide([&](auto& supervisor, auto& effects) { supervisor.on_formed(generation_, world_.now(), effects); });
  if (!can) {
    world_.reach(Reached::kFormedWithoutLeader);
    return on_generation_lost({generation_, LossCause::kKilled, {StatusCode::kAborted, "its leader is gone"}, std::nullopt, {0}}, false);
  }
  life_->start();
  ranks_.join(*life_, generation_.epoch);
}

void SimReplica::carry_out(const membership::LeaveGroup& effect) { ranks_.leave(effect.rank); }

void SimReplica::carry_out(const membership::DrainGeneration& /*effect*/) {
  drain_generation(chance_.percent(50) ? 1000 : 1e-6 * static_cast<double>(chance_.us_up_to(20'000)));
}

void SimReplica::carry_out(const membership::EndRank& effect) {
  if (alive() && serving()) violate("ends rank " + std::to_string(effect.rank) + " of a group that serves");
  ranks_.end(effect.rank);
}

void SimReplica::carry_out(const membership::GiveUp& effect) {
  if (World::tells) world_.tell("replica " + std::to_string(id().value) + " is given up: " + effect.why.message());
  // Before it ever served they count however long ago they were.
  if (has_served_)
    std::erase_if(losses_, [&](Instant at) { return seconds_between(at, world_.now()) > world_.options.budget.window_s; });
  const bool spent = losses_.size() > world_.options.budget.restarts;
  if (alive()) violate("is given up, and lives");
  if ((has_served_ || world_.options.ranks_are_processes) && !spent && !ranks_.hangs() && !ranks_.was_late()) violate("is given up for nothing: " + effect.why.message());
  world_.reach(Reached::kProcessesEnded);
  give_up(effect.why);
}

void SimReplica::carry_out(const membership::WakeSupervisorAt& effect) {
  if (effect.at < world_.now()) violate("its supervisor asks to be woken in the past");
  world_.loop.at(effect.at, supervisor_process().awake([this, wake = ++wakes_] {
    if (wake != wakes_ || !held_) return;
    const std::vector<Progress> ranks = ranks_.read();
    decide([&](auto& supervisor, auto& effects) { supervisor.on_timer(world_.now(), ranks, effects); });
  }));
}

void SimReplica::carry_out(const membership::Note& effect) {
  if (World::tells) world_.tell(effect.text);
  if (effect.kind == membership::NoteKind::kServing) world_.reach(Reached::kFormedAgain);
  if (effect.kind == membership::NoteKind::kRankHangs) world_.reach(Reached::kRanksDidNotLeave);
}

// What its life says --------------------------------------------------------------------------------------------------

void SimReplica::at_life(Instant when, EventLoop::Event event) {
  world_.loop.at(when, leader().awake([this, generation = generation_, event = std::move(event)] {
    if (alive() && generation == generation_) event();
  }));
}

void SimReplica::send_deltas(GatewayId gateway, std::vector<step::TokenDelta> deltas) {
  const auto joined = gateways_.find(gateway);
  if (joined == gateways_.end()) return;
  const bool twice = chance_.percent(world_.options.duplicates_percent);
  for (int copy = 0; copy < (twice ? 2 : 1); ++copy)
    joined->second.connection->send(SimConnection::kAcceptor, world_.options.delta_us_max,
                                    [to = joined->second.gateway, from = generation_, deltas] { to->on_deltas(from, deltas); });
  if (chance_.percent(10)) send_report(joined->second, std::nullopt);
}

void SimReplica::send_loss(const routing::ReplicaLoss& loss) {
  for (auto& [id, joined] : gateways_)
    joined.connection->send(SimConnection::kAcceptor, world_.options.delta_us_max,
                            [to = joined.gateway, loss] { to->on_loss(loss); });
}

// In the order in which its life says it; what was said arrives also if that is gone by then.
void SimReplica::tell_supervisor(EventLoop::Event event) {
  to_supervisor_.send(world_.loop, chance_, world_.options.message_us_max, supervisor_process().awake(std::move(event)));
}

void SimReplica::on_life_serving() {
  for (const auto& [gateway, joined] : gateways_) send_all(gateway);
  tell_supervisor([this, view = view()] {
    if (!held_ || view.route.generation != generation_) return;
    node_.say_serving(view);
    has_served_ = true;
    decide([&](auto& supervisor, auto& effects) { supervisor.on_serving(view.route.generation, world_.now(), effects); });
  });
}

void SimReplica::on_life_lost(const routing::ReplicaLoss& loss) {
  if (loss.cause == LossCause::kTokensDiffer) ranks_.count_mismatches(loss.blamed);
  tell_supervisor([this, loss] { on_generation_lost(loss, chance_.percent(world_.options.repeats_percent)); });
}

void SimReplica::on_generation_lost(const routing::ReplicaLoss& loss, bool tell_again) {
  node_.say_lost(loss);
  if (!held_) return;
  if (loss.cause != LossCause::kStopped) losses_.push_back(world_.now());
  const auto tell = [this, loss] {
    decide([&](auto& supervisor, auto& effects) { supervisor.on_generation_lost(loss, {}, world_.now(), effects); });
  };
  tell();
  // The leader says it, and whoever sees its process end.
  if (!tell_again) return;
  later(chance_.us_up_to(world_.options.restart_us_max), [this, loss, tell] {
    node_.say_lost(loss);
    tell();
  });
}

void SimReplica::end_life() {
  last_life_ = std::move(life_);  // it is still in the middle of something
  moves_.end();
  draining_ = false;
  network_.shake();
  if (ending_) end_ranks();
}

// From gateways and other leaders -------------------------------------------------------------------------------------------------------

SimConnection::Hooks SimReplica::accept(const ConnectionPtr& connection) {
  if (connection->hello().role == handshake::Role::kRank) return moves_.accept(connection);
  return {.on_open = [] {}, .on_closed = [this, raw = connection.get()] {
            const auto joined = std::ranges::find_if(gateways_, [&](const auto& known) { return known.second.connection.get() == raw; });
            if (joined == gateways_.end()) return;
            const GatewayId id = joined->first;
            gateways_.erase(joined);
            gateway_gone(id);
          }};
}

// One that comes again before its last connection's end was noticed: what it asked for there ends first.
void SimReplica::on_gateway_joined(const ConnectionPtr& connection, SimGateway& gateway, GatewayId id) {
  const auto before = gateways_.find(id);
  if (before != gateways_.end() && before->second.connection != connection) {
    world_.reach(Reached::kGatewaysJoinedTwice);
    const ConnectionPtr old = before->second.connection;
    gateways_.erase(before);
    old->close(SimConnection::kAcceptor);
    gateway_gone(id);
  }
  gateways_.insert_or_assign(id, JoinedGateway{connection, &gateway});
  if (serving() || draining_) send_all(id);
}

void SimReplica::send_all(GatewayId gateway) {
  const auto joined = gateways_.find(gateway);
  if (joined == gateways_.end()) return;
  auto all = life_->all_news();
  joined->second.misses_news = false;
  send_report(joined->second, std::move(all));
}

void SimReplica::send_news(kv::BlockNews news) {
  const SimOptions& options = world_.options;
  for (auto& [id, joined] : gateways_) {
    joined.misses_news = options.lost_news_percent > 0 && !world_.healed && chance_.percent(options.lost_news_percent);
    if (joined.misses_news) world_.reach(Reached::kNewsLost);
    send_report(joined, joined.misses_news ? std::nullopt : std::optional(news));
  }
}

void SimReplica::send_report(const JoinedGateway& to, std::optional<kv::BlockNews> news) {
  const std::size_t keys_max = world_.options.wire ? 3 : replica::kNewsKeysMax;  // so that there are parts
  std::vector<std::optional<kv::BlockNews>> parts{std::nullopt};
  if (news) {
    parts.clear();
    for (kv::BlockNews& part : kv::cut_news(*news, keys_max)) parts.emplace_back(std::move(part));
  }
  for (auto& part : parts)
    to.connection->send(SimConnection::kAcceptor, world_.options.delta_us_max,
                        [gateway = to.gateway, from = generation_,
                         report = through_wire(world_.options.wire, replica::ReplicaReport{life_->stats(), draining_, std::move(part)})] {
                          gateway->on_report(from, report);
                        });
}

void SimReplica::gateway_gone(GatewayId gateway) {
  network_.shake();
  if (alive()) life_->on_gateway_gone(gateway);
}

void SimReplica::on_submission(ReplicaGeneration to, const step::Submission& submission) {
  if (alive() && to == generation_) life_->on_submission(submission);
}

void SimReplica::on_abort(ReplicaGeneration on, const step::AttemptKey& attempt) {
  if (alive() && on == generation_) life_->on_abort(attempt);
}

// Faults --------------------------------------------------------------------------------------------------------------

void SimReplica::befall(RankFault fault) {
  const bool alone = world_.options.ranks == 1;
  if (alone && fault != RankFault::kFailStep && fault != RankFault::kHang && fault != RankFault::kLate) return;
  if (serving()) life_->plant(fault);
}

void SimReplica::damage_weights() {
  if (world_.options.ranks == 1 || !alive()) return;  // nobody would know
  ranks_.damage(static_cast<std::uint32_t>(chance_.below(world_.options.ranks)));
  network_.shake();
}

void SimReplica::heal() {
  starts_to_fail_ = 0;
  ranks_.fail_joins(0);
  if (alive()) life_->forget_planted();
}

void SimReplica::lose_rank(std::uint32_t rank, LossCause cause) {
  if (!ranks_.lives(rank)) return;
  if (ranks_.hangs(rank) && !world_.options.ranks_are_processes) return;  // such a thread does not end either
  if (leads(rank) && alive()) {
    world_.reach(cause == LossCause::kKilled ? Reached::kLeadersKilled : Reached::kDiedOfThemselves);
  } else {
    world_.reach(cause == LossCause::kKilled ? Reached::kRanksKilled : Reached::kDiedOfThemselves);
  }
  if (!alive()) world_.reach(Reached::kRanksLostBetween);
  ranks_.die(rank, cause, "gone", ranks_.detect_us_max());
}

void SimReplica::on_rank_gone(std::uint32_t rank, const std::string& why, std::int64_t us_max) {
  later(chance_.us_up_to(us_max), [this, rank, why] {
    if (!alive()) losses_.push_back(world_.now());  // at most
    decide([&](auto& supervisor, auto& effects) {
      supervisor.on_rank_lost(rank, {StatusCode::kAborted, why}, world_.now(), effects);
    });
  });
}

// Nobody is left to say what it computed: its node says that the generation is lost, and lets the other ranks return.
void SimReplica::on_leader_gone(LossCause cause, const std::string& why, std::int64_t us_max) {
  std::optional<routing::ReplicaLoss> loss;
  if (life_) loss = {generation_, cause, {StatusCode::kAborted, "its leader is gone: " + why}, std::nullopt, {0}};
  const auto group = life_ ? life_->group() : nullptr;
  if (life_) last_life_ = std::move(life_);
  gateways_.clear();
  draining_ = false;
  leader_.end();
  moves_.end();
  if (ending_) return end_ranks();
  const bool first = chance_.percent(50);
  later(chance_.us_up_to(us_max), [this, loss, group, why, first] {
    if (group) group->abort({StatusCode::kAborted, "the leader is gone"});
    if (loss && first) on_generation_lost(*loss, false);
    if (!loss) losses_.push_back(world_.now());  // at most
    decide([&](auto& supervisor, auto& effects) {
      supervisor.on_rank_lost(0, {StatusCode::kAborted, why}, world_.now(), effects);
    });
    if (loss && !first) on_generation_lost(*loss, false);
  });
}

void SimReplica::on_rank_left(std::uint32_t rank, Epoch epoch) {
  later(0, [this, rank, epoch] {
    decide([&](auto& supervisor, auto& effects) { supervisor.on_rank_left(rank, epoch, world_.now(), effects); });
  });
}

// Checks --------------------------------------------------------------------------------------------------------------

void SimReplica::check() {
  if (!alive()) return;
  life_->check(world_.options.sequences_max());
  if (!life_->stops_by() || leader().sleeps()) return;
  const Instant since = std::max(*life_->stops_by(), network_.disturbed(network_.node_machine(node_.index())));
  if (since.ns + 10 * world_.options.hang_us() * 1000 < world_.now().ns) violate("goes on after the time that it had to drain");
}

void SimReplica::check_drained() {
  if (!held_) return;
  if (!serving()) return violate("still down after everything healed");
  life_->check_drained();
  for (const auto& [rank, start] : told_to_end_) {
    if (ranks_.starts(rank) == start) violate("rank " + std::to_string(rank) + " was told to end, and did not");
  }
  if (ranks_.know_sequences()) violate("a rank still knows sequences after the drain");
  if (ranks_.keep_blocks()) violate("a rank still keeps blocks that it was given after the drain");
}

}  // namespace herd::sim
