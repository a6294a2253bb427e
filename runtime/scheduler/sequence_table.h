#pragma once
// SequenceTable: the sequences of a scheduler by slot, the queues they stand in, and the blocks they hold. It moves a
// sequence from state to state (sequence.h) and keeps every queue and every sum in step with that; who is moved when is
// decided elsewhere.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <set>
#include <span>
#include <unordered_map>
#include <vector>

#include "runtime/ids.h"
#include "runtime/kv/block_manager.h"
#include "runtime/scheduler/scheduler_config.h"
#include "runtime/scheduler/sequence.h"

namespace herd::scheduler {

class SequenceTable {
 public:
  SequenceTable(const SchedulerConfig& config, std::uint32_t hash_bits);

  // kFree → kWaiting. Sets its arrival.
  Slot add(Sequence sequence);
  // The first of waiting(), whose table was admitted: kWaiting → kRunning.
  void run_first();
  // running()[index]: kRunning → kPreempting, and on to kWaiting when it has no step in flight. Ranks forget it.
  void preempt(std::size_t index);
  // Any open state → kEnded, and on to kFree when it has no step in flight.
  void end(Slot slot);
  // Ends what a state without steps in flight waits for: kPreempting queues, kEnded frees the slot.
  void settle(Slot slot) {
    const Sequence& sequence = sequences_[slot];
    const bool drains = sequence.state == SequenceState::kPreempting || sequence.state == SequenceState::kEnded;
    if (drains && sequence.steps_in_flight == 0) finish_draining(slot);
  }
  // From waiting() to held_back().
  void hold_back(Slot slot, Slot leader, std::uint32_t blocks_claimed);
  // Those held back by it wait as everybody does.
  void let_go_of(Slot leader);
  // What ranks are to forget with the next plan.
  [[nodiscard]] std::vector<SequenceId> take_released();
  // Forgets everything. Returns what was open, by arrival.
  [[nodiscard]] std::vector<SequenceId> clear();

  [[nodiscard]] Sequence& operator[](Slot slot) { return sequences_[slot]; }
  [[nodiscard]] const Sequence& operator[](Slot slot) const { return sequences_[slot]; }
  [[nodiscard]] std::optional<Slot> find(SequenceId id) const;
  [[nodiscard]] Rank rank_of(Slot slot) const {
    const Sequence& sequence = sequences_[slot];
    return {by_priority_ ? sequence.priority : 0, sequence.arrival, slot};
  }
  [[nodiscard]] std::vector<Slot> open_slots() const;  // by arrival

  [[nodiscard]] const std::set<Rank>& waiting() const { return waiting_; }
  [[nodiscard]] const std::set<Rank>& held_back() const { return held_back_; }
  [[nodiscard]] const std::vector<Slot>& running() const { return running_; }  // in service order
  [[nodiscard]] std::size_t num_waiting() const { return waiting_.size() + held_back_.size(); }
  [[nodiscard]] std::size_t num_open() const { return open_.size(); }
  [[nodiscard]] std::size_t num_slots() const { return sequences_.size(); }
  [[nodiscard]] std::uint32_t num_draining() const { return num_draining_; }
  [[nodiscard]] std::uint32_t num_suspects() const { return num_suspects_; }  // on probation or once on it
  [[nodiscard]] std::uint64_t queue_tokens() const { return queue_tokens_; }  // of those who wait
  // What draining sequences are expected to give back.
  [[nodiscard]] std::uint32_t blocks_returning() const { return blocks_returning_; }
  [[nodiscard]] bool nothing_to_release() const { return released_.empty(); }
  [[nodiscard]] Instant oldest_waiting_since() const;  // 0 when none waits

  [[nodiscard]] kv::BlockManager& blocks() { return blocks_; }
  [[nodiscard]] const kv::BlockManager& blocks() const { return blocks_; }

  // `steps`, `samples`: how many plans in flight hold a slice of each slot, and how many of these sample. `tables`: who else
  // holds blocks.
  void check_integrity(std::span<const std::uint32_t> steps, std::span<const std::uint32_t> samples,
                       std::vector<const kv::BlockTable*> tables) const;

 private:
  struct Sums {
    std::uint64_t queue_tokens = 0;
    std::uint32_t waiting = 0, running = 0, draining = 0, free = 0, returning = 0, open = 0, suspects = 0;
  };
  Slot new_slot();
  void free_slot(Slot slot);
  void enqueue(Slot slot);
  void start_draining(Slot slot);
  void finish_draining(Slot slot);
  void check_sequence(Slot slot, std::uint32_t steps, Sums& sums) const;
  void check_running(const Sequence& sequence, Slot slot) const;

  bool by_priority_;
  std::uint32_t block_size_;
  std::uint64_t slots_max_;
  kv::BlockManager blocks_;
  std::vector<Sequence> sequences_;  // by slot
  std::vector<Slot> free_slots_;
  std::unordered_map<SequenceId, Slot> open_;  // look-up only, never iterated for a decision
  std::set<Rank> waiting_;
  std::set<Rank> held_back_;  // these wait too, each for one that computes its prefix
  std::vector<Slot> running_;
  std::vector<SequenceId> released_;
  std::uint64_t queue_tokens_ = 0;
  std::uint32_t blocks_returning_ = 0;
  std::uint32_t num_draining_ = 0;
  std::uint32_t num_suspects_ = 0;
  std::uint64_t next_arrival_ = 0;
};

}  // namespace herd::scheduler
