#pragma once
// SimRanks: the ranks of one place, life after life, and the links to them. What they say goes to the generation they are in;
// deaths and departures to their supervisor.

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "tests/sim/sim_life.h"
#include "tests/sim/sim_rank.h"
#include "tests/sim/world.h"

namespace herd::sim {

// The machine they are on, and whoever looks after them there.
class RanksHost {
 public:
  virtual ~RanksHost() = default;
  [[nodiscard]] virtual std::string name() const = 0;
  // At the next waking moment of that rank's process, or of whoever leads them, if it is the same process.
  virtual EventLoop::Event awake(std::uint32_t rank, EventLoop::Event event) = 0;
  virtual EventLoop::Event leader_awake(EventLoop::Event event) = 0;
  [[nodiscard]] virtual std::uint64_t pauses_so_far(std::uint32_t rank) const = 0;
  [[nodiscard]] virtual SimLife* life() = 0;  // null: none
  [[nodiscard]] virtual Epoch epoch() const = 0;  // of it, or of the last one
  [[nodiscard]] virtual ReplicaId replica() const = 0;
  virtual void on_rank_gone(std::uint32_t rank, const std::string& why, std::int64_t us_max) = 0;
  virtual void on_rank_left(std::uint32_t rank, Epoch epoch) = 0;
  // The generation lives in that rank's process.
  [[nodiscard]] virtual bool leads(std::uint32_t rank) const = 0;
  // Such a rank is gone, the generation with it.
  virtual void on_leader_gone(routing::LossCause cause, const std::string& why, std::int64_t us_max) = 0;
};

class SimRanks : private RankHost {
 public:
  SimRanks(World& world, Network& network, RanksHost& host)
      : world_(world), chance_(world.chance("ranks of " + host.name())), network_(network), host_(host), slots_(world.options.ranks) {}

  // As the supervisor says.
  std::uint64_t begin_start(std::uint32_t rank, bool read_weights_again);  // the number of that start
  [[nodiscard]] std::uint64_t starts(std::uint32_t rank) const { return slots_[rank].starts; }
  [[nodiscard]] bool is_last_start(std::uint32_t rank, std::uint64_t start) const { return slots_[rank].starts == start; }
  void add(std::uint32_t rank);
  void join(SimLife& life, Epoch epoch);  // all of them
  void leave(std::uint32_t rank);
  void end(std::uint32_t rank);

  // All of them, with their node.
  void take_away();
  // Faults.
  // `us_max`: until somebody hears of it.
  void die(std::uint32_t rank, routing::LossCause cause, const std::string& why, std::int64_t us_max);
  void damage(std::uint32_t rank) { slots_[rank].damaged = true; }
  void count_mismatches(const std::vector<std::uint32_t>& blamed);
  void fail_joins(std::uint32_t joins) { joins_to_fail_ = joins; }
  void repeat_old_result();

  void send_plan(const step::StepPlan& plan);
  void give_block(Epoch epoch, const replica::SharedBlockBytes& bytes);  // to its rank
  [[nodiscard]] std::vector<Progress> read() const;
  [[nodiscard]] bool lives(std::uint32_t rank) const { return slots_[rank].rank != nullptr; }
  [[nodiscard]] bool whole() const;  // all of them are there, and nothing ails them
  [[nodiscard]] bool hangs(std::uint32_t rank) const { return slots_[rank].rank && slots_[rank].rank->hangs(); }
  [[nodiscard]] bool hangs() const;  // one does, for ever
  [[nodiscard]] bool was_late() const { return was_late_; }
  [[nodiscard]] bool differed_twice() const;
  [[nodiscard]] bool know_sequences() const;
  [[nodiscard]] bool keep_blocks() const;  // that they were given and did not write
  [[nodiscard]] std::int64_t detect_us_max() const;

 private:
  struct Slot {
    std::shared_ptr<SimRank> rank;  // null: gone, or being started
    std::unique_ptr<ProgressWord> word = std::make_unique<ProgressWord>();
    Link orders, plans, results;
    std::uint64_t starts = 0;
    bool damaged = false;
    std::uint32_t mismatches = 0;  // it was blamed for, since it read its weights again
  };
  void message(EventLoop::Event event);  // to the leader
  void order(std::uint32_t rank, std::function<void(SimRank&)> what);
  void send_block(Epoch epoch, const step::BlockBytes& bytes);
  // Null: another generation, or none.
  [[nodiscard]] SimLife* life_of(Epoch epoch) { return epoch == host_.epoch() ? host_.life() : nullptr; }

  std::string name() const override { return host_.name() + ", life " + std::to_string(lives_); }
  void at_rank(std::uint32_t rank, std::int64_t us, EventLoop::Event event) override;
  std::uint64_t pauses(std::uint32_t rank) const override { return host_.pauses_so_far(rank); }
  std::optional<RankFault> take_fault(std::uint32_t rank, const step::StepPlan& plan) override;
  bool dies_of(std::uint32_t rank, const step::StepPlan& plan) override;
  void die_in_collective(std::uint32_t rank) override;
  bool tokens_are_wrong(std::uint32_t rank) override { return slots_[rank].damaged; }
  void on_computed(std::uint32_t rank, const step::StepPlan& plan, const ToyShard& shard, bool spoiled) override;
  void on_block_read(std::uint32_t rank, Epoch epoch, step::BlockBytes bytes) override;
  void on_answer(std::uint32_t rank, step::StepResult result) override;
  void on_joined(std::uint32_t rank, Epoch epoch, const Status& status) override;
  void on_left(std::uint32_t rank, Epoch epoch) override;

  World& world_;
  Chance chance_;
  Network& network_;
  RanksHost& host_;
  std::vector<Slot> slots_;
  std::uint64_t lives_ = 0;  // of all of them
  std::uint32_t joins_to_fail_ = 0;
  bool was_late_ = false;                     // one of them, in this process
  std::deque<step::StepResult> old_results_;  // of any life
  std::deque<std::pair<Epoch, step::BlockBytes>> old_blocks_;
};

}  // namespace herd::sim
