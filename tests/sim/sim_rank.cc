#include "tests/sim/sim_rank.h"

#include <algorithm>
#include <string>
#include <utility>

#include "tests/sim/request_book.h"
#include "tests/sim/through_wire.h"

namespace herd::sim {

SimRank::SimRank(World& world, RankHost& host, std::uint32_t index, ProgressWord& word, bool last_slot_first)
    : world_(world),
      chance_(world.chance("rank " + std::to_string(index) + " of " + host.name())),
      host_(host),
      index_(index),
      word_(word),
      last_slot_first_(last_slot_first) {
  word_.begin_step(0, 0);
  word_.begin(Operation::kIdle);
}

std::int64_t SimRank::half_a_step() { return chance_.us_up_to(std::max<std::int64_t>(1, world_.options.step_us_max / 2)); }

void SimRank::later(std::int64_t us, void (SimRank::*what)()) {
  host_.at_rank(index_, us, [this, what] { (this->*what)(); });
}

// Groups --------------------------------------------------------------------------------------------------------------

void SimRank::join(std::shared_ptr<SimCollective> group, Epoch epoch, const Status& how) {
  group_ = std::move(group);
  epoch_ = epoch;
  leaving_ = false;
  const SimOptions& options = world_.options;
  shard_ = std::make_unique<ToyShard>(ToyConfig{.block_size = options.scheduler.block_size,
                                                .num_blocks = options.scheduler.num_blocks,
                                                .vocab_size = kVocabSize,
                                                .poison_per_million = options.not_finite_per_million,
                                                .poison_seed = options.seed,
                                                .last_slot_first = last_slot_first_});
  host_.on_joined(index_, epoch, group_->status().ok() ? how : group_->status());
}

void SimRank::leave() {
  leaving_ = true;
  queue_.clear();
  if (!busy_) say_left();
}

void SimRank::say_left() {
  group_.reset();
  shard_.reset();
  host_.on_left(index_, epoch_);
}

// Steps ---------------------------------------------------------------------------------------------------------------

void SimRank::on_plan(const step::StepPlan& plan) {
  queue_.push_back(plan);
  next();
}

// What is for a group that it has left, or is not in yet, is not kept.
void SimRank::on_block(Epoch epoch, const replica::SharedBlockBytes& bytes) {
  if (shard_ && group_ && epoch == epoch_) shard_->give(*bytes);
}

void SimRank::next() {
  while (!busy_ && !queue_.empty()) {
    plan_ = std::move(queue_.front());
    queue_.pop_front();
    if (!group_ || plan_.epoch != epoch_) {
      refuse({StatusCode::kInternal, "a plan of another epoch"});
    } else if (!group_->status().ok()) {
      refuse(group_->status());
    } else {
      begin();
    }
  }
}

void SimRank::begin() {
  busy_ = true;
  word_.begin_step(epoch_.value, plan_.step.value);
  word_.begin(Operation::kMatmul);
  if (host_.dies_of(index_, plan_)) return;
  fault_ = host_.take_fault(index_, plan_);
  if (fault_ == RankFault::kHang) {
    hangs_ = true;
    return;
  }
  const std::int64_t late_us = fault_ == RankFault::kLate ? chance_.us_up_to(3 * world_.options.hang_us()) : 0;
  later(half_a_step() + late_us, &SimRank::meet);
}

void SimRank::meet() {
  if (!group_->status().ok()) return refuse(group_->status());
  if (world_.options.ranks == 1 || fault_ == RankFault::kSkipCollective) return finish();
  word_.begin(Operation::kCollective);
  if (fault_ == RankFault::kDieInCollective) {
    if (chance_.percent(50)) group_->arrive(index_, plan_.step, [](const Status&) {});
    return host_.die_in_collective(index_);
  }
  watch_deadline();
  group_->arrive(index_, plan_.step, [at = weak_from_this()](const Status& status) {
    if (const auto rank = at.lock()) rank->on_met(status);
  });
}

// The rank gives up on its own when the others do not come. A pause of the machine is no reason.
void SimRank::watch_deadline() {
  host_.at_rank(index_, world_.options.collective_us(),
                [this, group = group_, step = plan_.step, pauses = host_.pauses(index_)] {
                  if (group != group_ || !group->waits(index_, step)) return;
                  if (pauses != host_.pauses(index_)) return watch_deadline();
                  world_.reach(Reached::kCollectivesGivenUp);
                  group->abort({StatusCode::kAborted, "rank " + std::to_string(index_) + " waited in vain"});
                });
}

void SimRank::on_met(const Status& status) {
  if (!status.ok()) return refuse(status);
  word_.begin(Operation::kSample);
  later(half_a_step(), &SimRank::finish);
}

void SimRank::finish() {
  step::StepResult result = shard_->execute(plan_);
  result.rank = index_;
  const bool fails = fault_ == RankFault::kFailStep;
  if (host_.tokens_are_wrong(index_) || fault_ == RankFault::kOtherTokens) result.token_hash ^= 1 + index_;
  host_.on_computed(index_, plan_, *shard_, fails || fault_ == RankFault::kOtherTokens || host_.tokens_are_wrong(index_));
  if (fails || index_ != 0) {
    result.sampled.clear();
    result.outputs.clear();
    result.prompt_logprobs.clear();
  }
  if (fails) {
    result.blocks_written = 0;
    result.damaged.clear();
    result.status = {StatusCode::kInternal, "injected"};
  }
  for (step::BlockBytes& bytes : shard_->take_blocks_read()) {
    bytes.rank = index_;
    host_.on_block_read(index_, epoch_, std::move(bytes));
  }
  answer(std::move(result));
}

void SimRank::refuse(const Status& why) {
  step::StepResult result;
  result.epoch = plan_.epoch;
  result.step = plan_.step;
  result.rank = index_;
  result.status = why;
  answer(std::move(result));
}

void SimRank::answer(step::StepResult result) {
  word_.begin(Operation::kIdle);
  busy_ = false;
  fault_.reset();
  host_.on_answer(index_, through_wire(world_.options.wire, std::move(result)));
  if (leaving_) return group_ ? say_left() : void();
  next();
}

}  // namespace herd::sim
