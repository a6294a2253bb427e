#pragma once
// The loops bench_machine.cc times, one set per instruction set. Safe in per-ISA files.

#include <cstddef>
#include <cstdint>

namespace herd {

struct BenchKernels {
  const char* isa;
  // Reads `bytes` (a multiple of streams * 512) once: `streams` runs of bytes / streams, side by side, as a product
  // over that many weight panels does. Returns a digest, so that the loads stay.
  std::uint64_t (*read)(const void* data, std::size_t bytes, int streams);
  // `rounds` rounds of fp32 multiply-add, as many independent chains as the two FMA units have stages.
  void (*multiply_add)(std::int64_t rounds);
  std::int64_t flops_per_round;
  // The same of bf16 dot products, for CPUs that have them (CpuFeatures::avx512_bf16); null in the other sets.
  void (*dot_bf16)(std::int64_t rounds);
  std::int64_t dot_flops_per_round;
};

extern const BenchKernels kBenchKernelsPortable;
#if defined(__x86_64__)
extern const BenchKernels kBenchKernelsAvx2;
extern const BenchKernels kBenchKernelsAvx512;
#endif

}  // namespace herd
