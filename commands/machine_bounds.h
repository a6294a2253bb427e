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
  double read_low = 0, read_high = 0;  // of the readings whose median that is, where there were several
  double peak_gflop_per_s = 0;    // 10^9 operations, likewise, of the instruction that products use
  std::string peak_name;          // "FMA peak", "bf16 peak"
  std::string peak_key;           // the same in JSON
  double best_gflop_per_s = 0;    // of the best instruction for these products that there is, used or not; 0: not known
  std::string best_name;          // likewise
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

// Measures what bounds runs between the runs that it judges.
//   CPUs: how fast the memory of the loaded weights is read, and the peak of the instruction that products use. The median
//   counts: what the machine could do at the time, as the runs show what it did.
//   GPUs: a buffer, and a product by cuBLASLt, or by herd where that is missing, before a model fills their memory and after
//   the runs. The better counts; a GPU without memory for the second keeps the first.
class BoundsMeter {
 public:
  // Before a model is loaded.
  [[nodiscard]] static Expected<BoundsMeter> open(const actors::EngineOptions& options);
  // While `engine`, started with these options, computes nothing.
  [[nodiscard]] Status measure(const actors::Engine& engine);
  // After at least one measurement.
  [[nodiscard]] MachineBounds bounds() const;

 private:
  BoundsMeter() = default;
  Status measure_gpus_again();
  void choose_peak(WeightFormat weights);

  actors::EngineOptions options_;
  MachineBounds bounds_;       // on CPUs without what the lists below say
  Peak peak_ = Peak::kFma;     // of a CPU
  std::vector<double> reads_;  // of CPUs, a measurement each
  std::vector<double> peaks_;
};

}  // namespace herd::commands
