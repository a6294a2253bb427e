#pragma once
// Sleeping on a 32-bit atomic (futex(2)), within this process. std::atomic::wait has no timeout and decides itself
// how long it spins.

#include <atomic>
#include <cstdint>

namespace herd {

// Sleeps while `word` holds `expected`, at most `timeout_ns` (< 0: no limit). May wake early: call in a loop.
void futex_wait(const std::atomic<std::uint32_t>& word, std::uint32_t expected, std::int64_t timeout_ns);
void futex_wake_all(const std::atomic<std::uint32_t>& word);
// One turn of a spin loop: tells the core that this thread only waits.
void spin_pause();

}  // namespace herd
