#pragma once
// What the two ends of a connection tell each other about it, beside Hello. Values.

#include "kernels/status.h"

namespace herd::handshake {

// That the sender's connection lives.
struct Ping {
  bool operator==(const Ping&) const = default;
};

// Why a side closes on purpose.
struct Goodbye {
  Status why;  // not ok
  bool operator==(const Goodbye&) const = default;
};

}  // namespace herd::handshake
