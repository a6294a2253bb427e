#pragma once
// Random numbers from the system, for all that must not be guessed or met twice: ids, keys, seeds. Any thread.

#include <cstdint>
#include <span>

namespace herd::commands {

void random_bytes(std::span<std::uint8_t> bytes);
[[nodiscard]] std::uint64_t random_number();
// What tells one life of a process from another; not 0.
[[nodiscard]] std::uint64_t random_incarnation();

}  // namespace herd::commands
