#pragma once
// Protocol 2, as a later build might speak it beside protocol 1. In protocol 1 a submission says how many tokens its answer may have; in
// protocol 2 how many it may have together with its prompt. Who takes one for the other makes answers of other lengths.
//
// next_protocol.cc has the functions of cluster/handshake/protocol.cc and cluster/wire/spoken.cc; a program that has it among its own
// sources links neither. HERD_TEST_PROTOCOL_LOG names a file that gets a line for each submission: "wrote 2", "read 1".

#include <cstdint>

namespace herd::next {

inline constexpr std::uint32_t kOlderProtocol = 1;
inline constexpr std::uint32_t kNextProtocol = 2;

}  // namespace herd::next
