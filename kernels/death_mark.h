#pragma once
// DeathMark: which sequence a rank's thread was working on when a signal of its own ended the process (SIGSEGV, SIGABRT, …), so that
// the death is laid at the door of that sequence and not of all that were in its step.
//
// Kernels that work on one sequence at a time say so with a WorkMark, which costs a store; a handler of fatal signals, which runs on
// the thread that died, leaves the sequence's id in the DeathMark. What works on the rows of all sequences (products, norms) names
// nobody, unless the step has a single sequence.

#include <atomic>
#include <cstdint>
#include <memory>
#include <span>

namespace herd {

// One writer, any readers; it may lie in memory that processes share. 0: no death, or nobody knows of what.
class DeathMark {
 public:
  void leave(std::uint64_t sequence) { sequence_.store(sequence, std::memory_order_relaxed); }
  [[nodiscard]] std::uint64_t sequence() const { return sequence_.load(std::memory_order_relaxed); }

 private:
  static_assert(std::atomic<std::uint64_t>::is_always_lock_free);
  std::atomic<std::uint64_t> sequence_{0};
};

// While it lives, this thread works on the sequence of that number in the step's AttentionBatch. They do not nest.
class WorkMark {
 public:
  explicit WorkMark(std::int32_t number);
  ~WorkMark();
  WorkMark(const WorkMark&) = delete;
  WorkMark& operator=(const WorkMark&) = delete;
};

// While it lives, these are the ids of the step's sequences, by their number; none is 0. One at a time in a process that has a
// handler; others pass it over.
class StepSequences {
 public:
  explicit StepSequences(std::span<const std::uint64_t> ids);
  ~StepSequences();
  StepSequences(const StepSequences&) = delete;
  StepSequences& operator=(const StepSequences&) = delete;
};

// From here on a fatal signal of this process leaves its mark there before it ends the process as it would have. Once in a process
// of one rank.
void mark_deaths(std::shared_ptr<DeathMark> mark);

}  // namespace herd
