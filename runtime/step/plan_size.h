#pragma once
// How long the message of a plan becomes, before it is made. Whoever plans keeps it below what one message holds: a plan
// that is too long for its frame could not be sent at all. In words of 8 bytes; never less than cluster/wire/step_codec.h
// makes of it. Pure.

#include <cstddef>
#include <cstdint>

#include "runtime/step/sampling_params.h"

namespace herd::step {

// 16 MiB, the frame of a plan.
inline constexpr std::uint32_t kPlanWordsMax = std::uint32_t{1} << 21;

// A plan without starts, of at most so many sequences that ranks know: one slice of each with at most one new block, and
// each released.
[[nodiscard]] std::uint64_t plan_words(std::size_t sequences);

// What so many reads, writes and transfers to forget add, together.
[[nodiscard]] std::uint64_t copies_words(std::size_t copies);

// What a start adds, with all blocks of its table, cached ones and new ones.
[[nodiscard]] std::uint64_t start_words(std::size_t tokens, std::size_t blocks, const SamplingParams& sampling,
                                        std::size_t stop_ids);

}  // namespace herd::step
