#include "kernels/cpu/isa_choice.h"

#include "kernels/cpu/block_check.h"
#include "kernels/cpu/ops_cpu.h"

namespace herd {
namespace {

struct Level {
  CpuIsa isa;
  const char* name;
  bool CpuFeatures::* there;
  std::string CpuFeatures::* missing;
};
// The best comes first.
constexpr Level kLevels[] = {
    {CpuIsa::kAvx512Bf16, "avx512-bf16", &CpuFeatures::avx512_bf16, &CpuFeatures::missing_for_avx512_bf16},
    {CpuIsa::kAvx512Vnni, "avx512-vnni", &CpuFeatures::avx512_vnni, &CpuFeatures::missing_for_avx512_vnni},
    {CpuIsa::kAvx512, "avx512", &CpuFeatures::avx512, &CpuFeatures::missing_for_avx512},
    {CpuIsa::kAvx2, "avx2", &CpuFeatures::avx2, &CpuFeatures::missing_for_avx2},
};

// Empty when the kernels give the bits they should.
std::string fault_of(const Level& level, const IsaJudges& judges) {
  if (level.isa == CpuIsa::kAvx512Bf16 && !judges.dots().difference.empty())
    return "vdpbf16ps gives other bits than multiply-adds (" + judges.dots().difference + ")";
  const std::string& difference = judges.blocks(level.isa);
  return difference.empty() ? "" : "products of blocks give other bits than rule 9 (" + difference + ")";
}

Expected<IsaChoice> take(const Level& level, const CpuFeatures& features, const IsaJudges& judges) {
  if (!(features.*level.there))
    return fail(usage_error(std::string("cpu isa ") + level.name + ": this CPU lacks " + features.*level.missing));
  const std::string fault = fault_of(level, judges);
  if (fault.empty()) return IsaChoice{level.isa, ""};
  return fail(usage_error(std::string("cpu isa ") + level.name + ": on this CPU " + fault + ": use another --cpu-isa, or auto"));
}

}  // namespace

IsaJudges trials() {
  return {judge_dots, [](CpuIsa isa) -> const std::string& { return judge_blocks(kernels_of(isa)); }};
}

Expected<IsaChoice> choose_isa(CpuIsa wanted, const CpuFeatures& features, const IsaJudges& judges) {
  if (wanted == CpuIsa::kReference) return IsaChoice{wanted, ""};
  IsaChoice best;
  for (const Level& level : kLevels) {
    if (wanted == level.isa) return take(level, features, judges);
    if (wanted != CpuIsa::kAuto || !(features.*level.there)) continue;
    if (std::string fault = fault_of(level, judges); !fault.empty()) {
      if (!best.note.empty()) best.note += "; ";
      best.note.append(level.name).append(" is not used: ").append(fault);
      continue;
    }
    if (level.isa == CpuIsa::kAvx512Bf16 && !judges.dots().faster) continue;
    best.isa = level.isa;
    return best;
  }
  return best;
}

}  // namespace herd
