#include "tests/sim/sim_replica.h"

#include <algorithm>
#include <utility>
#include <variant>

#include "tests/runtime/preemption_probe.h"
#include "tests/sim/sim_coordinator.h"
#include "tests/sim/through_wire.h"

namespace herd::sim {

using routing::LossCause;
using routing::ReplicaGeneration;

SimReplica::Life::Life(const World& world, ReplicaGeneration generation)
    : core({.generation = generation,
            .scheduler = world.options.scheduler,
            .ranks = world.options.ranks,
            .step_seconds_max = world.options.step_seconds_max,
            .watch = {}},
           scheduler::preempting_every(world.options.preempt_every_steps)),
      plans(world.options.scheduler),
      ranks(world.options.ranks) {
  for (Rank& rank : ranks)
    rank.shard = std::make_unique<ToyShard>(ToyConfig{.block_size = world.options.scheduler.block_size,
                                                      .num_blocks = world.options.scheduler.num_blocks,
                                                      .vocab_size = kVocabSize,
                                                      .poison_per_million = world.options.not_finite_per_million,
                                                      .poison_seed = world.options.seed});
}

SimReplica::SimReplica(World& world, Network& network, SimCoordinator& coordinator, RequestBook& book, std::uint32_t index)
    : world_(world),
      network_(network),
      coordinator_(coordinator),
      book_(book),
      index_(index),
      numerics_("toy-" + std::to_string(index % world.options.numerics_ids)),
      generation_{ReplicaId(index), Epoch(0)} {}

void SimReplica::violate(const std::string& what) {
  world_.violate("replica " + std::to_string(index_) + ", epoch " + std::to_string(generation_.epoch.value) + ": " + what);
}

std::uint32_t SimReplica::sequences_max() const {
  const auto& scheduler = world_.options.scheduler;
  return scheduler.max_num_seqs + scheduler.queue_requests_max;
}

bool SimReplica::idle() const {
  const auto stats = life_->core.stats().scheduler;
  return stats.num_running + stats.num_waiting + stats.plans_outstanding == 0;
}

routing::ReplicaView SimReplica::view() const {
  return {{generation_, "replica-" + std::to_string(index_), numerics_},
          draining_ ? routing::ReplicaState::kDraining : routing::ReplicaState::kServing,
          true,
          sequences_max()};
}

// Lives ---------------------------------------------------------------------------------------------------------------

void SimReplica::make() {
  if (given_up_ || alive()) return;
  if (!coordinator_.answers())
    return world_.loop.after(world_.us_up_to(1000), [this, lives = lives_] { if (lives == lives_) make(); });
  begin(coordinator_.place(*this));
}

void SimReplica::begin(ReplicaGeneration generation) {
  if (generation.replica != generation_.replica || generation.epoch <= generation_.epoch)
    violate("its next epoch is " + std::to_string(generation.epoch.value));
  generation_ = generation;
  ++lives_;
  draining_ = false;
  life_ = std::make_unique<Life>(world_, generation);
  network_.on_replica_life(index_);
  for (std::uint32_t rank = 0; rank < world_.options.ranks; ++rank)
    later(world_.us_up_to(world_.options.restart_us_max), [this, rank] { make_rank(rank); });
}

void SimReplica::make_rank(std::uint32_t rank) {
  Status status;
  if (starts_to_fail_ > 0) {
    --starts_to_fail_;
    life_->doomed = true;
    status = {StatusCode::kMissing, "not made"};
  }
  Effects effects;
  life_->core.on_rank_joined(rank, status, effects);
  carry_out(effects);
}

// The coordinator is a new one: what serves is adopted, everything else is made anew.
void SimReplica::on_coordinator_back(membership::CoordinatorCore& core, membership::CoordinatorEffects& effects) {
  if (given_up_) return;
  if (serving()) {
    world_.reach(Reached::kAdopted);
    return core.on_serving(view(), effects);
  }
  const auto address = view().route.address;
  begin(core.place(generation_.replica, address, numerics_, sequences_max(), true, effects));
}

void SimReplica::drain() {
  if (!serving() || draining_) return;
  draining_ = true;
  network_.shake();
  network_.notify([generation = generation_](auto& core, auto& effects) { core.on_draining(generation, effects); });
}

void SimReplica::stop() {
  if (!alive()) return;
  life_->doomed = true;
  Effects effects;
  life_->core.on_stop(world_.now(), effects);
  carry_out(effects);
}

void SimReplica::give_up() {
  given_up_ = true;
  network_.shake();
  if (alive()) {
    kill(LossCause::kKilled);
  } else {
    ++lives_;  // nobody makes it any more
  }
  world_.reach(Reached::kGivenUp);
  // The loss has been told by then.
  world_.loop.after(2 * world_.options.detect_us_max + 2 * world_.options.message_us_max, [this] {
    network_.notify([this](auto& core, auto& effects) {
      core.on_lost({generation_, LossCause::kKilled, {StatusCode::kAborted, "given up"}, std::nullopt}, effects);
      core.on_given_up(generation_.replica, effects);
    });
  });
}

// The process is gone. Results that were on their way may reach the next one.
void SimReplica::end_life() {
  life_.reset();
  ++lives_;
  draining_ = false;
  network_.shake();
}

void SimReplica::restart() {
  if (given_up_) return;
  world_.loop.after(world_.us_up_to(world_.options.restart_us_max), [this, lives = lives_] { if (lives == lives_) make(); });
}

EventLoop::Event SimReplica::for_this_life(EventLoop::Event event) {
  return [this, lives = lives_, event = std::move(event)] { if (lives == lives_ && alive()) event(); };
}

void SimReplica::later(std::int64_t us, EventLoop::Event event) { world_.loop.after(us, for_this_life(std::move(event))); }

// From gateways -------------------------------------------------------------------------------------------------------

void SimReplica::on_submission(ReplicaGeneration to, const step::Submission& submission) {
  if (!alive() || to != generation_) return;
  const SimChoice* choice = book_.choice_of(submission.sampling.seed);
  if (choice == nullptr) return violate("a submission that nobody made");
  life_->attempts[submission.sampling.seed] = submission.key();
  life_->submitted[submission.key()] = submission.sampling.seed;
  life_->ended.erase(submission.sampling.seed);
  if (submission.alone_until > 0) world_.reach(Reached::kSuspectsAlone);
  Effects effects;
  life_->core.on_submission(submission, world_.now(), effects);
  carry_out(effects);
}

void SimReplica::on_abort(ReplicaGeneration on, const step::AttemptKey& attempt) {
  if (!alive() || on != generation_) return;
  for (const auto& [seed, key] : life_->attempts) {
    if (key == attempt) life_->ended.insert(seed);
  }
  Effects effects;
  life_->core.on_abort(attempt, world_.now(), effects);
  carry_out(effects);
}

void SimReplica::on_gateway_gone(GatewayId gateway) {
  if (!alive()) return;
  for (const auto& [seed, key] : life_->attempts) {
    if (key.gateway == gateway) life_->ended.insert(seed);
  }
  Effects effects;
  life_->core.on_gateway_gone(gateway, world_.now(), effects);
  for (const auto& effect : effects) {
    const auto* deltas = std::get_if<replica::SendDeltas>(&effect);
    if (deltas != nullptr && deltas->gateway == gateway) violate("a gateway that is gone is told of its sequences");
  }
  carry_out(effects);
}

// Faults --------------------------------------------------------------------------------------------------------------

void SimReplica::spoil(std::uint32_t Life::* what) {
  if (!serving()) return;
  ++((*life_).*what);
  life_->doomed = true;
}

void SimReplica::heal() {
  starts_to_fail_ = 0;
  if (!alive()) return;
  // A hash that was spoiled, or a rank that is silent already, will still end it.
  const bool waits = life_->steps_to_fail + life_->hashes_to_spoil + life_->ranks_to_hang > 0;
  life_->steps_to_fail = life_->hashes_to_spoil = life_->ranks_to_hang = 0;
  const bool silent = std::ranges::any_of(life_->ranks, &Rank::silent);
  const bool spoiled = std::ranges::any_of(life_->steps_out, &StepOut::spoiled);
  if (waits && !silent && !spoiled) life_->doomed = false;
}

// Its node notices that the process is gone, and may have made the next one before everybody heard.
void SimReplica::kill(LossCause cause) {
  if (!alive()) return;
  world_.reach(cause == LossCause::kKilled ? Reached::kReplicasKilled : Reached::kDiedOfThemselves);
  const routing::ReplicaLoss loss{generation_, cause, {StatusCode::kAborted, "its process is gone"}, std::nullopt};
  end_life();
  world_.loop.after(world_.us_up_to(world_.options.detect_us_max), [this, loss] {
    if (alive()) world_.reach(Reached::kRestartedUnheard);
    network_.notify([loss](auto& core, auto& effects) { core.on_lost(loss, effects); });
  });
  restart();
}

void SimReplica::lose_rank(LossCause cause) {
  if (!alive()) return;
  const auto rank = static_cast<std::uint32_t>(world_.below(world_.options.ranks));
  if (life_->ranks[rank].silent) return;
  life_->ranks[rank].silent = true;
  life_->doomed = true;
  network_.shake();
  world_.reach(cause == LossCause::kKilled ? Reached::kRanksKilled : Reached::kDiedOfThemselves);
  later(world_.us_up_to(world_.options.detect_us_max), [this, rank, cause] {
    Effects effects;
    life_->core.on_rank_lost(rank, cause, {StatusCode::kAborted, "rank " + std::to_string(rank) + " is gone"}, effects);
    carry_out(effects);
  });
}

void SimReplica::repeat_old_result() {
  if (!alive() || old_results_.empty()) return;
  const step::StepResult old = old_results_[world_.below(old_results_.size())];
  if (old.epoch == generation_.epoch) return;
  world_.reach(Reached::kStaleResults);
  const std::uint64_t finished = life_->steps_finished;
  Effects effects;
  life_->core.on_result(old, world_.now(), effects);
  carry_out(effects);
  if (!alive() || life_->steps_finished != finished) violate("a result of an earlier epoch counted");
}

// Effects -------------------------------------------------------------------------------------------------------------

void SimReplica::carry_out(Effects& effects) {
  const std::uint64_t lives = lives_;
  for (replica::ReplicaEffect& effect : effects) {
    if (lives != lives_) return violate("effects after the last one");
    std::visit([this](auto& what) { carry_out(what); }, effect);
  }
}

void SimReplica::carry_out(replica::ExecuteOnRanks& effect) {
  if (!life_->core.serving()) violate("a plan of a replica that does not serve");
  life_->plans.on_plan(effect.plan);
  if (effect.plan.epoch != generation_.epoch) violate("a plan of another epoch");
  const step::StepPlan plan = through_wire(world_.options.wire, std::move(effect.plan));
  for (const step::SequenceStart& start : plan.started) {
    SimChoice* choice = book_.choice_of(start.sampling.seed);
    if (choice == nullptr) return violate("a plan computes what nobody asked for");
    life_->known[start.sequence] = choice;
  }
  for (const step::SequenceSlice& slice : plan.slices) {
    const auto choice = life_->known.find(slice.sequence);
    if (choice == life_->known.end()) return violate("a slice of a sequence that was never started");
    if (life_->ended.contains(choice->second->asked.sampling.seed)) violate("a plan computes what was aborted before");
  }
  life_->steps_out.push_back({plan, 0, false});
  for (std::uint32_t rank = 0; rank < world_.options.ranks; ++rank)
    life_->ranks[rank].plans.send(world_.loop, world_.random, world_.options.message_us_max,
                                  for_this_life([this, rank, plan] { execute(rank, plan); }));
}

void SimReplica::carry_out(replica::SendDeltas& effect) {
  for (const step::TokenDelta& delta : effect.deltas) {
    if (delta.gateway != effect.gateway) violate("a delta goes to another gateway than asked for it");
    if (!life_->submitted.contains(delta.key())) violate("a delta of an attempt that was never submitted");
  }
  network_.deltas(generation_, effect.gateway, std::move(effect.deltas));
}

void SimReplica::carry_out(replica::SayServing& /*effect*/) {
  if (!life_->core.serving()) violate("says that it serves, and does not");
  network_.shake();
  network_.notify([view = view()](auto& core, auto& effects) { core.on_serving(view, effects); });
}

void SimReplica::carry_out(replica::SayLost& effect) {
  check_loss(effect.loss);
  network_.loss_to_gateways(effect.loss);
  network_.notify([loss = effect.loss](auto& core, auto& effects) { core.on_lost(loss, effects); });
}

void SimReplica::carry_out(replica::AbortGroup& /*effect*/) { life_->group_aborted = true; }

void SimReplica::carry_out(replica::EndGeneration& /*effect*/) {
  if (!life_->core.ended()) violate("ends its ranks, but not itself");
  end_life();
  restart();
}

void SimReplica::carry_out(replica::StepFinished& effect) {
  if (effect.step_s < 0.0) violate("a step that ended before it began");
  if (++life_->steps_finished > life_->steps_answered) violate("a step counted before all ranks had done it");
}

void SimReplica::carry_out(replica::WakeReplicaAt& effect) {
  if (effect.at < world_.now()) violate("asks to be woken in the past");
  world_.loop.at(effect.at, for_this_life([this, wake = ++life_->wakes] {
    if (wake != life_->wakes) return;
    Effects effects;
    life_->core.on_timer(world_.now(), {}, effects);
    carry_out(effects);
  }));
}

void SimReplica::check_loss(const routing::ReplicaLoss& loss) {
  if (loss.why.code() == StatusCode::kMissing) world_.reach(Reached::kFailedStarts);
  if (World::tells) world_.tell("replica " + std::to_string(index_) + " says that it is lost: " + loss.why.message());
  if (loss.replica != generation_) violate("says that another generation is lost");
  if (loss.why.ok()) violate("is lost for no reason");
  if (!life_->doomed) violate("is lost, but nothing ailed it: " + loss.why.message());
  if (!life_->group_aborted && loss.cause != LossCause::kStopped) violate("is lost before its ranks could return");
  if (loss.cause == LossCause::kOverdue) world_.reach(Reached::kOverdue);
  if (loss.cause == LossCause::kTokensDiffer) world_.reach(Reached::kTokensDiffer);
  if (loss.cause == LossCause::kStopped) world_.reach(Reached::kStopped);
  if (loss.cause != LossCause::kDiedOfItself || !loss.in_step) return;
  std::set<step::AttemptKey> computed;
  for (const StepOut& step : life_->steps_out) {
    for (const step::SequenceSlice& slice : step.plan.slices) {
      const SimChoice& choice = *life_->known.at(slice.sequence);
      for (const auto& [key, seed] : life_->submitted) {
        if (seed == choice.asked.sampling.seed) computed.insert(key);
      }
    }
  }
  for (const routing::AttemptInStep& one : *loss.in_step) {
    if (!computed.contains(one.attempt)) violate("blames a sequence that was in no step");
  }
}

// Ranks ---------------------------------------------------------------------------------------------------------------

bool SimReplica::dies_of(std::uint32_t rank, const step::StepPlan& plan) {
  for (const step::SequenceSlice& slice : plan.slices) {
    SimChoice& choice = *life_->known.at(slice.sequence);
    if (choice.fatal_from == 0 || slice.position + slice.rows <= choice.fatal_from) continue;
    if (!life_->fatal_step) {
      choice.killed.insert(generation_);
      world_.reach(Reached::kPoisonDeaths);
    }
    if (World::tells)
      world_.tell("replica " + std::to_string(index_) + " computes position " + std::to_string(choice.fatal_from) +
                  " of poison " + std::to_string(choice.asked.sampling.seed & 0xFFFFF) + " in step " +
                  std::to_string(plan.step.value));
    life_->fatal_step = plan.step;
    life_->ranks[rank].silent = true;
    life_->doomed = true;
    network_.shake();
    later(world_.us_up_to(world_.options.message_us_max), [this, rank] {
      Effects effects;
      life_->core.on_rank_lost(rank, LossCause::kDiedOfItself, {StatusCode::kAborted, "a signal of its own"}, effects);
      carry_out(effects);
    });
    return true;
  }
  return false;
}

void SimReplica::execute(std::uint32_t rank, const step::StepPlan& plan) {
  Rank& at = life_->ranks[rank];
  if (at.silent || dies_of(rank, plan)) return;
  if (life_->ranks_to_hang > 0) {
    --life_->ranks_to_hang;
    at.silent = true;
    network_.shake();
    return;
  }
  step::StepResult result = at.shard->execute(plan);
  if (at.shard->violation()) violate("rank " + std::to_string(rank) + ": " + *at.shard->violation());
  result.rank = rank;
  for (const step::SequenceSlice& slice : plan.slices) {
    if (world_.options.not_finite_per_million > 0 && at.shard->was_poisoned(slice.sequence))
      life_->known.at(slice.sequence)->not_finite = true;
  }
  const auto out = std::ranges::find(life_->steps_out, plan.step, [](const StepOut& step) { return step.plan.step; });
  if (rank != 0) {
    result.sampled.clear();
    result.outputs.clear();
    result.prompt_logprobs.clear();
  }
  if (life_->steps_to_fail > 0) {
    --life_->steps_to_fail;
    world_.reach(Reached::kFailedSteps);
    result.sampled.clear();
    result.outputs.clear();
    result.prompt_logprobs.clear();
    result.status = {StatusCode::kInternal, "injected"};
    if (out != life_->steps_out.end()) out->spoiled = true;
  } else if (rank != 0 && life_->hashes_to_spoil > 0) {
    --life_->hashes_to_spoil;
    result.token_hash ^= 1;
    if (out != life_->steps_out.end()) out->spoiled = true;
  }
  answer(rank, through_wire(world_.options.wire, std::move(result)));
}

void SimReplica::answer(std::uint32_t rank, step::StepResult result) {
  if (world_.options.stale_results > 0 && old_results_.size() < 64) old_results_.push_back(result);
  life_->ranks[rank].results.send(world_.loop, world_.random, world_.options.message_us_max + world_.options.step_us_max,
                                  for_this_life([this, result = std::move(result)] { on_result(result); }));
}

void SimReplica::on_result(const step::StepResult& result) {
  for (StepOut& step : life_->steps_out) step.answers += step.plan.step == result.step ? 1 : 0;
  while (!life_->steps_out.empty() && life_->steps_out.front().answers == world_.options.ranks &&
         !life_->steps_out.front().spoiled) {
    life_->steps_out.pop_front();
    life_->plans.on_result();
    ++life_->steps_answered;
  }
  Effects effects;
  life_->core.on_result(result, world_.now(), effects);
  carry_out(effects);
  if (alive() && !life_->core.ended() && life_->steps_finished != life_->steps_answered)
    violate("a step that all ranks had done did not count");
}

// Checks --------------------------------------------------------------------------------------------------------------

void SimReplica::check() {
  if (!alive()) return;
  life_->core.check_integrity();
  if (life_->plans.violation()) violate(*life_->plans.violation());
  const auto stats = life_->core.stats().scheduler;
  const auto& config = world_.options.scheduler;
  if (stats.num_running > config.max_num_seqs) violate("runs more than it has room for");
  if (stats.num_waiting > sequences_max()) violate("keeps more waiting than it has room for");
}

void SimReplica::check_drained() {
  if (given_up_) return;
  if (!serving()) return violate("still down after everything healed");
  const auto stats = life_->core.stats().scheduler;
  world_.reach(Reached::kPreemptions, stats.preemptions);
  world_.reach(Reached::kHeldBack, stats.held_back);
  if (stats.num_running + stats.num_waiting + stats.num_draining + stats.plans_outstanding > 0) violate("is not idle");
  if (stats.blocks.num_held != 0) violate("holds blocks after the drain");
  for (const Rank& rank : life_->ranks) {
    if (rank.shard->num_sequences() != 0) violate("a rank still knows sequences after the drain");
  }
}

}  // namespace herd::sim
