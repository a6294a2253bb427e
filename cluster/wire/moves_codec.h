#pragma once
// What two replicas tell each other while blocks move (cluster/replica/move_messages.h) <-> the messages of schema/moves.capnp. The
// blocks themselves are step_codec.h's. Decoding is validation: what comes out of decode passes validate, what goes into encode must.

#include <cstddef>
#include <cstdint>
#include <span>

#include "cluster/replica/move_messages.h"
#include "cluster/wire/envelope.h"
#include "kernels/status.h"

namespace herd::wire {

inline constexpr std::size_t kMoveBlocksMax = std::size_t{1} << 16;

[[nodiscard]] Status validate(const replica::MoveAsk& ask);
[[nodiscard]] Status validate(const replica::MoveGrant& grant);
[[nodiscard]] Status validate(const replica::MoveStop& stop);
[[nodiscard]] Status validate(const replica::MoveFound& found);
[[nodiscard]] Status validate(const replica::MoveOver& over);

[[nodiscard]] Frame encode(const replica::MoveAsk& ask);
[[nodiscard]] Frame encode(const replica::MoveGrant& grant);
[[nodiscard]] Frame encode(const replica::MoveStop& stop);
[[nodiscard]] Frame encode(const replica::MoveFound& found);
[[nodiscard]] Frame encode(const replica::MoveOver& over);

[[nodiscard]] Expected<replica::MoveAsk> decode_move_ask(std::span<const std::uint64_t> words);
[[nodiscard]] Expected<replica::MoveGrant> decode_move_grant(std::span<const std::uint64_t> words);
[[nodiscard]] Expected<replica::MoveStop> decode_move_stop(std::span<const std::uint64_t> words);
[[nodiscard]] Expected<replica::MoveFound> decode_move_found(std::span<const std::uint64_t> words);
[[nodiscard]] Expected<replica::MoveOver> decode_move_over(std::span<const std::uint64_t> words);

}  // namespace herd::wire
