#pragma once
// Which kernels a CPU device runs: what was asked for, what this CPU has, what its dot products proved to be.

#include <string>

#include "kernels/cpu/cpu_info.h"
#include "kernels/cpu/dot_check.h"
#include "kernels/device.h"

namespace herd {

struct IsaChoice {
  CpuIsa isa = CpuIsa::kReference;  // never kAuto
  std::string note;                 // what the CPU has and herd does not use, and why; empty: nothing
};

// kUsage when the wanted set is not usable here: says which flag is missing, or which bits differ. `judge` is asked only
// when dot products come into question.
Expected<IsaChoice> choose_isa(CpuIsa wanted, const CpuFeatures& features, const DotVerdict& (*judge)());

}  // namespace herd
