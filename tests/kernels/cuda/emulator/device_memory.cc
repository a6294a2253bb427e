#include "tests/kernels/cuda/emulator/device_memory.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>

#include "tests/kernels/cuda/emulator/call.h"

namespace herd::emulator {
namespace {

constexpr std::size_t kAlignment = 256;
constexpr std::size_t kGranularity = 512;                     // of the count of what is allocated
constexpr std::size_t kPoisonBytes = std::size_t{256} << 20;  // of very large blocks (KV pools) only the beginning

struct Allocation {
  std::size_t bytes = 0;
  MemoryKind kind = MemoryKind::kDevice;
  int device = 0;
};

struct Registry {
  std::mutex mutex;
  std::map<std::uintptr_t, Allocation> allocations;
  std::map<int, std::size_t> allocated;  // by device
};
Registry& registry() {
  static auto* const all = new Registry;
  return *all;
}

std::size_t counted(std::size_t bytes) { return (bytes + kGranularity - 1) / kGranularity * kGranularity; }

void* fresh(std::size_t bytes) {
  void* memory = nullptr;
  if (::posix_memalign(&memory, kAlignment, bytes) != 0) return nullptr;
  std::memset(memory, 0xff, std::min(bytes, kPoisonBytes));
  return memory;
}

// The allocation that holds `address`, or whose end it is. With the registry locked.
const std::pair<const std::uintptr_t, Allocation>* find(std::uintptr_t address) {
  auto& allocations = registry().allocations;
  auto after = allocations.upper_bound(address);
  if (after == allocations.begin()) return nullptr;
  --after;
  return address - after->first <= after->second.bytes ? &*after : nullptr;
}

}  // namespace

MemoryAt memory_at(const void* address, std::size_t bytes) {
  const std::lock_guard lock(registry().mutex);
  const auto at = reinterpret_cast<std::uintptr_t>(address);
  const auto* found = find(at);
  if (found == nullptr || (at - found->first == found->second.bytes && bytes != 0)) return {};
  return {found->second.kind, bytes > found->second.bytes - (at - found->first)};
}

void* allocate_device(int device, std::size_t bytes) {
  {
    const std::lock_guard lock(registry().mutex);
    std::size_t& allocated = registry().allocated[device];
    const std::size_t total = device_memory_bytes();
    if (bytes > total || allocated > total - counted(bytes) || counted(bytes) > total) return nullptr;
    allocated += counted(bytes);
  }
  void* memory = fresh(bytes);
  const std::lock_guard lock(registry().mutex);
  if (memory == nullptr) {
    registry().allocated[device] -= counted(bytes);
    return nullptr;
  }
  registry().allocations[reinterpret_cast<std::uintptr_t>(memory)] = {bytes, MemoryKind::kDevice, device};
  return memory;
}

void* allocate_pinned(std::size_t bytes) {
  void* memory = fresh(bytes);
  if (memory == nullptr) return nullptr;
  const std::lock_guard lock(registry().mutex);
  registry().allocations[reinterpret_cast<std::uintptr_t>(memory)] = {bytes, MemoryKind::kPinned, 0};
  return memory;
}

int device_of(const void* memory, MemoryKind kind) {
  const std::lock_guard lock(registry().mutex);
  const auto at = registry().allocations.find(reinterpret_cast<std::uintptr_t>(memory));
  return at == registry().allocations.end() || at->second.kind != kind ? -1 : at->second.device;
}

void release(void* memory) {
  {
    const std::lock_guard lock(registry().mutex);
    const auto at = registry().allocations.find(reinterpret_cast<std::uintptr_t>(memory));
    if (at->second.kind == MemoryKind::kDevice) registry().allocated[at->second.device] -= counted(at->second.bytes);
    registry().allocations.erase(at);
  }
  std::free(memory);
}

std::size_t allocated_bytes(int device) {
  const std::lock_guard lock(registry().mutex);
  return registry().allocated[device];
}

bool is_host_address(std::uint64_t word) {
  // Where Linux on x86-64 maps programs, libraries and heaps (AddressSanitizer's too, its shadow is below); pairs of
  // 32-bit counts are mostly smaller, and mostly not mapped.
  if (word < std::uint64_t{0x5000'0000'0000} || word >= (std::uint64_t{1} << 47)) return false;
  {
    const std::lock_guard lock(registry().mutex);
    if (find(word) != nullptr) return false;
  }
  unsigned char resident = 0;
  return ::mincore(reinterpret_cast<void*>(word & ~std::uint64_t{4095}), 1, &resident) == 0;
}

}  // namespace herd::emulator
