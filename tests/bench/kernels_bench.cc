// kernels_bench: each kernel's GB/s and GFLOP/s beside what this machine reads and multiplies at most, measured in the
// same run with the same threads. Weights and KV rotate through a buffer far beyond the caches.
//
//   kernels_bench [--isa avx512-bf16|avx512-vnni|avx512|avx2|reference] [--threads N | --cpu-time] [matmul|blocks|attention|rows|logits]...
//
// Two times: the median of the wall clock, which is what a step feels, and the best, which says what the kernel can
// do when other processes leave it alone. --cpu-time: one thread, and kernels and bounds by its CPU time, for machines
// that others use (memory and caches are still shared).

#include <time.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <string>
#include <vector>

#include "kernels/bounds/bench_machine.h"
#include "kernels/bounds/peak_loops.h"
#include "kernels/cpu/cpu_info.h"
#include "kernels/device.h"

namespace {

using namespace herd;

constexpr std::size_t kBufferBytes = std::size_t{1} << 30;

template <class... Values>
std::string format(const char* pattern, Values... values) {
  char text[128];
  std::snprintf(text, sizeof text, pattern, values...);
  return text;
}

bool cpu_time = false;

double now() {
  timespec time{};
  clock_gettime(cpu_time ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC, &time);
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
}

std::string format_of_row(WeightFormat weights, std::int64_t rows) {
  return format("matmul %s %d x 2048 x 8192", format_name(weights), static_cast<int>(rows));
}

struct Seconds {
  double best = 0;
  double median = 0;
};

// body(i) for i = 0, 1, …: at least 5 times and half a second, at most 2000 times.
template <class Body>
Seconds measure(const Body& body) {
  std::vector<double> times;
  double total = 0;
  body(0);
  while (times.size() < 5 || (total < 0.5 && times.size() < 2000)) {
    const double begin = now();
    body(static_cast<std::int64_t>(times.size()) + 1);
    times.push_back(now() - begin);
    total += times.back();
  }
  std::sort(times.begin(), times.end());
  return {times.front(), times[times.size() / 2]};
}

std::unique_ptr<DeviceBuffer> allocate(Device& device, std::size_t bytes) {
  auto buffer = device.allocate(bytes, "benchmark");
  if (!buffer) {
    std::fprintf(stderr, "%s\n", buffer.error().message().c_str());
    std::exit(4);
  }
  return std::move(*buffer);
}

class Bench {
 public:
  explicit Bench(Device& device) : device_(device) {
    weights_ = allocate(device_, kBufferBytes);
    x_ = allocate(device_, std::size_t{64} << 20);
    out_ = allocate(device_, std::size_t{64} << 20);
    for (std::size_t i = 0; i < kBufferBytes / 2; i++) {  // bf16 of 0.0078 … 0.0155: no denormals, no infinities
      static_cast<std::uint16_t*>(weights_->data())[i] = static_cast<std::uint16_t>(0x3c00U + (i * 2654435761U >> 25));
    }
    for (std::size_t i = 0; i < (std::size_t{32} << 20); i++) {
      static_cast<std::uint16_t*>(x_->data())[i] = static_cast<std::uint16_t>(0x3f00U + (i * 2654435761U >> 25));
    }
  }

  void matmul() {
    for (const auto& [outputs, k] : std::vector<std::pair<int, int>>{{8192, 2048}, {2048, 8192}, {2048, 2048}}) {
      for (const std::int64_t rows : {1, 2, 4, 8, 16, 32, 64, 512}) {
        PackedMatrix w;
        w.outputs = outputs;
        w.k = k;
        w.leaf_chunk[1] = k / 32;
        const auto copies = static_cast<std::int64_t>(kBufferBytes) / w.bytes();
        const TensorView x = act(x_, rows, k);
        const TensorView out = act(out_, rows, outputs);
        const Seconds seconds = measure([&](std::int64_t i) {
          w.data = static_cast<const char*>(weights_->data()) + i % copies * w.bytes();
          device_.ops().matmul(x, w, nullptr, out);
        });
        report(format("matmul bf16 %d x %d x %d", static_cast<int>(rows), k, outputs), seconds,
               static_cast<double>(w.bytes()), 2.0 * static_cast<double>(rows * outputs) * k);
      }
    }
  }

