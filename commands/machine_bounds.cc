#include "commands/machine_bounds.h"

#include <algorithm>
#include <fstream>

namespace herd::commands {

std::string cpu_model() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);)
    if (line.starts_with("model name")) return line.substr(line.find(": ") + 2);
  return "unknown CPU";
}

Expected<MachineRates> measure_cpus(const actors::EngineOptions& options) {
  ThreadPool pool(options.threads > 0 ? options.threads : usable_cpus());
  MachineBenchConfig config;
  config.isa = options.isa;
  return measure_machine(pool, config);
}

Expected<std::vector<MeasuredGpu>> measure_gpus(const actors::GpuOptions& options, int places) {
  std::vector<GpuInfo> there;
  auto backend = actors::open_gpus(there);
  if (!backend) return fail(backend.error());
  const std::size_t all = options.indices.empty() ? there.size() : options.indices.size();
  auto chosen = actors::choose_gpus(there, options.indices, places > 0 ? places : static_cast<int>(all));
  if (!chosen) return fail(chosen.error());
  std::vector<MeasuredGpu> measured;
  for (const GpuInfo& gpu : *chosen) {
    auto rates = (*backend)->measure(gpu.index);
    if (!rates) return fail(rates.error());
    measured.push_back({gpu, *rates});
  }
  return measured;
}

namespace {

Expected<MachineBounds> bounds_of_gpus(const actors::EngineOptions& options) {
  const auto gpus = measure_gpus(options.gpu, options.tensor_parallel * options.data_parallel);
  if (!gpus) return fail(gpus.error());
  const bool vendor = std::ranges::all_of(*gpus, [](const MeasuredGpu& gpu) { return gpu.rates.bf16_tflop_per_s > 0; });
  MachineBounds bounds;
  bounds.gpu = true;
  bounds.machine = gpus->front().info.name;
  if (gpus->size() > 1) bounds.machine = std::to_string(gpus->size()) + " x " + bounds.machine;
  bounds.peak_name = vendor ? "bf16 peak" : "peak of ordered products";
  bounds.peak_key = vendor ? "bf16_gflop_per_s" : "ordered_gflop_per_s";
  for (const MeasuredGpu& gpu : *gpus) {
    bounds.read_gb_per_s += gpu.rates.read_gb_per_s;
    bounds.peak_gflop_per_s += 1e3 * (vendor ? gpu.rates.bf16_tflop_per_s : gpu.rates.ordered_tflop_per_s);
  }
  return bounds;
}

}  // namespace

Expected<MachineBounds> measure_bounds(const actors::EngineOptions& options) {
  if (options.gpu.use) return bounds_of_gpus(options);
  const auto rates = measure_cpus(options);
  if (!rates) return fail(rates.error());
  // The best that products use here: those of float16 and float32 weights are multiply-adds.
  const bool dots = rates->bf16_dots && options.encoding != "float16" && options.encoding != "float32";
  if (!dots)
    return MachineBounds{cpu_model(), rates->read_gb_per_s, rates->fma_gflop_per_s, "FMA peak", "fma_gflop_per_s", false};
  return MachineBounds{cpu_model(),     rates->read_gb_per_s,    rates->bf16_dot_gflop_per_s,
                       "bf16 dot peak", "bf16_dot_gflop_per_s", false};
}

Status remeasure(const actors::EngineOptions& options, MachineBounds& bounds) {
  const auto again = measure_bounds(options);
  if (!again) return bounds.gpu && again.error().code() == StatusCode::kMissing ? Status{} : again.error();
  bounds.read_gb_per_s = std::max(bounds.read_gb_per_s, again->read_gb_per_s);
  bounds.peak_gflop_per_s = std::max(bounds.peak_gflop_per_s, again->peak_gflop_per_s);
  return {};
}

}  // namespace herd::commands
