#pragma once
// What a node and the coordinator tell each other (cluster/membership/node_messages.h) <-> the messages of
// schema/membership.capnp. Decoding is validation: what comes out of decode passes validate, what goes into encode must.

#include <cstdint>
#include <span>

#include "cluster/membership/node_messages.h"
#include "cluster/wire/envelope.h"
#include "kernels/status.h"

namespace herd::wire {

[[nodiscard]] Status validate(const membership::NodeJoin& join);
[[nodiscard]] Status validate(const membership::Assignment& assignment);
[[nodiscard]] Status validate(const membership::PlaceAsk& ask);
[[nodiscard]] Status validate(const membership::Placed& placed);
[[nodiscard]] Status validate(const membership::Serving& serving);
[[nodiscard]] Status validate(const membership::GivenUp& given_up);
[[nodiscard]] Status validate(const membership::NodeLeaving& leaving);

[[nodiscard]] Frame encode(const membership::NodeJoin& join);
[[nodiscard]] Frame encode(const membership::Assignment& assignment);
[[nodiscard]] Frame encode(const membership::PlaceAsk& ask);
[[nodiscard]] Frame encode(const membership::Placed& placed);
[[nodiscard]] Frame encode(const membership::Serving& serving);
[[nodiscard]] Frame encode(const membership::GivenUp& given_up);
[[nodiscard]] Frame encode(const membership::NodeLeaving& leaving);

[[nodiscard]] Expected<membership::NodeJoin> decode_node_join(std::span<const std::uint64_t> words);
[[nodiscard]] Expected<membership::Assignment> decode_assignment(std::span<const std::uint64_t> words);
[[nodiscard]] Expected<membership::PlaceAsk> decode_place_ask(std::span<const std::uint64_t> words);
[[nodiscard]] Expected<membership::Placed> decode_placed(std::span<const std::uint64_t> words);
[[nodiscard]] Expected<membership::Serving> decode_serving(std::span<const std::uint64_t> words);
[[nodiscard]] Expected<membership::GivenUp> decode_given_up(std::span<const std::uint64_t> words);
[[nodiscard]] Expected<membership::NodeLeaving> decode_node_leaving(std::span<const std::uint64_t> words);

}  // namespace herd::wire
