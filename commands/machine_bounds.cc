#include "commands/machine_bounds.h"

#include <algorithm>
#include <fstream>
#include <utility>

#include "kernels/bounds/weight_read.h"

namespace herd::commands {

std::string cpu_model() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);)
    if (line.starts_with("model name")) return line.substr(line.find(": ") + 2);
  return "unknown CPU";
}

namespace {

constexpr MachineBenchConfig kBriefly{.repeats = 2, .fma_seconds = 0.02};

int threads_of(const actors::EngineOptions& options) { return options.threads > 0 ? options.threads : usable_cpus(); }

double median(std::vector<double> values) {
  std::ranges::sort(values);
  return (values[(values.size() - 1) / 2] + values[values.size() / 2]) / 2;
}

}  // namespace

Expected<MachineRates> measure_cpus(const actors::EngineOptions& options) {
  ThreadPool pool(threads_of(options));
  MachineBenchConfig config;
  config.isa = options.isa;
  config.small_pages = true;
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

Expected<BoundsMeter> BoundsMeter::open(const actors::EngineOptions& options) {
  BoundsMeter meter;
  meter.options_ = options;
  if (options.gpu.use) {
    auto measured = bounds_of_gpus(options);
    if (!measured) return fail(measured.error());
    meter.bounds_ = std::move(*measured);
    return meter;
  }
  meter.bounds_.machine = cpu_model();
  return meter;
}

// What can multiply weights of a format, and the best of it here, used or not.
void BoundsMeter::choose_peak(WeightFormat weights) {
  peak_ = peak_of_products(options_.isa, weights);
  bounds_.peak_name = name_of(peak_).name;
  bounds_.peak_key = name_of(peak_).key;
  std::vector<Peak> able{Peak::kFma};
  if (weights == WeightFormat::kBF16) able = {Peak::kFma, Peak::kBf16Dot, Peak::kAmxBf16};
  if (is_quantized(weights)) able = {Peak::kInt8Pairs, Peak::kInt8Dot, Peak::kAmxInt8};
  ThreadPool pool(threads_of(options_));
  for (const Peak other : able) {
    const double rate = measure_peak(pool, other, kBriefly);
    if (rate <= bounds_.best_gflop_per_s) continue;
    bounds_.best_gflop_per_s = rate;
    bounds_.best_name = name_of(other).name;
  }
}

Status BoundsMeter::measure(const actors::Engine& engine) {
  if (options_.gpu.use) return measure_gpus_again();
  if (peaks_.empty()) choose_peak(engine.facts().encoding.weights);
  {
    MachineBenchConfig config = kBriefly;
    config.isa = options_.isa;
    ThreadPool pool(threads_of(options_), options_.compute_nice);
    peaks_.push_back(measure_peak(pool, peak_, config));
  }
  // Replicas share the weights.
  const int threads = engine.facts().threads_per_rank * options_.data_parallel;
  WeightReader reader(engine.read_per_token(), {.threads_per_rank = threads, .nice = options_.compute_nice});
  reads_.push_back(reader.read_gb_per_s());
  return {};
}

Status BoundsMeter::measure_gpus_again() {
  const auto again = bounds_of_gpus(options_);
  if (!again) return again.error().code() == StatusCode::kMissing ? Status{} : again.error();
  bounds_.read_gb_per_s = std::max(bounds_.read_gb_per_s, again->read_gb_per_s);
  bounds_.peak_gflop_per_s = std::max(bounds_.peak_gflop_per_s, again->peak_gflop_per_s);
  return {};
}

MachineBounds BoundsMeter::bounds() const {
  MachineBounds bounds = bounds_;
  if (bounds.gpu) return bounds;
  bounds.read_gb_per_s = median(reads_);
  bounds.read_low = std::ranges::min(reads_);
  bounds.read_high = std::ranges::max(reads_);
  bounds.peak_gflop_per_s = median(peaks_);
  bounds.best_gflop_per_s = std::max(bounds.best_gflop_per_s, bounds.peak_gflop_per_s);
  return bounds;
}

}  // namespace herd::commands
