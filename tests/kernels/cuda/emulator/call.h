#pragma once
// What every emulated call begins and ends with: planned faults, errors that stay, the thread's current device and last
// error. And the settings as the other files of the emulator read them.

#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>

#include "tests/kernels/cuda/emulator/emulator.h"

namespace herd::emulator {

struct Order {
  Schedule schedule = Schedule::kAscending;
  std::uint64_t seed = 1;
};
[[nodiscard]] Order current_order();
[[nodiscard]] int device_count();
[[nodiscard]] std::size_t device_memory_bytes();
[[nodiscard]] std::int64_t nccl_deadline_ms();

// The error that this call is to fail with before it does anything; cudaSuccess for none.
[[nodiscard]] cudaError_t enter(const char* call);
// Remembers an error for cudaGetLastError. cudaErrorNotReady is none.
cudaError_t leave(cudaError_t result);

[[nodiscard]] int current_device();
void set_current_device(int device);

// A call whose body is a lambda: HERD_EMULATED_CALL(cudaMalloc) above the body would hide the return.
template <class Body>
cudaError_t call(const char* name, const Body& body) {
  const cudaError_t planned = enter(name);
  return leave(planned != cudaSuccess ? planned : body());
}

}  // namespace herd::emulator
