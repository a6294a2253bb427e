#pragma once
// The loops bench_machine.cc times, one set per instruction set. Safe in per-ISA files.

#include <cstddef>
#include <cstdint>

namespace herd {

// `rounds` rounds of one instruction, in as many independent chains as hide its latency.
struct PeakLoop {
  void (*run)(std::int64_t rounds);  // null: this set has no such instruction
  std::int64_t operations;           // of a round; a multiply-add is two
};

struct BenchKernels {
  const char* isa;
  // Reads `bytes` (a multiple of streams * 512) once: `streams` runs of bytes / streams, side by side, as a product
  // over that many weight panels does. Returns a digest, so that the loads stay.
  std::uint64_t (*read)(const void* data, std::size_t bytes, int streams);
  PeakLoop fma;         // fp32
  PeakLoop bf16_dot;    // vdpbf16ps: for CPUs that have it (CpuFeatures::avx512_bf16)
  PeakLoop int8_dot;    // vpdpbusd: for CPUs that have it (CpuFeatures::avx512_vnni, or avx_vnni for the AVX2 set)
  PeakLoop int8_pairs;  // vpmaddubsw, and the addition of 16 bits behind it
};

extern const BenchKernels kBenchKernelsPortable;
#if defined(__x86_64__)
extern const BenchKernels kBenchKernelsAvx2;
extern const BenchKernels kBenchKernelsAvx512;
// Tiles of AMX, for CPUs that have them (CpuFeatures::amx_bf16, amx_int8), once the kernel lets this process use them.
extern const PeakLoop kBenchAmxBf16;
extern const PeakLoop kBenchAmxInt8;
#endif

}  // namespace herd
