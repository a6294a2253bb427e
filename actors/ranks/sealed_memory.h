#pragma once
// SealedMemory: memory that several processes of this machine map: a memfd that can neither shrink nor grow, so that nobody who has
// it can take pages away under the others. No CAF.

#include <cstddef>
#include <memory>

#include "kernels/status.h"

namespace herd::actors {

struct SealedMemory {
  std::shared_ptr<void> memory;  // page aligned; the mapping goes with its last owner
  int fd = -1;                   // close-on-exec, the caller's; -1: another process's
};

// Zeros. `name` is what /proc shows. kMissing: no memory or descriptors.
[[nodiscard]] Expected<SealedMemory> make_sealed_memory(const char* name, std::size_t bytes);
// Of a descriptor that came from another process, which stays the caller's. kBadInput: it is no memory of that size, or it is not
// sealed. kMissing: it cannot be mapped.
[[nodiscard]] Expected<SealedMemory> map_sealed_memory(const char* name, int fd, std::size_t bytes);

}  // namespace herd::actors
