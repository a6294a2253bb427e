#include "kernels/cpu/isa_choice.h"

namespace herd {
namespace {

Status lacks(const char* isa, const std::string& missing) {
  return usage_error(std::string("cpu isa ") + isa + ": this CPU lacks " + missing);
}

}  // namespace

Expected<IsaChoice> choose_isa(CpuIsa wanted, const CpuFeatures& features, const DotVerdict& (*judge)()) {
  switch (wanted) {
    case CpuIsa::kReference:
      return IsaChoice{wanted, ""};
    case CpuIsa::kAvx2:
      if (!features.avx2) return fail(lacks("avx2", features.missing_for_avx2));
      return IsaChoice{wanted, ""};
    case CpuIsa::kAvx512:
      if (!features.avx512) return fail(lacks("avx512", features.missing_for_avx512));
      return IsaChoice{wanted, ""};
    case CpuIsa::kAvx512Bf16:
      if (!features.avx512_bf16) return fail(lacks("avx512-bf16", features.missing_for_avx512_bf16));
      if (!judge().difference.empty()) {
        return fail(usage_error("cpu isa avx512-bf16: vdpbf16ps of this CPU gives other bits than its multiply-adds (" +
                                judge().difference + "): use --cpu-isa avx512"));
      }
      return IsaChoice{wanted, ""};
    case CpuIsa::kAuto:
      break;
  }
  if (features.avx512_bf16) {
    if (!judge().difference.empty()) {
      return IsaChoice{CpuIsa::kAvx512, "vdpbf16ps gives other bits and is not used: " + judge().difference};
    }
    if (judge().faster) return IsaChoice{CpuIsa::kAvx512Bf16, ""};
  }
  return IsaChoice{features.avx512 ? CpuIsa::kAvx512 : features.avx2 ? CpuIsa::kAvx2 : CpuIsa::kReference, ""};
}

}  // namespace herd
