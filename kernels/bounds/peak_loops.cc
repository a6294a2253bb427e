#include "kernels/bounds/peak_loops.h"

#if defined(__x86_64__)
#include <sys/syscall.h>
#include <unistd.h>
#endif

#include "kernels/cpu/cpu_info.h"
#include "kernels/cpu/dot_check.h"
#include "kernels/cpu/isa_choice.h"

namespace herd {
#if defined(__x86_64__)
namespace {

// Linux lets a process use tiles once it has asked.
bool may_use_tiles() {
  constexpr int kRequestPermission = 0x1023;  // ARCH_REQ_XCOMP_PERM
  constexpr int kTileData = 18;
  return ::syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
}

}  // namespace
#endif

const BenchKernels& bench_kernels(CpuIsa isa) {
#if defined(__x86_64__)
  const CpuFeatures features = cpu_features();
  if (isa == CpuIsa::kReference) return kBenchKernelsPortable;
  if (features.avx512 && isa != CpuIsa::kAvx2) return kBenchKernelsAvx512;
  if (features.avx2) return kBenchKernelsAvx2;
#endif
  (void)isa;
  return kBenchKernelsPortable;
}

PeakLoop peak_loop(Peak peak, CpuIsa isa) {
  const BenchKernels& kernels = bench_kernels(isa);
  const CpuFeatures features = cpu_features();
  switch (peak) {
    case Peak::kFma:
      return kernels.fma;
    case Peak::kBf16Dot:
      return features.avx512_bf16 ? kernels.bf16_dot : PeakLoop{};
#if defined(__x86_64__)
    case Peak::kInt8Dot: {
      const bool there = &kernels == &kBenchKernelsAvx512 ? features.avx512_vnni : features.avx_vnni;
      return there ? kernels.int8_dot : PeakLoop{};
    }
    case Peak::kInt8Pairs:
      return kernels.int8_pairs;
    case Peak::kAmxBf16:
      return isa == CpuIsa::kAuto && features.amx_bf16 && may_use_tiles() ? kBenchAmxBf16 : PeakLoop{};
    case Peak::kAmxInt8:
      return isa == CpuIsa::kAuto && features.amx_int8 && may_use_tiles() ? kBenchAmxInt8 : PeakLoop{};
#endif
    default:
      return {};
  }
}

bool multiplies_by_dots(CpuIsa isa) {
  const auto choice = choose_isa(isa, cpu_features(), trials());
  return choice && choice->isa == CpuIsa::kAvx512Bf16;
}

Peak peak_of_products(CpuIsa isa, WeightFormat weights) {
  if (!is_quantized(weights)) return weights == WeightFormat::kBF16 && multiplies_by_dots(isa) ? Peak::kBf16Dot : Peak::kFma;
  const auto choice = choose_isa(isa, cpu_features(), trials());
  if (!choice || choice->isa == CpuIsa::kReference) return Peak::kFma;
  return choice->isa == CpuIsa::kAvx512Bf16 || choice->isa == CpuIsa::kAvx512Vnni ? Peak::kInt8Dot : Peak::kInt8Pairs;
}

}  // namespace herd