  // Blocks of any bytes: what they stand for costs the same.
  void blocks() {
    for (const WeightFormat format : kBlockFormats) {
      for (const std::int64_t rows : {1, 2, 4, 8, 32, 512}) {
        PackedMatrix w;
        w.format = format;
        w.outputs = 8192;
        w.k = 2048;
        w.leaf_chunk[1] = 2048 / 32;
        const auto copies = static_cast<std::int64_t>(kBufferBytes) / w.bytes();
        const TensorView x = act(x_, rows, w.k);
        const TensorView out = act(out_, rows, w.outputs);
        const Seconds seconds = measure([&](std::int64_t i) {
          w.data = static_cast<const char*>(weights_->data()) + i % copies * w.bytes();
          device_.ops().matmul(x, w, nullptr, out);
        });
        report(format_of_row(format, rows), seconds, static_cast<double>(w.bytes()),
               2.0 * static_cast<double>(rows * w.outputs * w.k));
      }
    }
  }

  void attention() {
    for (const auto& [context, queries] :
         std::vector<std::pair<int, int>>{{512, 1}, {4096, 1}, {512, 512}, {2048, 512}}) {
      KvView kv;
      kv.data = weights_->data();
      kv.layout = {DType::kBF16, 16, kKvHeads, kHeadDim};
      kv.blocks = static_cast<std::int64_t>(kBufferBytes) / kv.layout.bytes_per_block();
      std::vector<std::uint32_t> table(static_cast<std::size_t>(context / 16));
      std::vector<std::int32_t> kv_head_of_query;
      for (int head = 0; head < kQueryHeads; head++) kv_head_of_query.push_back(head / (kQueryHeads / kKvHeads));
      const std::int32_t query_begin[2] = {0, queries};
      const std::int32_t context_length[1] = {context};
      const std::int32_t table_begin[2] = {0, context / 16};
      const AttentionBatch batch{1, query_begin, context_length, table.data(), table_begin, kQueryHeads,
                                 kv_head_of_query.data(), kQueryHeads / kKvHeads, 0.125F, {}};
      const TensorView q = act(x_, queries, kQueryHeads * kHeadDim);
      const TensorView out = act(out_, queries, kQueryHeads * kHeadDim);
      const Seconds seconds = measure([&](std::int64_t i) {
        const auto used = static_cast<std::int64_t>(table.size());
        for (std::int64_t b = 0; b < used; b++) {
          table[static_cast<std::size_t>(b)] = static_cast<std::uint32_t>((i * used + b) % kv.blocks);
        }
        device_.ops().attention(q, kv, batch, out);
      });
      const double seen = static_cast<double>(queries) * (context - (queries - 1) / 2.0);
      report(format("attention %d heads, %d kv, dim %d, context %d, rows %d", kQueryHeads, kKvHeads, kHeadDim, context,
                    queries),
             seconds, 4.0 * context * kKvHeads * kHeadDim, 4.0 * seen * kQueryHeads * kHeadDim);
    }
  }

  void rows() {
    for (const std::int64_t rows : {1, 512}) {
      const int count = static_cast<int>(rows);
      const std::vector<float> weight(8192, 1.0F);
      const TensorView x = act(x_, rows, 2048);
      const TensorView out = act(out_, rows, 2048);
      const double bytes = static_cast<double>(rows) * 2048 * 4;
      report(format("rms_norm %d x 2048", count),
             measure([&](std::int64_t) { device_.ops().rms_norm(x, weight.data(), 1e-5F, out); }), bytes, 0);
      const auto* partial = static_cast<const float*>(x_->data());
      report(format("add_partials %d x 2048", count),
             measure([&](std::int64_t) { device_.ops().add_partials(out, {&partial, 1, 2048, nullptr}); }), bytes * 2, 0);
      const std::vector<std::int32_t> positions(static_cast<std::size_t>(rows), 7);
      report(format("rope %d x 2048", count),
             measure([&](std::int64_t) { device_.ops().rope(out, 32, 64, positions.data(), weight.data()); }), bytes,
             0);
      const TensorView gate_up = act(x_, rows, 16384);
      const TensorView mlp = act(out_, rows, 8192);
      report(format("silu_mul %d x 8192", count),
             measure([&](std::int64_t) { device_.ops().silu_mul(gate_up, 8192, mlp); }),
             static_cast<double>(rows) * 8192 * 6, 0);
    }
    PackedMatrix w;
    w.outputs = 2048;
    w.k = 2048;
    w.leaf_chunk[1] = 64;
    w.data = out_->data();
    report("pack_rows bf16 2048 x 2048", measure([&](std::int64_t i) {
             const auto* source = static_cast<const float*>(weights_->data()) + i % 32 * 2048 * 2048;
             device_.ops().pack_rows(w, 0, 2048, source);
           }),
           2048.0 * 2048 * 6, 0);
  }

