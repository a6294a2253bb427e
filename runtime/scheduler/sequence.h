#pragma once
// Sequence: what the scheduler knows about one accepted submission. A value without behaviour beyond lengths;
// every transition is the scheduler's.

#include <cstdint>
#include <optional>
#include <tuple>
#include <vector>

#include "runtime/clock.h"
#include "runtime/ids.h"
#include "runtime/kv/block_manager.h"
#include "runtime/step/submission.h"

namespace herd::scheduler {

using Slot = std::uint32_t;  // of a sequence in the table
// Position in the total order of service: smaller is served first, the largest is preempted first.
using Rank = std::tuple<std::int32_t, std::uint64_t, Slot>;

enum class SequenceState : std::uint8_t {
  kFree,        // slot without a sequence
  kWaiting,     // not known to ranks, holds no blocks; new or preempted
  kRunning,     // known to ranks, holds blocks
  kPreempting,  // released at ranks, holds blocks until its last step is acknowledged; then waits
  kEnded,       // terminal delta given, holds blocks until its last step is acknowledged; then the slot is free
};

struct Sequence {
  SequenceState state = SequenceState::kFree;
  SequenceId id;
  std::uint32_t attempt = 0;
  std::vector<TokenId> tokens;  // prompt + emitted
  std::uint32_t prompt_tokens = 0;
  std::uint32_t tokens_max = 0;  // tokens.size() at which it ends with kLength
  bool sampling = true;          // false: scoring only, ends when the prompt is computed
  step::SamplingParams params;
  std::vector<TokenId> stop_ids;  // end of sequence (unless ignored) and stop tokens
  std::int32_t priority = 0;
  std::uint64_t arrival = 0;  // accepted submissions before this one
  std::uint64_t cache_salt = 0;
  step::OutputSelector output = step::OutputSelector::kNone;
  std::uint32_t alone_until = 0;  // step::Submission
  Instant submitted_at;

  kv::BlockTable table;
  std::uint32_t prefill_target = 0;   // tokens.size() at the last admission
  std::uint32_t planned_tokens = 0;   // rows [0, planned) are cached, computed or in flight
  std::uint32_t computed_tokens = 0;  // rows [0, computed) are cached or acknowledged
  std::uint32_t steps_in_flight = 0;
  std::uint32_t samples_in_flight = 0;  // tokens those steps will bring
  std::uint32_t sent_blocks = 0;        // leading blocks of the table that ranks know
  std::uint32_t blocks_returning = 0;   // kPreempting, kEnded: what its free() is expected to bring
  std::optional<Slot> held_by;          // kWaiting: who computes a prefix of it
  std::uint32_t blocks_claimed = 0;      // with held_by: blocks to take when that prefix is cached
  bool sampled_since_admission = false;
  bool was_admitted = false;
  std::uint32_t cached_tokens = 0;     // prompt tokens from the prefix cache at the first admission
  Instant first_planned_at;            // valid when was_admitted: admission computes rows in the same plan
  bool prefilled = false;              // the first token is there (scoring: the last row)
  float prefill_s = 0.0F;              // 0 until prefilled
  std::uint32_t preemptions = 0;
  // Outputs of positions [0, sent) went out in deltas; what is computed again is not sent again.
  std::uint32_t output_rows_sent = 0;

  [[nodiscard]] std::uint32_t num_tokens() const { return static_cast<std::uint32_t>(tokens.size()); }
  [[nodiscard]] std::uint32_t emitted_tokens() const { return num_tokens() - prompt_tokens; }
  // A suspect: no other sequence computes in the same step, nor in one that is out at the same time.
  [[nodiscard]] bool on_probation() const { return alone_until > 0 && emitted_tokens() <= alone_until; }
  // What ranks are still to hand back. Log-probabilities of the prompt end with the prompt.
  [[nodiscard]] step::OutputSelector output_owed() const {
    const bool sent = output == step::OutputSelector::kPromptLogprobs && output_rows_sent >= prompt_tokens;
    return sent ? step::OutputSelector::kNone : output;
  }
  [[nodiscard]] bool prefilling() const { return planned_tokens < prefill_target; }
};

}  // namespace herd::scheduler
