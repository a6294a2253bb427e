#pragma once
// kernels/cuda/instructions.h, emulated: the same functions. See there for what they do; here only what differs.

#include <cuda_runtime.h>

#include <cstdint>
#include <cstring>

#include "emulated_thread.h"

namespace herd::cuda {

inline constexpr int kWarp = 32;

inline void block_barrier() { emulator::block_barrier(); }
inline void warp_barrier() { emulator::warp_barrier(); }

// Exactly as many bytes as the launch asked for.
inline unsigned char* dynamic_shared() { return emulator::running->dynamic_shared; }

namespace emulated {
template <class T>
T exchange(emulator::Collective kind, int detail, T value, unsigned source) {
  static_assert(sizeof(T) == 4 || sizeof(T) == 8, "a shuffle moves 4 or 8 bytes");
  std::uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof value);
  bits = emulator::exchange(kind, detail, bits, source);
  std::memcpy(&value, &bits, sizeof value);
  return value;
}
inline const uint4& aligned16(const void* from) {
  if (reinterpret_cast<std::uintptr_t>(from) % 16 != 0)
    emulator::fault("a 16-byte load of an address not aligned to 16");
  return *static_cast<const uint4*>(from);
}
}  // namespace emulated

template <class T>
T shuffle(T value, int lane) {
  return emulated::exchange(emulator::Collective::kShuffle, 0, value, static_cast<unsigned>(lane) % kWarp);
}
template <class T>
T shuffle_xor(T value, int mask) {
  if (mask < 0 || mask >= kWarp) emulator::fault("shuffle_xor: a mask outside [0, 32)");
  return emulated::exchange(emulator::Collective::kShuffleXor, mask, value,
                            emulator::running->lane ^ static_cast<unsigned>(mask));
}
template <class T>
T shuffle_down(T value, int delta) {
  if (delta < 0 || delta >= kWarp) emulator::fault("shuffle_down: a delta outside [0, 32)");
  return emulated::exchange(emulator::Collective::kShuffleDown, delta, value,
                            emulator::running->lane + static_cast<unsigned>(delta));
}
inline std::uint32_t ballot(bool predicate) { return emulator::ballot(predicate); }

// Threads of a block run one at a time and change at collectives alone.
inline std::uint32_t fetch_add(std::uint32_t* counter, std::uint32_t value) {
  const std::uint32_t before = *counter;
  *counter = before + value;
  return before;
}

inline uint4 load16(const void* from) { return emulated::aligned16(from); }
inline uint4 load16_streaming(const void* from) { return emulated::aligned16(from); }

inline void copy16_async(void* shared, const void* from, bool valid) { emulator::copy16_async(shared, from, valid); }
inline void copy_commit() { emulator::copy_commit(); }
template <int kPending>
void copy_wait() {
  emulator::copy_wait(kPending);
}

// A model of the instruction, not its bits: emulated_mma.h.
inline void mma_bf16(float (&c)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2]) {
  emulator::mma_bf16(c, a, b);
}

}  // namespace herd::cuda
