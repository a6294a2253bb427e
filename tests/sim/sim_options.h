#pragma once
// What one seed is: a topology, a load, the faults that may come, and which of them are off (leaving features out
// finds more than always using all). Drawn from the seed alone.

#include <cstdint>

#include "runtime/scheduler/scheduler.h"

namespace herd::sim {

struct SimOptions {
  std::uint64_t seed = 0;
  std::uint32_t replicas = 1;
  std::uint32_t ranks = 1;
  scheduler::SchedulerConfig scheduler;
  std::uint32_t preempt_every_steps = 0;  // 0: only for want of blocks
  bool wire = false;  // every message through its codec

  std::uint32_t sequences = 0;
  std::uint32_t prompt_tokens_max = 0;
  std::uint32_t emitted_tokens_max = 0;
  std::int64_t arrivals_us = 0;        // sequences arrive in [0, arrivals_us)
  std::size_t open_sequences_max = 0;  // of the ledger

  std::int64_t message_us_max = 0;  // delays are in [1, max]
  std::int64_t delta_us_max = 0;    // of deltas alone: long ones arrive after their replica is lost
  std::int64_t step_us_max = 0;

  // Faults; 0 or false: off.
  std::uint32_t kills = 0;               // replicas die without a word, at random times
  std::uint32_t failed_steps = 0;        // a rank answers a step with an error
  std::uint32_t wrong_hashes = 0;        // a rank answers a step with another token hash
  std::int64_t restart_us_max = 0;       // a lost replica is back after at most so long
  std::uint32_t aborts_percent = 0;      // sequences whose client leaves
  std::uint32_t slow_percent = 0;        // sequences whose client reads too slowly
  std::uint32_t duplicates_percent = 0;  // deltas that come twice
  std::uint32_t poison_per_million = 0;  // rows that come out as NaN
};

SimOptions draw_options(std::uint64_t seed);

}  // namespace herd::sim
