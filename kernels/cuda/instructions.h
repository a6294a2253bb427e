#pragma once
// What a kernel does beyond plain C++: barriers, shuffles, tensor-core products, copies past the registers. The only
// place with inline PTX. The emulator in tests/kernels/cuda/emulator has a header of the same name and functions, found
// first there, so that kernels are tested on machines without a GPU; a function added here is added there.
//
// All threads of a warp (block, for block_*) call a collective function together, in uniform control flow.

#include <cuda_runtime.h>

#include <cstdint>

namespace herd::cuda {

// ---- blocks and warps ----

inline constexpr int kWarp = 32;

__device__ __forceinline__ void block_barrier() { __syncthreads(); }
__device__ __forceinline__ void warp_barrier() { __syncwarp(); }

// Dynamic shared memory of the block, 16-byte aligned.
__device__ __forceinline__ unsigned char* dynamic_shared() {
  extern __shared__ __align__(16) unsigned char herd_dynamic_shared[];
  return herd_dynamic_shared;
}

// T is 4 or 8 bytes: int, unsigned, float, std::uint64_t.
template <class T>
__device__ __forceinline__ T shuffle(T value, int lane) {
  return __shfl_sync(0xffffffffU, value, lane);
}
template <class T>
__device__ __forceinline__ T shuffle_xor(T value, int mask) {
  return __shfl_xor_sync(0xffffffffU, value, mask);
}
template <class T>
__device__ __forceinline__ T shuffle_down(T value, int delta) {
  return __shfl_down_sync(0xffffffffU, value, delta);
}
// Bit i: lane i's predicate.
__device__ __forceinline__ std::uint32_t ballot(bool predicate) { return __ballot_sync(0xffffffffU, predicate); }

// Adds to a counter (shared or global memory) that other threads of the block add to as well; returns its value before.
// Not collective. The order in which threads come is not fixed.
__device__ __forceinline__ std::uint32_t fetch_add(std::uint32_t* counter, std::uint32_t value) {
  return atomicAdd(counter, value);
}

// ---- memory ----

// 16 bytes of global memory, 16-byte aligned, that nothing writes during the kernel.
__device__ __forceinline__ uint4 load16(const void* from) { return __ldg(static_cast<const uint4*>(from)); }
// The same for data read once in a step (weights, KV): does not settle in the L1.
__device__ __forceinline__ uint4 load16_streaming(const void* from) {
  uint4 value;
  asm volatile("ld.global.nc.L1::no_allocate.L2::128B.v4.u32 {%0, %1, %2, %3}, [%4];"
               : "=r"(value.x), "=r"(value.y), "=r"(value.z), "=r"(value.w)
               : "l"(from));
  return value;
}

// Copies 16 bytes from global to shared memory without passing through registers; both 16-byte aligned. With
// `valid` false the 16 bytes become zeros and `from` is not read (it must still be some address of global memory).
// Copies belong to the group that the next copy_commit closes; copy_wait<N> waits until at most the N last closed
// groups of this thread are under way. Other threads see the bytes after a barrier that follows.
__device__ __forceinline__ void copy16_async(void* shared, const void* from, bool valid) {
  const auto to = static_cast<std::uint32_t>(__cvta_generic_to_shared(shared));
  const int bytes = valid ? 16 : 0;
  asm volatile("cp.async.cg.shared.global.L2::128B [%0], [%1], 16, %2;" ::"r"(to), "l"(from), "r"(bytes));
}
__device__ __forceinline__ void copy_commit() { asm volatile("cp.async.commit_group;"); }
template <int kPending>
__device__ __forceinline__ void copy_wait() {
  asm volatile("cp.async.wait_group %0;" ::"n"(kPending) : "memory");
}

// ---- tensor cores ----

// c += A · B with A [16 rows, 16 k] and B [16 k, 8 columns] in bf16, c [16, 8] in float32; one instruction of a warp
// (mma.sync.m16n8k16, PTX ISA "Matrix Fragments for mma.m16n8k16"). Lane = 4 g + t holds, low half first,
//   a[0] = A[g, 2t..], a[1] = A[g + 8, 2t..], a[2] = A[g, 2t + 8..], a[3] = A[g + 8, 2t + 8..]   (two k each)
//   b[0] = B[2t.., g], b[1] = B[2t + 8.., g]                                                     (two k each)
//   c[0] = C[g, 2t], c[1] = C[g, 2t + 1], c[2] = C[g + 8, 2t], c[3] = C[g + 8, 2t + 1]
// An element of c depends on its row of A, its column of B and its old value alone.
__device__ __forceinline__ void mma_bf16(float (&c)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2]) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
      "{%0, %1, %2, %3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

}  // namespace herd::cuda
