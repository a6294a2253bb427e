#pragma once
// Ping and Goodbye <-> the messages of schema/link.capnp. Decoding is validation: what comes out of decode passes validate, what
// goes into encode must.

#include <cstddef>
#include <cstdint>
#include <span>

#include "cluster/handshake/link_words.h"
#include "cluster/wire/envelope.h"
#include "kernels/status.h"

namespace herd::wire {

inline constexpr std::size_t kGoodbyeBytesMax = 1024;  // longer texts are cut by encode

[[nodiscard]] Status validate(const handshake::Ping& ping);  // every one is valid
[[nodiscard]] Status validate(const handshake::Goodbye& goodbye);

[[nodiscard]] Frame encode(const handshake::Ping& ping);
[[nodiscard]] Frame encode(const handshake::Goodbye& goodbye);

[[nodiscard]] Expected<handshake::Ping> decode_ping(std::span<const std::uint64_t> words);
[[nodiscard]] Expected<handshake::Goodbye> decode_goodbye(std::span<const std::uint64_t> words);

}  // namespace herd::wire
