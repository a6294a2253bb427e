#pragma once
// Hello <-> the message of schema/control.capnp, and the one rule of who may talk to whom.

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "cluster/wire/envelope.h"
#include "kernels/status.h"

namespace herd::wire {

inline constexpr std::uint32_t kProtocolVersion = 1;
inline constexpr std::size_t kHelloTextBytesMax = 256;

struct Hello {
  std::uint32_t protocol_version = kProtocolVersion;
  std::string build_id;
  std::string model;
  std::string numerics_id;
  bool operator==(const Hello&) const = default;
};

[[nodiscard]] Status validate(const Hello& hello);
[[nodiscard]] Frame encode(const Hello& hello);
[[nodiscard]] Expected<Hello> decode_hello(std::span<const std::uint64_t> words);

// Ok, or a refusal that holds both values. The build id is for people and may differ.
[[nodiscard]] Status check_hello(const Hello& ours, const Hello& theirs);

}  // namespace herd::wire
