#pragma once
// Submission, Abort and TokenDelta <-> the messages of schema/generate.capnp. Decoding is validation: what comes
// out of decode passes validate, what goes into encode must.

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "cluster/wire/envelope.h"
#include "kernels/status.h"
#include "runtime/step/attempt_key.h"
#include "runtime/step/cut_deltas.h"
#include "runtime/step/submission.h"

namespace herd::wire {

inline constexpr std::size_t kSequenceTokensMax = std::size_t{1} << 20;
inline constexpr std::size_t kEosIdsMax = 128;
inline constexpr std::size_t kSourceAddressBytesMax = 256;
inline constexpr std::size_t kDeltasMax = 65536;
inline constexpr std::size_t kErrorMessageBytesMax = 4096;  // longer ones are cut by encode
inline constexpr std::uint32_t kOutputRowsMax = 1U << 20;
inline constexpr std::uint32_t kOutputLayersMax = 1024;
inline constexpr std::uint32_t kOutputWidthMax = 1U << 22;
inline constexpr std::size_t kOutputValuesMax = std::size_t{1} << 22;  // no frame holds more

// What the messages may hold. A gateway checks a submission before it accepts it; every attempt may be aborted.
[[nodiscard]] Status validate(const step::Submission& submission);
[[nodiscard]] Status validate(std::span<const step::TokenDelta> deltas);
[[nodiscard]] Status validate(const step::AttemptKey& aborted);

[[nodiscard]] Frame encode(const step::Submission& submission);
[[nodiscard]] Frame encode(const step::AttemptKey& aborted);
[[nodiscard]] Frame encode(std::span<const step::TokenDelta> deltas);

[[nodiscard]] Expected<step::Submission> decode_submission(std::span<const std::uint64_t> words);
[[nodiscard]] Expected<step::AttemptKey> decode_abort(std::span<const std::uint64_t> words);
[[nodiscard]] Expected<std::vector<step::TokenDelta>> decode_token_deltas(std::span<const std::uint64_t> words);

}  // namespace herd::wire
