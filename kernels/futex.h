#pragma once
// Sleeping on a 32-bit atomic (futex(2)). std::atomic::wait has no timeout and decides itself how long it spins.

#include <atomic>
#include <cstdint>

namespace herd {

// Who wakes whom: threads of one process, which is cheaper, or of all that map the word's memory.
enum class FutexScope { kProcess, kProcesses };

// Sleeps while `word` holds `expected`, at most `timeout_ns` (< 0: no limit). May wake early: call in a loop.
void futex_wait(const std::atomic<std::uint32_t>& word, std::uint32_t expected, std::int64_t timeout_ns,
                FutexScope scope = FutexScope::kProcess);
void futex_wake_all(const std::atomic<std::uint32_t>& word, FutexScope scope = FutexScope::kProcess);
// One turn of a spin loop: tells the core that this thread only waits.
void spin_pause();

}  // namespace herd
