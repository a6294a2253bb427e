#pragma once
// What this machine can do at most: bytes read from memory per second, operations per second of each instruction a kernel can
// use. The bounds beside which every performance figure stands, measured with the threads that figure was taken with.

#include <array>
#include <cstddef>
#include <vector>

#include "kernels/bounds/peak_loops.h"
#include "kernels/cpu/thread_pool.h"
#include "kernels/device.h"

namespace herd {

struct ReadRate {
  std::size_t page_bytes = 0;  // of the pages that were asked for
  int streams = 0;             // runs that a thread reads side by side
  double gb_per_s = 0;         // 10^9 bytes, all threads together
};

struct MachineReads {
  std::vector<ReadRate> rates;
  double huge_share = 0;  // of the memory asked for in huge pages, what the kernel gave so: [0, 1]
  [[nodiscard]] const ReadRate& best() const;  // rates is not empty
};

struct MachineRates {
  MachineReads reads;
  std::array<double, std::size(kPeakNames)> peaks{};  // 10^9 operations, all threads together; 0: not on this CPU
  bool bf16_dots = false;  // whether a device with this `isa` multiplies bf16 by dot products
  int threads = 0;
  const char* isa = "";  // "avx512", "avx2", "portable"

  [[nodiscard]] double peak(Peak which) const { return peaks[static_cast<std::size_t>(which)]; }
  // What products of bf16 use here.
  [[nodiscard]] Peak used_for_bf16() const { return bf16_dots ? Peak::kBf16Dot : Peak::kFma; }
};

struct MachineBenchConfig {
  std::size_t buffer_bytes = std::size_t{1} << 30;  // far beyond any cache
  bool small_pages = false;                         // reads from pages of 4 KiB as well
  int repeats = 5;                                  // of each measurement; the best counts
  double fma_seconds = 0.1;                         // of one repeat
  CpuIsa isa = CpuIsa::kAuto;                       // one this CPU lacks counts as kAuto
};

// kMissing when there is no memory for the buffer.
Expected<MachineReads> measure_reads(ThreadPool& pool, const MachineBenchConfig& config = {});
// 10^9 operations per second; 0 when there is no such loop (peak_loops.h).
double measure_peak(ThreadPool& pool, Peak peak, const MachineBenchConfig& config = {});
// Reads, then every peak. kMissing as measure_reads.
Expected<MachineRates> measure_machine(ThreadPool& pool, const MachineBenchConfig& config = {});

}  // namespace herd
