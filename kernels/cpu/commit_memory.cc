#include "kernels/commit_memory.h"

#include <cerrno>
#include <cstdint>

#include <sys/mman.h>
#include <unistd.h>

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23  // Linux 5.14
#endif

namespace herd {
namespace {

// For kernels that cannot populate: a write that changes nothing, in one indivisible step.
void touch(std::uintptr_t begin, std::uintptr_t end, std::uintptr_t page) {
  for (std::uintptr_t at = begin; at < end; at += page)
    __atomic_fetch_or(reinterpret_cast<volatile unsigned char*>(at), 0, __ATOMIC_RELAXED);
}

}  // namespace

bool commit_memory(void* begin, std::size_t bytes) {
  const auto page = static_cast<std::uintptr_t>(::sysconf(_SC_PAGESIZE));
  const std::uintptr_t first = reinterpret_cast<std::uintptr_t>(begin) / page * page;
  const std::uintptr_t end = (reinterpret_cast<std::uintptr_t>(begin) + bytes + page - 1) / page * page;
  if (bytes == 0) return true;
  int error = 0;
  do {
    error = ::madvise(reinterpret_cast<void*>(first), end - first, MADV_POPULATE_WRITE) == 0 ? 0 : errno;
  } while (error == EINTR || error == EAGAIN);
  if (error == EINVAL) touch(first, end, page);
  return error == 0 || error == EINVAL;
}

}  // namespace herd
