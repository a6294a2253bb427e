#pragma once
// chunk_rows: how long a step may take while streams wait for its end, and how many rows of a prompt that leaves room for.
// Pure.
//
// A stream gets one token a step, so a chunk of a prompt in that step is a pause for every stream: 512 rows of a 1B model are
// seconds on a CPU. Chunked prefill (Sarathi-Serve, Agrawal et al. 2024) bounds the pause by a number of rows; here it is
// bounded by time, since what a row takes depends on the model, the machine and the context behind it.

#include <cstdint>
#include <optional>

#include "runtime/scheduler/step_cost.h"

namespace herd::scheduler {

// The prompts of a step get so many rows together, however long they take: what waits always goes on.
inline constexpr std::uint32_t kPromptRowsMin = 16;

// How long a step may take while streams wait for it, in seconds; `decode_s`: what its decodes alone are predicted to take.
// `max_step_ms` is SchedulerConfig's: 0: as long as it likes (infinity); nullopt: a quarter longer than the decodes alone, but at
// least 50 ms, which nobody sees in a text, and at most 150 ms more than the decodes.
[[nodiscard]] double step_seconds_max(std::optional<std::uint32_t> max_step_ms, double decode_s);

// The step with a chunk of `rows` rows behind `position` tokens of its sequence. One of the rows goes through the head.
[[nodiscard]] StepShape with_chunk(StepShape step, std::uint32_t position, std::uint32_t rows);

struct ChunkBounds {
  std::uint32_t min = 0;  // rows that it gets in any case; at most max
  std::uint32_t max = 0;
};
// The most rows of a chunk behind `position` tokens with which the step is predicted to take seconds_max at most; at least
// bounds.min, at most bounds.max. A time that is not a number counts as too long.
[[nodiscard]] std::uint32_t chunk_rows(const StepCost& cost, const StepShape& step, std::uint32_t position, ChunkBounds bounds,
                                       double seconds_max);

}  // namespace herd::scheduler
