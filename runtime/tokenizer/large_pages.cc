#include "runtime/tokenizer/large_pages.h"

#include <cstdint>
#include <new>

#include <sys/mman.h>

namespace herd::tokenizer {
namespace {

constexpr std::uintptr_t kPageBytes = 4096;
constexpr std::size_t kLargePageBytes = std::size_t{2} << 20;

}  // namespace

void advise_large_pages(const void* begin, std::size_t bytes) {
  if (bytes < kLargeTableBytes) return;
  const std::uintptr_t first = reinterpret_cast<std::uintptr_t>(begin) & ~(kPageBytes - 1);
  const std::uintptr_t end = (reinterpret_cast<std::uintptr_t>(begin) + bytes + kPageBytes - 1) & ~(kPageBytes - 1);
  ::madvise(reinterpret_cast<void*>(first), end - first, MADV_HUGEPAGE);  // a refusal changes nothing
}

void* allocate_large(std::size_t bytes) {
  const std::size_t rounded = (bytes + kLargePageBytes - 1) & ~(kLargePageBytes - 1);
  if (rounded < bytes) throw std::bad_alloc();
  void* memory = ::operator new(rounded, std::align_val_t{kLargePageBytes});
  advise_large_pages(memory, rounded);
  return memory;
}

void free_large(void* memory) { ::operator delete(memory, std::align_val_t{kLargePageBytes}); }

}  // namespace herd::tokenizer