  void logits() {
    constexpr std::int64_t kVocabulary = 128256;
    std::vector<float> row(kVocabulary);
    std::uint32_t state = 1;
    for (float& logit : row) {
      state = state * 1664525U + 1013904223U;
      logit = static_cast<float>(state >> 8) * 0x1p-20F - 8.0F;
    }
    const double bytes = kVocabulary * 4.0;
    std::vector<Candidate> best(1024);
    for (const float temperature : {0.0F, 1.0F}) {
      report(format("draw 128256, temperature %.1f", static_cast<double>(temperature)), measure([&](std::int64_t i) {
               const DrawKey key{7, 0, static_cast<std::uint32_t>(i), kDrawPurposeSample};
               device_.ops().draw(row.data(), kVocabulary, 0, temperature, -1e30F, key, best.data());
             }),
             bytes, 0);
    }
    for (const std::int32_t k : {64, 1024}) {
      report(format("top_k 128256, k %d", k),
             measure([&](std::int64_t) { device_.ops().top_k(row.data(), kVocabulary, 0, k, best.data()); }), bytes, 0);
    }
    MaxSum leaf[1];
    const TensorView view{row.data(), DType::kF32, 1, kVocabulary, kVocabulary};
    report("leaf_max_sum 128256",
           measure([&](std::int64_t) { device_.ops().leaf_max_sum(view, 0, kVocabulary, leaf); }), bytes, 0);
  }

  // GFLOP/s beside the best that products of bf16 use on this device.
  void print(const MachineRates& bound) const {
    const double peak = bound.peak(bound.used_for_bf16());
    for (const Result& result : results_) {
      std::printf("%-56s %10.1f us, best %10.1f us", result.name.c_str(), result.seconds.median * 1e6,
                  result.seconds.best * 1e6);
      print_rate("GB/s", result.bytes, result.seconds, bound.reads.best().gb_per_s);
      if (result.flops > 0) print_rate("GFLOP/s", result.flops, result.seconds, peak);
      std::printf("\n");
    }
  }

 private:
  static constexpr int kQueryHeads = 32;
  static constexpr int kKvHeads = 8;
  static constexpr int kHeadDim = 64;

  static TensorView act(const std::unique_ptr<DeviceBuffer>& buffer, std::int64_t rows, std::int64_t cols) {
    return {buffer->data(), DType::kBF16, rows, cols, cols};
  }

  void report(const std::string& name, const Seconds& seconds, double bytes, double flops) {
    results_.push_back({name, seconds, bytes, flops});
  }
  static void print_rate(const char* unit, double amount, const Seconds& seconds, double bound) {
    const double rate = amount / seconds.median * 1e-9;
    const double best = amount / seconds.best * 1e-9;
    std::printf("  %7.1f %s (%3.0f %%, best %3.0f %%)", rate, unit, rate / bound * 100, best / bound * 100);
  }

