// Of this build, in an object of its own, as cluster/handshake/protocol.cc: version 1 is the only one.

#include "cluster/wire/spoken.h"

namespace herd::wire {

std::optional<Frame> as_spoken(const Frame&, std::uint32_t) { return std::nullopt; }

Status as_heard(Frame&, std::uint32_t) { return {}; }

}  // namespace herd::wire
