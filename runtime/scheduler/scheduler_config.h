#pragma once
// What a scheduler is given once, and the numbers it tells. Values.

#include <cstdint>
#include <optional>

#include "kernels/status.h"
#include "runtime/clock.h"
#include "runtime/ids.h"
#include "runtime/kv/block_manager.h"

namespace herd::scheduler {

enum class SchedulingPolicy : std::uint8_t {
  kFcfs = 0,  // by arrival
  kPriority,  // lower priority value first, then arrival
};

inline constexpr std::uint32_t kTransferBlocksPerStepMax = 1024;

// Value.
struct SchedulerConfig {
  std::uint32_t max_num_seqs = 64;              // sequences known to ranks at one time
  std::uint32_t max_num_batched_tokens = 512;   // rows of one step; at least max_num_seqs
  std::uint32_t max_prefill_seqs = 32;          // sequences prefilling in one step (--max-ce-batch-size)
  std::uint32_t prefill_chunk_max = 0;          // rows of one sequence's chunk; 0: only the step's budget
  // Of a step that streams wait for, milliseconds by prediction: bounds its prompts' rows, see chunk_rows.h. 0: no bound;
  // nullopt: by what the step takes without them.
  std::optional<std::uint32_t> max_step_ms;
  std::uint32_t queue_requests_max = 1024;      // waiting sequences
  std::uint64_t queue_tokens_max = 1ULL << 20;  // tokens of waiting sequences; at least max_model_len
  std::uint32_t max_model_len = 0;              // prompt + emitted tokens of one sequence
  TokenId vocab_size = 0;                       // token ids lie below it; 0: not checked
  std::uint32_t block_size = kv::kBlockSizeDefault;
  std::uint32_t num_blocks = 0;
  std::uint32_t watermark_blocks = 0;  // kept available at admission while others run; 0: 1 % of the pool
  bool prefix_caching = true;
  std::uint32_t shared_prefix_min = 64;  // tokens another one must compute for a sequence to be held back; 0: never
  // Blocks that one plan reads for other replicas, and as many that it fills: bounds what a transfer adds to a step's time. 0: none.
  std::uint32_t transfer_blocks_per_step = 8;
  SchedulingPolicy policy = SchedulingPolicy::kFcfs;
  std::uint32_t steps_ahead = 2;  // plans out at one time: 2 = one step ahead, 1 = off
  bool operator==(const SchedulerConfig&) const = default;

  [[nodiscard]] Status validate() const;  // kUsage with the field's name
};

// Plain numbers; the actor exports them. Counters rise only.
struct SchedulerStats {
  std::uint32_t num_waiting = 0;
  std::uint32_t num_held_back = 0;  // of these, until another one's prefix is computed
  std::uint64_t queue_tokens = 0;
  std::uint32_t num_running = 0;   // known to ranks
  std::uint32_t num_draining = 0;  // blocks held for a step in flight
  std::uint32_t plans_outstanding = 0;
  std::uint32_t num_exports = 0;   // not over
  std::uint32_t num_imports = 0;   // not over
  Instant oldest_waiting_since;  // 0 when none waits
  std::uint64_t accepted = 0;
  std::uint64_t refused_overloaded = 0;
  std::uint64_t refused_bad_input = 0;
  std::uint64_t finished_stop = 0;
  std::uint64_t finished_length = 0;
  std::uint64_t aborted = 0;
  std::uint64_t failed = 0;
  std::uint64_t preemptions = 0;
  std::uint64_t held_back = 0;  // sequences, each time
  std::uint64_t steps_planned = 0;
  std::uint64_t prefill_rows = 0;  // planned, recomputed ones included
  std::uint64_t decode_rows = 0;
  std::uint64_t tokens_emitted = 0;
  std::uint64_t tokens_discarded = 0;  // computed past the end of a sequence
  std::uint64_t stale_results = 0;     // of another epoch or step: dropped
  std::uint64_t blocks_exported = 0;   // read for other replicas
  std::uint64_t blocks_imported = 0;   // filled with another replica's and published
  std::uint64_t blocks_damaged = 0;    // not filled with what was sent
  std::uint64_t blocks_given_up = 0;   // reserved for an import that ended without them
  kv::BlockStats blocks;
  bool operator==(const SchedulerStats&) const = default;
};

}  // namespace herd::scheduler