  struct Result {
    std::string name;
    Seconds seconds;
    double bytes;
    double flops;
  };
  std::vector<Result> results_;
  Device& device_;
  std::unique_ptr<DeviceBuffer> weights_;
  std::unique_ptr<DeviceBuffer> x_;
  std::unique_ptr<DeviceBuffer> out_;
};

std::string cpu_model() {
  std::ifstream info("/proc/cpuinfo");
  for (std::string line; std::getline(info, line);) {
    if (line.rfind("model name", 0) == 0) return line.substr(line.find(':') + 2);
  }
  return "unknown CPU";
}

// As measure_machine(), by this thread's CPU time.
MachineRates thread_rates(Device& device, CpuIsa isa) {
  const BenchKernels& kernels = bench_kernels(isa);
  MachineRates rates;
  constexpr std::size_t kBytes = kBufferBytes / 4;
  const std::unique_ptr<DeviceBuffer> memory = allocate(device, kBytes);
  std::memset(memory->data(), 1, kBytes);
  std::uint64_t digest = 0;
  for (const int streams : {1, 2, 4}) {
    const Seconds seconds = measure([&](std::int64_t) { digest ^= kernels.read(memory->data(), kBytes, streams); });
    rates.reads.rates.push_back({0, streams, static_cast<double>(kBytes) / seconds.best * 1e-9});
  }
  if (digest == 1) std::printf(" ");  // the reads stay
  constexpr std::int64_t kRounds = 100000;
  for (const PeakName& name : kPeakNames) {
    const PeakLoop loop = peak_loop(name.peak, isa);
    if (loop.run == nullptr) continue;
    const Seconds seconds = measure([&](std::int64_t) { loop.run(kRounds); });
    rates.peaks[static_cast<std::size_t>(name.peak)] = static_cast<double>(kRounds * loop.operations) / seconds.best * 1e-9;
  }
  rates.bf16_dots = std::strcmp(device.ops().name(), "avx512-bf16") == 0;
  return rates;
}

MachineRates machine_rates(Device& device, const CpuDeviceConfig& config) {
  if (cpu_time) return thread_rates(device, config.isa);
  ThreadPool pool(config.threads == 0 ? usable_cpus() : config.threads);
  MachineBenchConfig machine;
  machine.isa = config.isa;
  machine.repeats = 10;
  const auto rates = measure_machine(pool, machine);
  if (!rates) {
    std::fprintf(stderr, "%s\n", rates.error().message().c_str());
    std::exit(4);
  }
  return *rates;
}

[[noreturn]] void usage() {
  std::fprintf(stderr,
               "usage: kernels_bench [--isa avx512-bf16|avx512-vnni|avx512|avx2|reference] [--threads N | --cpu-time] "
               "[matmul|blocks|attention|rows|logits]...\n");
  std::exit(2);
}

CpuIsa parse_isa(const std::string& name) {
  if (name == "avx512-bf16") return CpuIsa::kAvx512Bf16;
  if (name == "avx512-vnni") return CpuIsa::kAvx512Vnni;
  if (name == "avx512") return CpuIsa::kAvx512;
  if (name == "avx2") return CpuIsa::kAvx2;
  if (name != "reference") usage();
  return CpuIsa::kReference;
}

}  // namespace

int main(int argc, char** argv) {
  CpuDeviceConfig config;
  std::vector<std::string> parts;
  for (int i = 1; i < argc; i++) {
    const std::string arg = argv[i];
    const std::string value = i + 1 < argc ? argv[i + 1] : "";
    if (arg == "--isa") {
      config.isa = parse_isa(value);
      i++;
    } else if (arg == "--threads") {
      config.threads = std::atoi(value.c_str());
      i++;
    } else if (arg == "--cpu-time") {
      cpu_time = true;
      config.threads = 1;
    } else if (arg == "matmul" || arg == "blocks" || arg == "attention" || arg == "rows" || arg == "logits") {
      parts.push_back(arg);
    } else {
      usage();
    }
  }
  if (parts.empty()) parts = {"matmul", "blocks", "attention", "rows", "logits"};
  auto device = make_cpu_device(config);
  if (!device) {
    std::fprintf(stderr, "%s\n", device.error().message().c_str());
    return 2;
  }
  // Before and after: on a machine that others use, the better of the two is nearer to what it can do.
  MachineRates bound = machine_rates(**device, config);
  Bench bench(**device);
  for (const std::string& part : parts) {
    if (part == "matmul") bench.matmul();
    if (part == "blocks") bench.blocks();
    if (part == "attention") bench.attention();
    if (part == "rows") bench.rows();
    if (part == "logits") bench.logits();
  }
  const MachineRates after = machine_rates(**device, config);
  for (const ReadRate& rate : after.reads.rates) bound.reads.rates.push_back(rate);
  for (std::size_t i = 0; i < bound.peaks.size(); i++) bound.peaks[i] = std::max(bound.peaks[i], after.peaks[i]);
  std::printf("%s; %s; reads %.1f GB/s, multiplies and adds %.1f GFLOP/s, by bf16 dot products %.1f%s\n",
              cpu_model().c_str(), (*device)->description().c_str(), bound.reads.best().gb_per_s, bound.peak(Peak::kFma),
              bound.peak(Peak::kBf16Dot), cpu_time ? "; CPU time" : "");
  bench.print(bound);
  return 0;
}
