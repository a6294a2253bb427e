#pragma once
// SimRank: one life of a rank: in a group after another, a step after the other, with its progress in a word. What befalls it
// is planted by its host.

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>

#include "cluster/replica/move_messages.h"
#include "cluster/routing/replica_loss.h"
#include "kernels/progress.h"
#include "runtime/step/step_plan.h"
#include "tests/sim/event_loop.h"
#include "tests/sim/sim_collective.h"
#include "tests/sim/toy_shard.h"
#include "tests/sim/world.h"

namespace herd::sim {

enum class RankFault : std::uint8_t {
  kFailStep,         // answers a step with an error
  kOtherTokens,      // answers it with another token hash
  kHang,             // computes for ever
  kLate,             // computes for long
  kDieInCollective,  // whether the others got past it or not
  kSkipCollective,
};

class RankHost {
 public:
  virtual ~RankHost() = default;
  [[nodiscard]] virtual std::string name() const = 0;  // of its life
  // Runs it later, at that life of the rank.
  virtual void at_rank(std::uint32_t rank, std::int64_t us, EventLoop::Event event) = 0;
  virtual std::uint64_t pauses(std::uint32_t rank) const = 0;  // of its process so far
  // What is to befall the rank in the step that it begins.
  virtual std::optional<RankFault> take_fault(std::uint32_t rank, const step::StepPlan& plan) = 0;
  // It has died, or is about to: computing this step kills it.
  virtual bool dies_of(std::uint32_t rank, const step::StepPlan& plan) = 0;
  virtual void die_in_collective(std::uint32_t rank) = 0;
  virtual bool tokens_are_wrong(std::uint32_t rank) = 0;
  virtual void on_computed(std::uint32_t rank, const step::StepPlan& plan, const ToyShard& shard, bool spoiled) = 0;
  // Its blocks of a step come before its answer.
  virtual void on_block_read(std::uint32_t rank, Epoch epoch, step::BlockBytes bytes) = 0;
  virtual void on_answer(std::uint32_t rank, step::StepResult result) = 0;
  virtual void on_joined(std::uint32_t rank, Epoch epoch, const Status& status) = 0;
  virtual void on_left(std::uint32_t rank, Epoch epoch) = 0;
};

class SimRank : public std::enable_shared_from_this<SimRank> {
 public:
  // `last_slot_first`: how its blocks lie where they are moved.
  SimRank(World& world, RankHost& host, std::uint32_t index, ProgressWord& word, bool last_slot_first);

  void join(std::shared_ptr<SimCollective> group, Epoch epoch, const Status& how);
  void leave();  // answered when no step is under way
  void on_plan(const step::StepPlan& plan);
  void on_block(Epoch epoch, const replica::SharedBlockBytes& bytes);  // for plans to come
  [[nodiscard]] bool hangs() const { return hangs_; }  // for ever
  [[nodiscard]] const ToyShard* shard() const { return shard_.get(); }

 private:
  void next();
  void begin();
  void meet();
  void watch_deadline();
  void on_met(const Status& status);
  void finish();
  void answer(step::StepResult result);
  void refuse(const Status& why);
  void say_left();
  void later(std::int64_t us, void (SimRank::*what)());
  [[nodiscard]] std::int64_t half_a_step();

  World& world_;
  Chance chance_;
  RankHost& host_;
  std::uint32_t index_;
  ProgressWord& word_;
  bool last_slot_first_;
  std::unique_ptr<ToyShard> shard_;
  std::shared_ptr<SimCollective> group_;  // null: in none
  Epoch epoch_;                           // of the last group
  std::deque<step::StepPlan> queue_;
  step::StepPlan plan_;  // under way, when busy
  std::optional<RankFault> fault_;
  bool busy_ = false, leaving_ = false, hangs_ = false;
};

}  // namespace herd::sim
