#pragma once
// What this machine can do at most: bytes read from memory per second, multiply-adds per second. The bounds
// beside which every performance figure stands, measured with the threads that figure was taken with.

#include <cstddef>

#include "kernels/cpu/thread_pool.h"
#include "kernels/device.h"

namespace herd {

struct MachineRates {
  double read_gb_per_s = 0;    // 10^9 bytes; best of stream counts, all threads together
  int read_streams = 0;        // per thread, where it was best
  double fma_gflop_per_s = 0;  // 10^9 operations, an FMA being two; all threads together
  double bf16_dot_gflop_per_s = 0;  // likewise by dot products of bf16 into fp32; 0: this CPU has none
  bool bf16_dots = false;           // whether a device with this `isa` multiplies bf16 by them
  int threads = 0;
  const char* isa = "";  // "avx512", "avx2", "portable"
};

struct MachineBenchConfig {
  std::size_t buffer_bytes = std::size_t{1} << 30;  // far beyond any cache
  int repeats = 5;                                  // of each measurement; the best counts
  double fma_seconds = 0.1;                         // of one repeat
  CpuIsa isa = CpuIsa::kAuto;                       // one this CPU lacks counts as kAuto
};

// kMissing when there is no memory for the buffer.
Expected<MachineRates> measure_machine(ThreadPool& pool, const MachineBenchConfig& config = {});

}  // namespace herd
