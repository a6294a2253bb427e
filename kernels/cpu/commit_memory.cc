#include "kernels/commit_memory.h"

#include <unistd.h>

namespace herd {
namespace {

// A write that changes nothing, in one indivisible step: what others write there at this moment stays. Not seen by a race
// detector, which knows bytes and not what is written to them.
void touch(std::uintptr_t at) {
#if defined(__x86_64__)
  asm volatile("lock orb $0, (%0)" ::"r"(at) : "memory");
#else
  __atomic_fetch_or(reinterpret_cast<volatile unsigned char*>(at), 0, __ATOMIC_RELAXED);
#endif
}

}  // namespace

// One page after another, and not MADV_POPULATE_WRITE: that holds the process's lock of mappings while pages are cleared, and a
// thread of low priority that holds it keeps others from mapping memory for as long as it is not run. A fault of its own takes
// the lock of one mapping (Linux 6.4).
void commit_memory(void* begin, std::size_t bytes) {
  const auto page = static_cast<std::uintptr_t>(::sysconf(_SC_PAGESIZE));
  const auto first = reinterpret_cast<std::uintptr_t>(begin);
  for (std::uintptr_t at = first; at < first + bytes; at = at / page * page + page) touch(at);
}

}  // namespace herd
