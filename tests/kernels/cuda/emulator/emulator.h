#pragma once
// Settings of the CUDA emulator: which emulated machine, in which order threads run, which call fails. For tests that
// link it, and, through herd_emulator_settings(), for tests that load a library with it inside.
//
// From the environment, read at the first CUDA call:
//   HERD_EMULATED_GPUS=2                        number of devices (1 by default, 0: there is none)
//   HERD_EMULATED_GPU_MEMORY=2147483648         bytes of each
//   HERD_EMULATED_GPU_SCHEDULE=shuffled:7       ascending (default), descending, shuffled:seed
//   HERD_EMULATED_GPU_FAULT=cudaMalloc:3        the third cudaMalloc of the process fails: cudaMalloc, cudaMallocHost
//                                               with cudaErrorMemoryAllocation, others with cudaErrorIllegalAddress
//   HERD_EMULATED_GPU_FAULT=cudaGraphLaunch:3:once   with cudaErrorInvalidValue, after which later calls work again

#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>
#include <string>

namespace herd::emulator {

// In which order runnable threads of a block, and blocks of a grid, run. Results of a right kernel do not depend on it;
// a missing barrier shows as results that do.
enum class Schedule { kAscending, kDescending, kShuffled };

class Settings {
 public:
  virtual ~Settings() = default;
  virtual void set_schedule(Schedule schedule, std::uint64_t seed) = 0;
  virtual void set_devices(int count) = 0;
  virtual void set_memory(std::size_t bytes_per_device) = 0;
  // The n-th (from 1) CUDA call from now fails with `error` and does nothing; with a name only calls of that function
  // count. Errors that end a context on a real GPU (illegal address, failed launch, ECC) stay: every later call fails
  // with them. n = 0: none fails, and an error that stayed is forgotten. cudaGetLastError and names are never counted.
  virtual void fail_after(std::int64_t n, cudaError_t error, const std::string& call) = 0;
  // How long a collective waits for its other ranks.
  virtual void set_nccl_deadline_ms(std::int64_t milliseconds) = 0;
};
[[nodiscard]] Settings& settings();

inline void set_schedule(Schedule schedule, std::uint64_t seed = 1) { settings().set_schedule(schedule, seed); }
inline void set_devices(int count) { settings().set_devices(count); }
inline void set_memory(std::size_t bytes_per_device) { settings().set_memory(bytes_per_device); }
inline void fail_after(std::int64_t n, cudaError_t error, const std::string& call = {}) {
  settings().fail_after(n, error, call);
}

}  // namespace herd::emulator

// The settings of the emulator inside a loaded library: dlsym(library, "herd_emulator_settings").
extern "C" __attribute__((visibility("default"))) herd::emulator::Settings* herd_emulator_settings();
