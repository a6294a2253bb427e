#pragma once
// The arithmetic whose rate is a peak of this CPU, and which loops of kernels/cpu/bench_kernels.h measure it here.

#include <cstddef>

#include "kernels/cpu/bench_kernels.h"
#include "kernels/device.h"

namespace herd {

enum class Peak { kFma, kBf16Dot, kInt8Dot, kAmxBf16, kAmxInt8, kInt8Pairs };
struct PeakName {
  Peak peak;
  const char* name;  // "FMA peak"
  const char* unit;  // 10^9 a second; a multiply-add is two operations
  const char* key;   // the same in JSON
};
inline constexpr PeakName kPeakNames[] = {
    {Peak::kFma, "FMA peak", "GFLOP/s fp32", "fma_gflop_per_s"},
    {Peak::kBf16Dot, "bf16 dot peak", "GFLOP/s bf16 into fp32", "bf16_dot_gflop_per_s"},
    {Peak::kInt8Dot, "int8 dot peak", "GOP/s int8 into int32", "int8_dot_gop_per_s"},
    {Peak::kAmxBf16, "AMX bf16 peak", "GFLOP/s bf16 into fp32", "amx_bf16_gflop_per_s"},
    {Peak::kAmxInt8, "AMX int8 peak", "GOP/s int8 into int32", "amx_int8_gop_per_s"},
    {Peak::kInt8Pairs, "int8 pair peak", "GOP/s int8 into int16", "int8_pairs_gop_per_s"},
};
[[nodiscard]] inline constexpr const PeakName& name_of(Peak peak) { return kPeakNames[static_cast<std::size_t>(peak)]; }

// Of the widest set that this CPU has and `isa` allows.
[[nodiscard]] const BenchKernels& bench_kernels(CpuIsa isa);
// run is null when the CPU has no such instruction, `isa` leaves it out, or Linux does not let this process use it. AMX counts
// with kAuto alone.
[[nodiscard]] PeakLoop peak_loop(Peak peak, CpuIsa isa);
// Whether a device with this `isa` multiplies bf16 by dot products.
[[nodiscard]] bool multiplies_by_dots(CpuIsa isa);
// What a device with this `isa` multiplies weights of a format with.
[[nodiscard]] Peak peak_of_products(CpuIsa isa, WeightFormat weights);

}  // namespace herd
