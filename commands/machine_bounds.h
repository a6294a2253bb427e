#pragma once
// What the CPUs or GPUs of a run can do at most, measured in that run: the bounds its figures stand beside.

#include <string>
#include <vector>

#include "actors/engine.h"
#include "kernels/bounds/bench_machine.h"

namespace herd::commands {

struct MachineBounds {
  std::string machine;            // "AMD EPYC 9554", "2 x NVIDIA H200"
  double read_gb_per_s = 0;       // 10^9 bytes, all threads or GPUs together
  double peak_gflop_per_s = 0;    // 10^9 operations, likewise
  std::string peak_name;          // "FMA peak", "bf16 peak"
  std::string peak_key;           // the same in JSON
  bool gpu = false;
};

// "model name" of /proc/cpuinfo.
[[nodiscard]] std::string cpu_model();

[[nodiscard]] Expected<MachineRates> measure_cpus(const actors::EngineOptions& options);

struct MeasuredGpu {
  GpuInfo info;
  GpuRates rates;
};
// The GPUs that --devices names; all there are when it names none and `places` is 0, else the first `places`.
[[nodiscard]] Expected<std::vector<MeasuredGpu>> measure_gpus(const actors::GpuOptions& options, int places);

// Of what the ranks will compute on. A GPU's peak is its bf16 product by cuBLASLt, or by herd where that is missing.
[[nodiscard]] Expected<MachineBounds> measure_bounds(const actors::EngineOptions& options);
// The bound is what the machine can do at its best: measured again after the run, the better counts. A GPU without
// memory for that keeps what was measured before.
[[nodiscard]] Status remeasure(const actors::EngineOptions& options, MachineBounds& bounds);

}  // namespace herd::commands
