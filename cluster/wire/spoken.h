#pragma once
// Messages as a protocol version has them (handshake::own_protocols()). Codecs know the newest version only; what another has
// differently is rewritten here, between a codec and the connection, on both sides. A field that is added needs nothing here: who does
// not know it reads past it, and who misses it reads its default.

#include <cstdint>
#include <optional>

#include "cluster/wire/envelope.h"
#include "kernels/status.h"

namespace herd::wire {

// `protocol`: as both ends agreed. The frame to send instead; nothing: this one.
[[nodiscard]] std::optional<Frame> as_spoken(const Frame& frame, std::uint32_t protocol);
// A frame that came becomes what this build's codecs read. kBadInput: it is none of that version.
[[nodiscard]] Status as_heard(Frame& frame, std::uint32_t protocol);

}  // namespace herd::wire
