#pragma once
// What the two ends of a connection tell each other about it, beside Hello. Values.

#include <cstdint>

#include "kernels/status.h"

namespace herd::handshake {

// How far a process has come with what it works on: travels with every ping.
struct Progress {
  std::uint64_t done = 0;  // pieces of work finished, such as steps; rises
  std::uint32_t open = 0;  // under way; 0: idle
  bool operator==(const Progress&) const = default;
};

// Why a side closes on purpose.
struct Goodbye {
  Status why;  // not ok
  bool operator==(const Goodbye&) const = default;
};

}  // namespace herd::handshake
