#pragma once
// Memory that was promised when it was allocated and comes when it is first touched, made to be there before.

#include <cstddef>
#include <cstdint>
#include <string>

namespace herd {

// Returns when every page of the bytes, memory of a CPU device, has memory behind it. What they hold stays, whoever reads and
// writes them meanwhile. Where the system has none to give it ends a process, as at any first touch: ask committable_bytes before.
void commit_memory(void* begin, std::size_t bytes);

// Bytes that may still be committed before the machine or a cgroup of this process is out of memory. Limits of address space do
// not count: what was allocated has its place there. `root` is "" outside tests.
[[nodiscard]] std::uint64_t committable_bytes(const std::string& root = "");

}  // namespace herd
