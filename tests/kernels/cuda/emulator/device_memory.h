#pragma once
// Which addresses are memory of an emulated device, which are pinned host memory. All of it is heap memory, so that
// AddressSanitizer finds what a kernel does outside of it. Fresh memory is full of 0xff: NaN as float, -1 as index.

#include <cstddef>
#include <cstdint>

namespace herd::emulator {

enum class MemoryKind { kPageable, kPinned, kDevice };

// Of [address, address + bytes): of what it begins in; `broken` when it ends outside of that allocation.
struct MemoryAt {
  MemoryKind kind = MemoryKind::kPageable;
  bool broken = false;
};
[[nodiscard]] MemoryAt memory_at(const void* address, std::size_t bytes);

// Null when that would exceed the device's memory.
[[nodiscard]] void* allocate_device(int device, std::size_t bytes);
[[nodiscard]] void* allocate_pinned(std::size_t bytes);
// Where an allocation of this kind begins: its device; -1 when none does (for pinned memory: 0).
[[nodiscard]] int device_of(const void* memory, MemoryKind kind);
void release(void* memory);
[[nodiscard]] std::size_t allocated_bytes(int device);

// Whether `word` is, to all appearances, an address of ordinary host memory: mapped, and in no allocation of a device
// and in no pinned one (one past the end of those is fine).
[[nodiscard]] bool is_host_address(std::uint64_t word);

}  // namespace herd::emulator
