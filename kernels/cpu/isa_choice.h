#pragma once
// Which kernels a CPU device runs: what was asked for, what this CPU has, what its products proved to be.

#include <string>

#include "kernels/cpu/cpu_info.h"
#include "kernels/cpu/dot_check.h"
#include "kernels/device.h"

namespace herd {

struct IsaChoice {
  CpuIsa isa = CpuIsa::kReference;  // never kAuto
  std::string note;                 // what the CPU has and herd does not use, and why; empty: nothing
};

// What a CPU's kernels are judged by, before they are used.
struct IsaJudges {
  const DotVerdict& (*dots)();                  // of products of bf16; asked only when dot products come into question
  const std::string& (*blocks)(CpuIsa);  // of products of blocks: empty when they are right, else a difference
};
// By trial on this CPU.
[[nodiscard]] IsaJudges trials();

// kUsage when the wanted set is not usable here: says which flag is missing, or which bits differ.
Expected<IsaChoice> choose_isa(CpuIsa wanted, const CpuFeatures& features, const IsaJudges& judges);

}  // namespace herd
