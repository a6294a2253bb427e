#include "tests/sim/sim_life.h"

#include <algorithm>
#include <utility>
#include <variant>

#include "tests/runtime/preemption_probe.h"
#include "tests/sim/through_wire.h"

namespace herd::sim {

using routing::LossCause;

SimLife::SimLife(World& world, Network& network, RequestBook& book, LifeHost& host, routing::ReplicaGeneration generation)
    : world_(world),
      network_(network),
      book_(book),
      host_(host),
      generation_(generation),
      core_({.generation = generation,
             .scheduler = world.options.scheduler,
             .ranks = world.options.ranks,
             .step_seconds_max = world.options.step_seconds_max,
             .watch = world.options.watch(),
             .cost = step_cost(world.options),
             .moves = move_config(world.options, generation.replica)},
            scheduler::preempting_every(world.options.preempt_every_steps)),
      plans_(world.options.scheduler),
      group_(std::make_shared<SimCollective>(world.options.ranks)) {}

void SimLife::violate(const std::string& what) {
  world_.violate("replica " + std::to_string(generation_.replica.value) + ", epoch " + std::to_string(generation_.epoch.value) +
                 ": " + what);
}

bool SimLife::idle() const {
  const auto stats = core_.stats().scheduler;
  return stats.num_running + stats.num_waiting + stats.plans_outstanding == 0;
}

// Events --------------------------------------------------------------------------------------------------------------

void SimLife::start() {
  decide([&](auto& core, Effects& effects) { core.on_start(world_.now(), effects); });
}

void SimLife::on_joined(std::uint32_t rank, const Status& status) {
  decide([&](auto& core, Effects& effects) { core.on_rank_joined(rank, status, effects); });
}

void SimLife::on_rank_lost(std::uint32_t rank, LossCause cause, const std::string& why) {
  decide([&](auto& core, Effects& effects) { core.on_rank_lost(rank, cause, {StatusCode::kAborted, why}, effects); });
}

void SimLife::drain(double drain_s) {
  doomed_ = true;
  const bool stops_already = may_stop_from_ && *may_stop_from_ <= world_.now();  // then a later word gives no time back
  stops_by_ = Instant{world_.now().ns + static_cast<std::int64_t>(drain_s * 1e9)};
  if (!stops_already) may_stop_from_ = stops_by_;
  decide([&](auto& core, Effects& effects) { core.on_drain(drain_s, world_.now(), effects); });
}

void SimLife::on_result(const step::StepResult& result) {
  const bool ours = result.epoch == generation_.epoch && result.status.ok();
  const std::uint64_t finished = steps_finished_;
  for (StepOut& step : steps_out_) {
    if (!ours || step.plan.step != result.step) continue;
    ++step.answers;
    check_damaged(step.plan, result);
    step.damaged.insert(step.damaged.end(), result.damaged.begin(), result.damaged.end());
  }
  while (!steps_out_.empty() && steps_out_.front().answers == world_.options.ranks && !steps_out_.front().spoiled) {
    if (late_step_ == steps_out_.front().plan.step) {
      late_step_.reset();
      network_.shake();
    }
    plans_.on_result(steps_out_.front().damaged);
    steps_out_.pop_front();
    ++steps_answered_;
  }
  decide([&](auto& core, Effects& effects) { core.on_result(result, world_.now(), effects); });
  // One that drains may see at any word that its time is over.
  const bool ended_by_it = over_ && !stops_by_;
  if (result.epoch != generation_.epoch && (ended_by_it || steps_finished_ != finished)) violate("a result of another epoch counted");
  if (!over_ && !core_.ended() && steps_finished_ != steps_answered_) violate("a step that all ranks had done did not count");
}

void SimLife::on_submission(const step::Submission& submission) {
  const SimChoice* choice = book_.choice_of(submission.sampling.seed);
  if (choice == nullptr) return violate("a submission that nobody made");
  attempts_[submission.sampling.seed] = submission.key();
  submitted_[submission.key()] = submission.sampling.seed;
  ended_.erase(submission.sampling.seed);
  if (submission.alone_until > 0) world_.reach(Reached::kSuspectsAlone);
  const bool was_open = open_.contains(submission.key());
  open(submission.key());
  decide([&](auto& core, Effects& effects) { core.on_submission(submission, world_.now(), effects); });
  if (stops_by_ && !was_open && open_.contains(submission.key())) violate("takes a sequence while it drains");
}

// A client that asks another gateway for the same may be heard before its first one is known to be gone.
bool SimLife::is_open(std::uint64_t seed) const {
  return std::ranges::any_of(open_, [&](const auto& attempt) { return submitted_.at(attempt) == seed; });
}

// A newer attempt of a sequence ends the older one; an older one counts for nothing.
void SimLife::open(const step::AttemptKey& attempt) {
  const auto same = [&](const step::AttemptKey& other) { return other.gateway == attempt.gateway && other.sequence == attempt.sequence; };
  if (std::ranges::any_of(open_, [&](const auto& other) { return same(other) && other.attempt > attempt.attempt; })) return;
  std::erase_if(open_, same);
  open_.insert(attempt);
}

void SimLife::on_abort(const step::AttemptKey& attempt) {
  for (const auto& [seed, key] : attempts_) {
    if (key == attempt) ended_.insert(seed);
  }
  open_.erase(attempt);
  decide_for(Reached::kMovesNotNeeded, [&](auto& core, Effects& effects) { core.on_abort(attempt, world_.now(), effects); });
}

void SimLife::on_gateway_gone(GatewayId gateway) {
  for (const auto& [seed, key] : attempts_) {
    if (key.gateway == gateway) ended_.insert(seed);
  }
  std::erase_if(open_, [gateway](const auto& attempt) { return attempt.gateway == gateway; });
  decide_for(Reached::kMovesNotNeeded, [&](auto& core, Effects& effects) {
    core.on_gateway_gone(gateway, world_.now(), effects);
    for (const auto& effect : effects) {
      const auto* deltas = std::get_if<replica::SendDeltas>(&effect);
      if (deltas != nullptr && deltas->gateway == gateway) violate("a gateway that is gone is told of its sequences");
    }
  });
}

void SimLife::on_move(const replica::ToTaker& message, bool spoiled) {
  if (const auto* found = std::get_if<replica::MoveFound>(&message); found != nullptr && asked_[found->move] > found->tokens.size())
    asked_.erase(found->move);
  if (std::holds_alternative<replica::MoveOver>(message)) world_.reach(Reached::kMovesEndedByHolders);
  spoiled_block_ = spoiled;
  decide_for(Reached::kMovesRefused, [&](auto& core, Effects& effects) { core.on_move(replica::FromHolder{message}, world_.now(), effects); });
  spoiled_block_ = false;
}

void SimLife::on_move(replica::TakerId taker, const replica::ToHolder& message) {
  decide([&](auto& core, Effects& effects) { core.on_move(replica::FromTaker{taker, message}, world_.now(), effects); });
}

void SimLife::on_holder_gone(routing::ReplicaGeneration holder) {
  const std::uint32_t open = moves_.open;
  decide([&](auto& core, Effects& effects) { core.on_move(replica::HolderGone{holder}, world_.now(), effects); });
  if (moves_.open < open) world_.reach(Reached::kHoldersGone);
}

void SimLife::on_taker_gone(replica::TakerId taker) {
  const std::uint32_t open = moves_.open;
  decide([&](auto& core, Effects& effects) { core.on_move(replica::TakerGone{taker}, world_.now(), effects); });
  if (moves_.open < open) world_.reach(Reached::kTakersGone);
}

void SimLife::on_block_read(Epoch epoch, const step::BlockBytes& bytes) {
  decide([&](auto& core, Effects& effects) { core.on_block_read(epoch, bytes, world_.now(), effects); });
}

// What befalls ranks --------------------------------------------------------------------------------------------------

std::optional<RankFault> SimLife::take_fault(std::uint32_t rank, const step::StepPlan& plan) {
  if (planted_.empty() || over_) return std::nullopt;
  const RankFault fault = planted_.front();
  planted_.pop_front();
  guilty_.insert(rank);
  network_.shake();
  if (fault == RankFault::kLate) {
    late_step_ = std::max(plan.step, late_step_.value_or(plan.step));
    world_.reach(Reached::kLateSteps);
  } else {
    doomed_ = true;
  }
  if (fault == RankFault::kFailStep) world_.reach(Reached::kFailedSteps);
  if (fault == RankFault::kHang) world_.reach(Reached::kHangs);
  if (fault == RankFault::kSkipCollective) world_.reach(Reached::kSkippedCollectives);
  return fault;
}

SimChoice* SimLife::poison_in(const step::StepPlan& plan) {
  for (const step::SequenceSlice& slice : plan.slices) {
    const auto choice = known_.find(slice.sequence);
    if (choice == known_.end() || choice->second->fatal_from == 0) continue;
    if (slice.position + slice.rows > choice->second->fatal_from) return choice->second;
  }
  return nullptr;
}

void SimLife::on_killed_by(SimChoice& choice, const step::StepPlan& plan) {
  if (fatal_step_) return;
  choice.killed.insert(generation_);
  world_.reach(Reached::kPoisonDeaths);
  if (World::tells)
    world_.tell("replica " + std::to_string(generation_.replica.value) + " computes position " + std::to_string(choice.fatal_from) +
                " of poison " + std::to_string(choice.asked.sampling.seed & 0xFFFFF) + " in step " + std::to_string(plan.step.value));
  fatal_step_ = plan.step;
}

void SimLife::on_computed(const step::StepPlan& plan, const ToyShard& shard, bool spoiled) {
  if (plan.epoch != generation_.epoch) return;
  for (const step::SequenceSlice& slice : plan.slices) {
    if (world_.options.not_finite_per_million > 0 && shard.was_poisoned(slice.sequence)) known_.at(slice.sequence)->not_finite = true;
  }
  const auto out = std::ranges::find(steps_out_, plan.step, [](const StepOut& step) { return step.plan.step; });
  if (spoiled && out != steps_out_.end()) {
    out->spoiled = true;
    doomed_ = true;
  }
  if (shard.violation()) violate("a rank: " + *shard.violation());
}

// Effects -------------------------------------------------------------------------------------------------------------

// Before what else was decided, as the product's actor does; of a busy replica now and then.
void SimLife::tell_news() {
  if (over_ || !core_.has_news()) return;
  if (core_.news_are_due() || idle() || steps_finished_ % 8 == 0) host_.send_news(core_.take_news());
}

void SimLife::carry_out(Effects& effects) {
  tell_news();
  for (replica::ReplicaEffect& effect : effects) {
    if (over_) return violate("effects after the last one");
    std::visit([this](auto& what) { carry_out(what); }, effect);
  }
  count_moves();
}

void SimLife::carry_out(replica::ExecuteOnRanks& effect) {
  if (!core_.serving() && !core_.draining()) violate("a plan of a replica that does not serve");
  plans_.on_plan(effect.plan);
  if (effect.plan.epoch != generation_.epoch) violate("a plan of another epoch");
  const step::StepPlan plan = through_wire(world_.options.wire, std::move(effect.plan));
  for (const step::SequenceStart& start : plan.started) {
    SimChoice* choice = book_.choice_of(start.sampling.seed);
    if (choice == nullptr) return violate("a plan computes what nobody asked for");
    known_[start.sequence] = choice;
  }
  for (const step::SequenceSlice& slice : plan.slices) {
    const auto choice = known_.find(slice.sequence);
    if (choice == known_.end()) return violate("a slice of a sequence that was never started");
    const std::uint64_t seed = choice->second->asked.sampling.seed;
    if (ended_.contains(seed) && !is_open(seed)) violate("a plan computes what was aborted before");
  }
  steps_out_.push_back({plan, 0, false, {}});
  host_.send_plan(plan);
}

void SimLife::carry_out(replica::SendDeltas& effect) {
  for (const step::TokenDelta& delta : effect.deltas) {
    if (delta.gateway != effect.gateway) violate("a delta goes to another gateway than asked for it");
    if (!submitted_.contains(delta.key())) violate("a delta of an attempt that was never submitted");
    if (delta.finish == step::FinishReason::kNone) continue;
    open_.erase(delta.key());
    const bool done = delta.finish == step::FinishReason::kStop || delta.finish == step::FinishReason::kLength;
    if (done && stops_by_) world_.reach(Reached::kFinishedWhileDraining);
  }
  host_.send_deltas(effect.gateway, std::move(effect.deltas));
}

void SimLife::carry_out(replica::SayServing& /*effect*/) {
  if (!core_.serving()) violate("says that it serves, and does not");
  has_served_ = true;
  network_.shake();
  host_.on_life_serving();
}

void SimLife::carry_out(replica::SayLost& effect) {
  check_loss(effect.loss);
  host_.send_loss(effect.loss);
  host_.on_life_lost(effect.loss);
}

void SimLife::carry_out(replica::AbortGroup& effect) { group_->abort(effect.why); }

void SimLife::carry_out(replica::EndGeneration& /*effect*/) {
  if (!core_.ended()) violate("ends, and does not");
  over_ = true;
  host_.end_life();
}

void SimLife::carry_out(replica::StepFinished& effect) {
  if (effect.step_s < 0.0) violate("a step that ended before it began");
  if (++steps_finished_ > steps_answered_) violate("a step counted before all ranks had done it");
}

void SimLife::carry_out(replica::WakeReplicaAt& effect) {
  if (effect.at < world_.now()) violate("asks to be woken in the past");
  host_.at_life(effect.at, [this, wake = ++wakes_] {
    if (wake != wakes_) return;
    const std::vector<Progress> ranks = host_.read_ranks();
    decide_for(Reached::kMovesTimedOut, [&](auto& core, Effects& effects) { core.on_timer(world_.now(), ranks, effects); });
  });
}

void SimLife::carry_out(replica::SendToHolder& effect) {
  if (effect.to.generation.replica == generation_.replica) violate("asks itself for blocks");
  if (const auto* ask = std::get_if<replica::MoveAsk>(&effect.message))
    asked_[ask->move] = ask->hashes.size() * world_.options.scheduler.block_size;
  if (const auto* stop = std::get_if<replica::MoveStop>(&effect.message)) count_stop(stop->move);
  host_.send_to_holder(effect.to, effect.message);
}

// One that stops by itself has all that there is, got a damaged block, or gave its own to a sequence.
void SimLife::count_stop(TransferId move) {
  const bool damaged = core_.stats().moves.blocks_damaged > moves_.blocks_damaged;
  if (stops_moves_ != Reached::kBlocksForRoom || (!damaged && asked_.contains(move))) world_.reach(stops_moves_);
  asked_.erase(move);
}

void SimLife::carry_out(replica::SendToTaker& effect) {
  if (const auto* bytes = std::get_if<replica::SharedBlockBytes>(&effect.message)) {
    bytes_sent_ += (*bytes)->bytes.size();
    ++world_.blocks_sent;
  }
  host_.send_to_taker(effect.to, effect.message);
}

void SimLife::carry_out(replica::GiveBlock& effect) {
  bytes_given_ += effect.bytes->bytes.size();
  if (spoiled_block_) spoiled_.emplace(effect.bytes->transfer, effect.bytes->index, effect.bytes->rank);
  host_.give_block(effect.bytes);
}

// Checks --------------------------------------------------------------------------------------------------------------

void SimLife::check_loss(const routing::ReplicaLoss& loss) {
  if (World::tells)
    world_.tell("replica " + std::to_string(generation_.replica.value) + " says that it is lost: " + loss.why.message());
  if (loss.replica != generation_) violate("says that another generation is lost");
  if (loss.why.ok()) violate("is lost for no reason");
  if (!doomed()) violate("is lost, but nothing ailed it: " + loss.why.message());
  if (group_->status().ok() && loss.cause != LossCause::kStopped) violate("is lost before its ranks could return");
  if (loss.cause == LossCause::kOverdue) world_.reach(Reached::kOverdue);
  if (loss.cause == LossCause::kTokensDiffer) world_.reach(Reached::kTokensDiffer);
  if (loss.cause == LossCause::kStopped) check_stop();
  check_blame(loss);
  if (loss.cause != LossCause::kDiedOfItself || !loss.in_step) return;
  std::set<step::AttemptKey> computed;
  for (const StepOut& step : steps_out_) {
    for (const step::SequenceSlice& slice : step.plan.slices) {
      const SimChoice& choice = *known_.at(slice.sequence);
      for (const auto& [key, seed] : submitted_) {
        if (seed == choice.asked.sampling.seed) computed.insert(key);
      }
    }
  }
  for (const routing::AttemptInStep& one : *loss.in_step) {
    if (!computed.contains(one.attempt)) violate("blames a sequence that was in no step");
  }
}

// In its own time, and not before what it has is done.
void SimLife::check_stop() {
  world_.reach(Reached::kStopped);
  if (!stops_by_) return violate("is stopped, though nobody said so");
  if (open_.empty()) return;
  world_.reach(Reached::kDrainsCutShort);
  if (world_.now() < *may_stop_from_ && has_served_) violate("stops before its time with " + std::to_string(open_.size()) + " sequences left");
}

// Only ranks that something befell, unless nobody can know which: tokens without a majority; several that did not come; some that
// have said nothing yet when it is told to stop.
void SimLife::check_blame(const routing::ReplicaLoss& loss) {
  const bool anyone = (loss.cause == LossCause::kTokensDiffer && loss.blamed.size() == world_.options.ranks) ||
                      (loss.cause == LossCause::kOverdue && (guilty_.size() > 1 || stops_by_));
  for (const std::uint32_t rank : loss.blamed) {
    if (!anyone && !guilty_.contains(rank)) violate("blames rank " + std::to_string(rank) + " for nothing: " + loss.why.message());
  }
  if (loss.cause == LossCause::kOverdue && loss.blamed.size() == 1) world_.reach(Reached::kLateRankNamed);
  if (loss.cause == LossCause::kDiedOfItself && guilty_.empty()) violate("died of itself, though no rank did");
}

// A rank says of every block that it writes, and of no other, whether it is as it was read.
void SimLife::check_damaged(const step::StepPlan& plan, const step::StepResult& result) {
  for (const step::BlockCopy& copy : plan.writes) {
    const bool spoiled = spoiled_.erase({copy.transfer, copy.index, result.rank}) > 0;
    const bool said = std::ranges::count(result.damaged, step::DamagedBlock{copy.transfer, copy.index}) > 0;
    if (spoiled) world_.reach(Reached::kBlocksDamaged);
    if (spoiled != said) violate(spoiled ? "a damaged block is taken for a whole one" : "a whole block is taken for a damaged one");
  }
}

void SimLife::count_moves() {
  if (!world_.options.moves) return;
  const replica::MoveStats before = std::exchange(moves_, core_.stats().moves);
  world_.reach(Reached::kBlocksMoved, moves_.blocks_in - before.blocks_in);
  world_.reach(Reached::kMovesAsked, moves_.fetches - before.fetches);
  world_.reach(Reached::kMovesFailed, moves_.fetches_failed - before.fetches_failed);
  world_.reach(Reached::kLeasesExpired, moves_.leases_expired - before.leases_expired);
  world_.blocks_taken += (moves_.blocks_in - before.blocks_in) * world_.options.ranks;
  check_moves(moves_);
}

void SimLife::check_moves(const replica::MoveStats& moves) {
  if (world_.blocks_taken > world_.blocks_sent) violate("more blocks were taken than were given");
  if (moves.bytes_in != bytes_given_) violate("counts other bytes than its ranks were given");
  if (moves.bytes_out != bytes_sent_) violate("counts other bytes than it has sent");
  if (moves.fetches_failed > moves.fetches) violate("more moves failed than were asked for");
  if (moves.blocks_damaged > moves.blocks_recomputed) violate("counts damaged blocks that were not computed");
}

void SimLife::check(std::uint32_t sequences_max) {
  core_.check_integrity();
  if (plans_.violation()) violate(*plans_.violation());
  const auto stats = core_.stats().scheduler;
  if (stats.num_running > world_.options.scheduler.max_num_seqs) violate("runs more than it has room for");
  if (stats.num_waiting > sequences_max) violate("keeps more waiting than it has room for");
}

void SimLife::check_drained() {
  const auto stats = core_.stats().scheduler;
  world_.reach(Reached::kPreemptions, stats.preemptions);
  world_.reach(Reached::kHeldBack, stats.held_back);
  if (stats.num_running + stats.num_waiting + stats.num_draining + stats.plans_outstanding > 0) violate("is not idle");
  if (stats.blocks.num_held != 0) violate("holds blocks after the drain");
  if (stats.num_exports + stats.num_imports + core_.stats().moves.open != 0) violate("has moves under way after the drain");
}

}  // namespace herd::sim
