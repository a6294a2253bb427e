#pragma once
// RankSpec <-> the message of schema/rank.capnp. Decoding is validation: what comes out of decode passes validate, what goes
// into encode must.

#include <cstddef>
#include <cstdint>
#include <span>

#include "cluster/placement/rank_spec.h"
#include "cluster/wire/envelope.h"
#include "kernels/status.h"

namespace herd::wire {

inline constexpr std::size_t kPathBytesMax = 4096;

[[nodiscard]] Status validate(const placement::RankSpec& spec);
[[nodiscard]] Frame encode(const placement::RankSpec& spec);
[[nodiscard]] Expected<placement::RankSpec> decode_rank_spec(std::span<const std::uint64_t> words);

}  // namespace herd::wire
