#pragma once
// What a thread of an emulated kernel knows and may do. Behind threadIdx and its kin (cuda_runtime.h) and the functions
// of kernels/cuda/instructions.h; nothing else includes it.
//
// The threads of a block are fibers on the OS thread that runs the kernel. A fiber runs until a collective, where it
// waits for its warp or block; the last one to arrive does the work for all.

#include <cstddef>
#include <cstdint>

namespace herd::emulator {

struct Coordinates {
  unsigned x, y, z;
};

struct RunningThread {
  Coordinates index;
  unsigned lane = 0, warp = 0;
  unsigned char* dynamic_shared = nullptr;
};

// Of the fiber that runs on this OS thread; null outside of kernels. Not static TLS: a library that is loaded late gets
// a few hundred bytes of that, for all its thread-local memory together (__shared__ arrays too).
extern __thread RunningThread* running;
extern __thread Coordinates threadIdx;  // CUDA's names
extern __thread Coordinates blockIdx;
extern __thread Coordinates blockDim;
extern __thread Coordinates gridDim;

enum class Collective : std::uint8_t {
  kNone,
  kBlockBarrier,
  kWarpBarrier,
  kShuffle,
  kShuffleXor,
  kShuffleDown,
  kBallot,
  kMma,
};

void block_barrier();
void warp_barrier();
// The value that lane `source` of the warp gave; the caller's own when source > 31. `detail` is equal in all lanes.
std::uint64_t exchange(Collective kind, int detail, std::uint64_t value, unsigned source);
std::uint32_t ballot(bool predicate);
void mma_bf16(float* c, const std::uint32_t* a, const std::uint32_t* b);

// Copies are done when they are waited for, not before; until then the destination holds 0xff.
void copy16_async(void* shared, const void* from, bool valid);
void copy_commit();
void copy_wait(int pending);

// Ends the process with a message that names the kernel, block and thread.
[[noreturn]] void fault(const char* what);

}  // namespace herd::emulator
