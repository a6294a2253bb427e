// What this build speaks, in an object of its own: a program that has another own_protocols() links that one.

#include "cluster/handshake/hello.h"

namespace herd::handshake {

ProtocolRange own_protocols() { return {.min = 1, .max = 1}; }

}  // namespace herd::handshake
