#pragma once
// Strong ids of the runtime: what names what. Explicit conversion only, except TokenId, which is arithmetic
// (an index into the vocabulary) everywhere it is used.

#include <compare>
#include <cstdint>
#include <functional>

namespace herd {

using TokenId = std::int32_t;  // [0, vocab_size)

template <class Tag, class Number>
struct StrongId {
  Number value{};
  constexpr StrongId() = default;
  constexpr explicit StrongId(Number number) : value(number) {}
  constexpr auto operator<=>(const StrongId&) const = default;
};

// One life of a gateway process: 64 random bits drawn at its start. A gateway that starts again is another one.
using GatewayId = StrongId<struct GatewayIdTag, std::uint64_t>;
// One token stream inside a request (n choices = n sequences). Unique within a gateway's life; between processes it goes
// with the gateway and the attempt (runtime/step/attempt_key.h).
using SequenceId = StrongId<struct SequenceIdTag, std::uint64_t>;
using RequestId = StrongId<struct RequestIdTag, std::uint64_t>;
// A copy of KV blocks out of a replica or into it, as that replica and its ranks name it; no other one of the same kind has its
// id there until it is over.
using TransferId = StrongId<struct TransferIdTag, std::uint64_t>;
// A KV block of one replica's pool: [0, num_blocks).
using BlockId = StrongId<struct BlockIdTag, std::uint32_t>;
using ReplicaId = StrongId<struct ReplicaIdTag, std::uint32_t>;
// Generation of a replica's membership; every message carries it, stale ones are dropped.
using Epoch = StrongId<struct EpochTag, std::uint64_t>;
// Step of a replica; the first plan of an epoch is 1, strictly rising.
using StepId = StrongId<struct StepIdTag, std::uint64_t>;

}  // namespace herd

template <class Tag, class Number>
struct std::hash<herd::StrongId<Tag, Number>> {
  std::size_t operator()(const herd::StrongId<Tag, Number>& id) const noexcept {
    return std::hash<Number>{}(id.value);
  }
};
