#pragma once
// StepPlan, StepResult and BlockPart <-> the messages of schema/step.capnp. Decoding is validation: what comes out of decode
// passes validate, what goes into encode must.

#include <cstddef>
#include <cstdint>
#include <span>

#include "cluster/wire/envelope.h"
#include "kernels/status.h"
#include "runtime/step/block_bytes.h"
#include "runtime/step/step_plan.h"

namespace herd::wire {

inline constexpr std::size_t kStepSequencesMax = 65536;
inline constexpr std::size_t kStopIdsMax = 256;
inline constexpr std::size_t kSequenceBlocksMax = std::size_t{1} << 20;
inline constexpr std::uint32_t kRanksMax = 4096;
inline constexpr std::size_t kPlanCopiesMax = 1024;

[[nodiscard]] Status validate(const step::StepPlan& plan);
[[nodiscard]] Status validate(const step::StepResult& result);
[[nodiscard]] Status validate(const step::BlockPart& part);

[[nodiscard]] Frame encode(const step::StepPlan& plan);
[[nodiscard]] Frame encode(const step::StepResult& result);
[[nodiscard]] Frame encode(const step::BlockPart& part);

[[nodiscard]] Expected<step::StepPlan> decode_step_plan(std::span<const std::uint64_t> words);
[[nodiscard]] Expected<step::StepResult> decode_step_result(std::span<const std::uint64_t> words);
[[nodiscard]] Expected<step::BlockPart> decode_block_part(std::span<const std::uint64_t> words);

}  // namespace herd::wire
