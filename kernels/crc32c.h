#pragma once
// CRC-32C (Castagnoli): the checksum of what travels between processes. Pure.

#include <cstddef>
#include <cstdint>
#include <span>

namespace herd {

// Continued from `crc` (0 to begin).
[[nodiscard]] std::uint32_t crc32c(std::span<const std::byte> bytes, std::uint32_t crc = 0);

// The same, by tables alone: what CPUs without the instruction run (SSE 4.2 has it).
[[nodiscard]] std::uint32_t crc32c_by_table(std::span<const std::byte> bytes, std::uint32_t crc = 0);

}  // namespace herd
