#include "tests/sim/sim_ranks.h"

#include <algorithm>
#include <utility>

namespace herd::sim {

using routing::LossCause;

void SimRanks::message(EventLoop::Event event) {
  world_.loop.after(chance_.us_up_to(world_.options.message_us_max), host_.leader_awake(std::move(event)));
}

// One after the other, as they were given.
void SimRanks::order(std::uint32_t rank, std::function<void(SimRank&)> what) {
  Slot& slot = slots_[rank];
  slot.orders.send(world_.loop, chance_, world_.options.message_us_max,
                   host_.awake(rank, [at = std::weak_ptr(slot.rank), what = std::move(what)] {
                     if (const auto living = at.lock()) what(*living);
                   }));
}

std::uint64_t SimRanks::begin_start(std::uint32_t rank, bool read_weights_again) {
  Slot& slot = slots_[rank];
  if (read_weights_again) {
    world_.reach(Reached::kWeightsReadAgain);
    slot.damaged = false;
    slot.mismatches = 0;
  }
  return ++slot.starts;
}

void SimRanks::add(std::uint32_t rank) {
  ++lives_;
  slots_[rank].rank = std::make_shared<SimRank>(world_, static_cast<RankHost&>(*this), rank, *slots_[rank].word,
                                                host_.replica().value == world_.options.other_layout);
}

void SimRanks::join(SimLife& life, Epoch epoch) {
  for (std::uint32_t rank = 0; rank < slots_.size(); ++rank) {
    if (!lives(rank)) {  // it died meanwhile, and is watched from now on
      life.blame(rank);
      message([this, rank, epoch] {
        if (SimLife* life = life_of(epoch)) life->on_rank_lost(rank, LossCause::kKilled, "rank is gone");
      });
      continue;
    }
    Status how;
    if (joins_to_fail_ > 0) {
      --joins_to_fail_;
      world_.reach(Reached::kFailedJoins);
      life.blame(rank);
      how = {chance_.percent(50) ? StatusCode::kAborted : StatusCode::kInternal, "cannot join"};
    }
    order(rank, [group = life.group(), epoch, how](SimRank& living) { living.join(group, epoch, how); });
  }
}

void SimRanks::leave(std::uint32_t rank) {
  order(rank, [](SimRank& living) { living.leave(); });
}

void SimRanks::end(std::uint32_t rank) {
  const auto living = slots_[rank].rank;
  if (!living) return;  // its death is on its way
  if (living->hangs() && !world_.options.ranks_are_processes) world_.violate("a thread that hangs is ended");
  slots_[rank].rank.reset();
  if (host_.leads(rank)) return host_.on_leader_gone(LossCause::kStopped, "ended", world_.options.message_us_max);
  host_.on_rank_gone(rank, "ended", world_.options.message_us_max);
}

// Faults --------------------------------------------------------------------------------------------------------------

// Of a thread at once; of a process that is gone with its machine it may be thought longer that it hangs.
std::int64_t SimRanks::detect_us_max() const {
  const SimOptions& options = world_.options;
  return options.ranks_are_processes ? options.detect_us_max : std::min(options.detect_us_max, options.honest_us());
}

void SimRanks::die(std::uint32_t rank, LossCause cause, const std::string& why, std::int64_t us_max) {
  slots_[rank].rank.reset();
  network_.shake();
  if (host_.leads(rank)) return host_.on_leader_gone(cause, why, us_max);
  host_.on_rank_gone(rank, why, us_max);
  SimLife* life = host_.life();
  if (life == nullptr) return;
  life->blame(rank);
  world_.loop.after(chance_.us_up_to(us_max), host_.leader_awake([this, rank, cause, why, epoch = host_.epoch()] {
    if (SimLife* life = life_of(epoch)) life->on_rank_lost(rank, cause, "rank " + std::to_string(rank) + ": " + why);
  }));
  // The others may see it at once, and be heard of first.
  if (chance_.percent(50)) life->group()->abort({StatusCode::kAborted, "rank " + std::to_string(rank) + " is gone"});
}

void SimRanks::take_away() {
  for (Slot& slot : slots_) slot.rank.reset();
}

void SimRanks::count_mismatches(const std::vector<std::uint32_t>& blamed) {
  for (const std::uint32_t rank : blamed) ++slots_[rank].mismatches;
}

void SimRanks::repeat_old_result() {
  SimLife* life = host_.life();
  if (life == nullptr || old_results_.empty()) return;
  const step::StepResult old = old_results_[chance_.below(old_results_.size())];
  if (old.epoch == host_.epoch()) return;
  world_.reach(Reached::kStaleResults);
  life->on_result(old);
}

// Facts ---------------------------------------------------------------------------------------------------------------

std::vector<Progress> SimRanks::read() const {
  std::vector<Progress> ranks;
  for (const Slot& slot : slots_) ranks.push_back(slot.word->read());
  return ranks;
}

bool SimRanks::whole() const {
  return std::ranges::none_of(slots_, [](const Slot& slot) { return slot.damaged || !slot.rank || slot.rank->hangs(); });
}

bool SimRanks::hangs() const {
  return std::ranges::any_of(slots_, [](const Slot& slot) { return slot.rank && slot.rank->hangs(); });
}

bool SimRanks::differed_twice() const {
  return std::ranges::any_of(slots_, [](const Slot& slot) { return slot.mismatches > 1; });
}

bool SimRanks::know_sequences() const {
  return std::ranges::any_of(slots_, [](const Slot& slot) { return slot.rank->shard()->num_sequences() != 0; });
}

bool SimRanks::keep_blocks() const {
  return std::ranges::any_of(slots_, [](const Slot& slot) { return slot.rank->shard()->bytes_given() != 0; });
}

// Steps ---------------------------------------------------------------------------------------------------------------

void SimRanks::send_plan(const step::StepPlan& plan) {
  for (std::uint32_t rank = 0; rank < slots_.size(); ++rank) {
    Slot& slot = slots_[rank];
    slot.plans.send(world_.loop, chance_, world_.options.message_us_max, host_.awake(rank, [at = std::weak_ptr(slot.rank), plan] {
      if (const auto living = at.lock()) living->on_plan(plan);
    }));
  }
}

void SimRanks::give_block(Epoch epoch, const replica::SharedBlockBytes& bytes) {
  Slot& slot = slots_.at(bytes->rank);
  slot.plans.send(world_.loop, chance_, world_.options.message_us_max,
                  host_.awake(bytes->rank, [at = std::weak_ptr(slot.rank), epoch, bytes] {
                    if (const auto living = at.lock()) living->on_block(epoch, bytes);
                  }));
}

void SimRanks::at_rank(std::uint32_t rank, std::int64_t us, EventLoop::Event event) {
  world_.loop.after(us, host_.awake(rank, [at = std::weak_ptr(slots_[rank].rank), event = std::move(event)] {
    if (const auto living = at.lock()) event();
  }));
}

std::optional<RankFault> SimRanks::take_fault(std::uint32_t rank, const step::StepPlan& plan) {
  SimLife* life = life_of(plan.epoch);
  if (life == nullptr) return std::nullopt;
  const auto fault = life->take_fault(rank, plan);
  was_late_ |= fault == RankFault::kLate;
  return fault;
}

// One rank of them, so that the others wait for it.
bool SimRanks::dies_of(std::uint32_t rank, const step::StepPlan& plan) {
  SimLife* life = life_of(plan.epoch);
  if (life == nullptr) return false;
  SimChoice* poison = life->poison_in(plan);
  if (poison == nullptr || poison->asked.sampling.seed % world_.options.ranks != rank) return false;
  life->on_killed_by(*poison, plan);
  die(rank, LossCause::kDiedOfItself, "a signal of its own", world_.options.message_us_max);
  return true;
}

void SimRanks::die_in_collective(std::uint32_t rank) {
  world_.reach(Reached::kDeathsInCollectives);
  die(rank, chance_.percent(50) ? LossCause::kKilled : LossCause::kDiedOfItself, "gone in a collective", detect_us_max());
}

void SimRanks::on_computed(std::uint32_t rank, const step::StepPlan& plan, const ToyShard& shard, bool spoiled) {
  SimLife* life = host_.life();
  if (life == nullptr) return;
  if (slots_[rank].damaged) life->blame(rank);
  life->on_computed(plan, shard, spoiled);
}

void SimRanks::on_block_read(std::uint32_t, Epoch epoch, step::BlockBytes bytes) {
  if (world_.options.stale_results > 0) {
    // One of an earlier life that has the same name may come first.
    const auto old = std::ranges::find_if(old_blocks_, [&](const auto& read) {
      return read.first != epoch && read.second.rank == bytes.rank && read.second.transfer == bytes.transfer && read.second.index == bytes.index;
    });
    if (old != old_blocks_.end() && chance_.percent(50)) {
      world_.reach(Reached::kStaleBlocks);
      send_block(old->first, old->second);
    }
    if (old_blocks_.size() < 64) old_blocks_.emplace_back(epoch, bytes);
  }
  send_block(epoch, bytes);
}

void SimRanks::send_block(Epoch epoch, const step::BlockBytes& bytes) {
  slots_[bytes.rank].results.send(world_.loop, chance_, world_.options.message_us_max, host_.leader_awake([this, epoch, bytes] {
    if (SimLife* life = host_.life()) life->on_block_read(epoch, bytes);
  }));
}

void SimRanks::on_answer(std::uint32_t rank, step::StepResult result) {
  if (world_.options.stale_results > 0 && old_results_.size() < 64) old_results_.push_back(result);
  slots_[rank].results.send(world_.loop, chance_, world_.options.message_us_max,
                            host_.leader_awake([this, result = std::move(result)] {
                              if (SimLife* life = host_.life()) life->on_result(result);
                            }));
}

void SimRanks::on_joined(std::uint32_t rank, Epoch epoch, const Status& status) {
  message([this, rank, epoch, status] {
    if (SimLife* life = life_of(epoch)) life->on_joined(rank, status);
  });
}

void SimRanks::on_left(std::uint32_t rank, Epoch epoch) {
  message([this, rank, epoch, start = slots_[rank].starts] {
    if (start == slots_[rank].starts) host_.on_rank_left(rank, epoch);
  });
}

}  // namespace herd::sim
