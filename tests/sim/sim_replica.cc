#include "tests/sim/sim_replica.h"

#include <algorithm>
#include <utility>
#include <variant>

#include "tests/sim/sim_coordinator.h"

namespace herd::sim {

using routing::LossCause;
using routing::ReplicaGeneration;

SimReplica::SimReplica(World& world, Network& network, SimCoordinator& coordinator, RequestBook& book, std::uint32_t index)
    : world_(world),
      network_(network),
      coordinator_(coordinator),
      book_(book),
      index_(index),
      numerics_("toy-" + std::to_string(index % world.options.numerics_ids)),
      generation_{ReplicaId(index), Epoch(0)},
      ranks_(world, network, static_cast<RanksHost&>(*this)) {}

void SimReplica::violate(const std::string& what) {
  world_.violate("replica " + std::to_string(index_) + ", epoch " + std::to_string(generation_.epoch.value) + ": " + what);
}

std::uint32_t SimReplica::sequences_max() const {
  const auto& scheduler = world_.options.scheduler;
  return scheduler.max_num_seqs + scheduler.queue_requests_max;
}

bool SimReplica::whole() const {
  return serving() && !draining_ && !life_->doomed() && paused_until_ <= world_.now() && ranks_.whole();
}

routing::ReplicaView SimReplica::view() const {
  return {{generation_, "replica-" + std::to_string(index_), numerics_},
          draining_ ? routing::ReplicaState::kDraining : routing::ReplicaState::kServing,
          true,
          sequences_max()};
}

EventLoop::Event SimReplica::awake(EventLoop::Event event) {
  return [this, process = processes_, event = std::move(event)] {
    if (process != processes_) return;
    if (world_.now() < paused_until_) return asleep_.push_back(awake(event));
    event();
  };
}

// What came during the pause, in the order in which it came; a pause that was made longer ends once.
void SimReplica::wake_up() {
  network_.shake();
  while (!asleep_.empty() && world_.now() >= paused_until_) {
    const EventLoop::Event event = std::move(asleep_.front());
    asleep_.pop_front();
    event();
  }
}

// Processes -----------------------------------------------------------------------------------------------------------

void SimReplica::start() {
  if (given_up_) return;
  const SimOptions& options = world_.options;
  supervisor_ = std::make_unique<membership::GroupSupervisor>(membership::GroupSupervisorConfig{
      .replica = ReplicaId(index_),
      .ranks = options.ranks,
      .ranks_can_be_ended = options.ranks_are_processes,
      .budget = options.budget,
      .watch = options.watch()});
  losses_.clear();
  has_served_ = false;
  decide([&](auto& supervisor, auto& effects) { supervisor.on_start(world_.now(), effects); });
}

void SimReplica::restart() {
  end_process();
  later(world_.us_up_to(world_.options.restart_us_max), [this] { start(); });
}

void SimReplica::end_process() {
  ++processes_;
  life_.reset();
  ranks_.renew();
  draining_ = false;
  network_.shake();
}

// The coordinator is a new one: what serves is adopted; for everything else it names the next generation.
void SimReplica::on_coordinator_back(membership::CoordinatorCore& core, membership::CoordinatorEffects& effects) {
  if (given_up_) return;
  if (serving()) {
    world_.reach(Reached::kAdopted);
    return core.on_serving(view(), effects);
  }
  reserved_ = core.place({generation_.replica, view().route.address, numerics_, sequences_max()}, true, effects);
  if (alive() && !life_->has_served()) life_->stop();  // under a name that nobody knows
}

void SimReplica::drain() {
  if (!serving() || draining_) return;
  draining_ = true;
  network_.shake();
  network_.notify([generation = generation_](auto& core, auto& effects) { core.on_draining(generation, effects); });
}

void SimReplica::stop() {
  if (alive()) life_->stop();
}

void SimReplica::give_up() {
  given_up_ = true;
  network_.shake();
  if (supervisor_) decide([](auto& supervisor, auto& effects) { supervisor.on_stop(effects); });
  if (alive()) kill(LossCause::kKilled);
  end_process();
  world_.reach(Reached::kGivenUp);
  // The loss has been told by then.
  world_.loop.after(2 * world_.options.detect_us_max + 2 * world_.options.message_us_max, [this] {
    network_.notify([this](auto& core, auto& effects) {
      core.on_lost({generation_, LossCause::kKilled, {StatusCode::kAborted, "given up"}, std::nullopt}, effects);
      core.on_given_up(generation_.replica, effects);
    });
  });
}

// What its supervisor says --------------------------------------------------------------------------------------------

void SimReplica::carry_out(const membership::StartRank& effect) {
  if (ranks_.lives(effect.rank)) violate("starts rank " + std::to_string(effect.rank) + ", which lives");
  const std::uint64_t start = ranks_.begin_start(effect.rank, effect.read_weights_again);
  later(world_.us_up_to(world_.options.restart_us_max), [this, rank = effect.rank, start] {
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
    ranks_.add(rank);
  }
  decide([&](auto& supervisor, auto& effects) { supervisor.on_rank_ready(rank, status, world_.now(), effects); });
}

void SimReplica::carry_out(const membership::FormGroup& /*effect*/) {
  if (alive()) violate("forms a group beside the one it is in");
  if (ranks_.differed_twice()) violate("forms a group of a rank whose tokens differed twice");
  ++forms_;
  begin();
}

void SimReplica::begin() {
  if (!reserved_ && !coordinator_.answers())
    return later(world_.us_up_to(1000), [this, form = forms_] { if (form == forms_) begin(); });
  const ReplicaGeneration generation = reserved_ ? *std::exchange(reserved_, std::nullopt) : coordinator_.place(*this);
  if (generation.replica != generation_.replica || generation.epoch <= generation_.epoch)
    violate("its next epoch is " + std::to_string(generation.epoch.value));
  generation_ = generation;
  draining_ = false;
  last_life_.reset();
  life_ = std::make_unique<SimLife>(world_, network_, book_, static_cast<LifeHost&>(*this), generation);
  network_.on_replica_life(index_);
  decide([&](auto& supervisor, auto& effects) { supervisor.on_formed(generation_, world_.now(), effects); });
  life_->start();
  ranks_.join(*life_, generation.epoch);
}

void SimReplica::carry_out(const membership::LeaveGroup& effect) { ranks_.leave(effect.rank); }

void SimReplica::carry_out(const membership::EndRank& effect) { ranks_.end(effect.rank); }

void SimReplica::carry_out(const membership::GiveUp& effect) {
  if (World::tells) world_.tell("replica " + std::to_string(index_) + " is given up: " + effect.why.message());
  std::erase_if(losses_, [&](Instant at) { return seconds_between(at, world_.now()) > world_.options.budget.window_s; });
  const bool spent = losses_.size() > world_.options.budget.restarts;
  if (alive()) violate("is given up, and lives");
  if (has_served_ && !spent && !ranks_.hangs() && !ranks_.was_late()) violate("is given up for nothing: " + effect.why.message());
  world_.reach(Reached::kProcessesEnded);
  message([this] { restart(); });
}

void SimReplica::carry_out(const membership::WakeSupervisorAt& effect) {
  if (effect.at < world_.now()) violate("its supervisor asks to be woken in the past");
  world_.loop.at(effect.at, awake([this, wake = ++wakes_] {
    if (wake != wakes_) return;
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
  world_.loop.at(when, awake([this, generation = generation_, event = std::move(event)] {
    if (alive() && generation == generation_) event();
  }));
}

// In the order in which its life says it.
void SimReplica::tell_supervisor(EventLoop::Event event) {
  to_supervisor_.send(world_.loop, world_.random, world_.options.message_us_max, awake(std::move(event)));
}

void SimReplica::on_life_serving() {
  network_.notify([view = view()](auto& core, auto& effects) { core.on_serving(view, effects); });
  tell_supervisor([this, generation = generation_] {
    has_served_ = true;
    decide([&](auto& supervisor, auto& effects) { supervisor.on_serving(generation, world_.now(), effects); });
  });
}

void SimReplica::on_life_lost(const routing::ReplicaLoss& loss) {
  if (loss.cause == LossCause::kTokensDiffer) ranks_.count_mismatches(loss.blamed);
  const auto tell = [this, loss] {
    decide([&](auto& supervisor, auto& effects) { supervisor.on_generation_lost(loss, {}, world_.now(), effects); });
  };
  tell_supervisor([this, loss, tell] {
    if (loss.cause != LossCause::kStopped) losses_.push_back(world_.now());
    tell();
    if (world_.percent(world_.options.repeats_percent)) later(world_.us_up_to(world_.options.restart_us_max), tell);
  });
}

void SimReplica::end_life() {
  last_life_ = std::move(life_);  // it is still in the middle of something
  draining_ = false;
  network_.shake();
}

// From gateways -------------------------------------------------------------------------------------------------------

void SimReplica::on_submission(ReplicaGeneration to, const step::Submission& submission) {
  awake([this, to, submission] { if (alive() && to == generation_) life_->on_submission(submission); })();
}

void SimReplica::on_abort(ReplicaGeneration on, const step::AttemptKey& attempt) {
  awake([this, on, attempt] { if (alive() && on == generation_) life_->on_abort(attempt); })();
}

void SimReplica::on_gateway_gone(GatewayId gateway) {
  awake([this, gateway, at = generation_] { if (alive() && at == generation_) life_->on_gateway_gone(gateway); })();
}

// Faults --------------------------------------------------------------------------------------------------------------

void SimReplica::befall(RankFault fault) {
  const bool alone = world_.options.ranks == 1;
  if (alone && fault != RankFault::kFailStep && fault != RankFault::kHang && fault != RankFault::kLate) return;
  if (serving()) life_->plant(fault);
}

void SimReplica::damage_weights() {
  if (world_.options.ranks == 1 || !alive()) return;  // nobody would know
  ranks_.damage(static_cast<std::uint32_t>(world_.below(world_.options.ranks)));
  network_.shake();
}

void SimReplica::pause(std::int64_t us) {
  world_.reach(Reached::kPauses);
  // Between two instants of everything else, so that what comes meanwhile is done before what comes afterwards.
  const Instant until{world_.now().ns / 1000 * 1000 + us * 1000 + 500};
  paused_until_ = std::max(paused_until_, until);
  ++pauses_;
  network_.shake();
  world_.loop.at(paused_until_, [this] { wake_up(); });
}

void SimReplica::heal() {
  starts_to_fail_ = 0;
  ranks_.fail_joins(0);
  if (alive()) life_->forget_planted();
}

// Its node notices that the process is gone, and may have made the next one before everybody heard.
void SimReplica::kill(LossCause cause) {
  if (!alive()) return;
  world_.reach(cause == LossCause::kKilled ? Reached::kReplicasKilled : Reached::kDiedOfThemselves);
  const routing::ReplicaLoss loss{generation_, cause, {StatusCode::kAborted, "its process is gone"}, std::nullopt, {}};
  end_life();
  if (world_.options.ranks_are_processes) {
    kill_ranks(loss);
  } else {
    restart();
  }
  world_.loop.after(world_.us_up_to(world_.options.detect_us_max), [this, loss] {
    if (alive()) world_.reach(Reached::kRestartedUnheard);
    network_.notify([loss](auto& core, auto& effects) { core.on_lost(loss, effects); });
  });
}

void SimReplica::kill_ranks(const routing::ReplicaLoss& loss) {
  for (std::uint32_t rank = 0; rank < world_.options.ranks; ++rank) {
    if (ranks_.take_away(rank)) on_rank_gone(rank, "its process is gone", world_.options.detect_us_max);
  }
  later(world_.us_up_to(world_.options.detect_us_max), [this, loss] {
    losses_.push_back(world_.now());
    decide([&](auto& supervisor, auto& effects) { supervisor.on_generation_lost(loss, {}, world_.now(), effects); });
  });
}

void SimReplica::lose_rank(LossCause cause) {
  const auto rank = static_cast<std::uint32_t>(world_.below(world_.options.ranks));
  if (!ranks_.lives(rank)) return;
  if (ranks_.hangs(rank) && !world_.options.ranks_are_processes) return;  // such a thread does not end either
  world_.reach(cause == LossCause::kKilled ? Reached::kRanksKilled : Reached::kDiedOfThemselves);
  if (!alive()) world_.reach(Reached::kRanksLostBetween);
  ranks_.die(rank, cause, "gone", ranks_.detect_us_max());
}

void SimReplica::on_rank_gone(std::uint32_t rank, const std::string& why, std::int64_t us_max) {
  later(world_.us_up_to(us_max), [this, rank, why] {
    if (!alive()) losses_.push_back(world_.now());  // at most
    decide([&](auto& supervisor, auto& effects) {
      supervisor.on_rank_lost(rank, {StatusCode::kAborted, why}, world_.now(), effects);
    });
  });
}

void SimReplica::on_rank_left(std::uint32_t rank, Epoch epoch) {
  decide([&](auto& supervisor, auto& effects) { supervisor.on_rank_left(rank, epoch, world_.now(), effects); });
}

// Checks --------------------------------------------------------------------------------------------------------------

void SimReplica::check() {
  if (alive()) life_->check(sequences_max());
}

void SimReplica::check_drained() {
  if (given_up_) return;
  if (!serving()) return violate("still down after everything healed");
  life_->check_drained();
  if (ranks_.know_sequences()) violate("a rank still knows sequences after the drain");
}

}  // namespace herd::sim
