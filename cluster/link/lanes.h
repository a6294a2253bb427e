#pragma once
// Lanes of a connection: messages of one lane arrive in the order they were sent; a message of an earlier lane overtakes those
// of later ones between two fragments. And who may send what to whom. Pure.

#include <cstddef>
#include <cstdint>

#include "cluster/handshake/hello.h"
#include "cluster/wire/envelope.h"

namespace herd::link {

enum class Lane : std::uint8_t {
  kLink,      // Hello, Ping, Goodbye: each is one fragment
  kControl,   // views, losses, joins
  kTokens,    // plans, results, tokens
  kRequests,  // prompts, and the aborts that must not overtake them
};
inline constexpr std::size_t kLanes = 4;

// Of an existing kind.
[[nodiscard]] Lane lane_of(wire::FrameKind kind);
// As a process of that role sends it: the loss that a leader tells its gateways does not overtake the tokens it made before.
[[nodiscard]] Lane lane_of(wire::FrameKind kind, handshake::Role from);

// Whether a process of role `from` has anything of that kind to say to one of role `to`.
[[nodiscard]] bool may_send(wire::FrameKind kind, handshake::Role from, handshake::Role to);

}  // namespace herd::link
