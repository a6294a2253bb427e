// sampling_bench: microseconds from a row of 128,256 logits to a token, beside one read of the row, for a row alone and for 32 of a
// step.
//
//   sampling_bench [--isa avx512|avx2|reference] [--threads N | --cpu-time]
//
// --cpu-time: one thread, by its CPU time, for machines that others use. // Rows: as a language model makes them
// (a few likely tokens over a bell), nearly flat, all equal, and some likely tokens over a cluster of nearly equal ones. "sorted" is top-p as it would be with the whole row in order.
#include <time.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "kernels/cpu/bench_kernels.h"
#include "kernels/cpu/cpu_info.h"
#include "kernels/local_collective.h"
#include "runtime/sampling/candidates.h"
#include "runtime/sampling/sampler.h"

namespace {

using namespace herd;

constexpr std::int32_t kVocabulary = 128256;
constexpr std::size_t kRows = 32;
constexpr int kRounds = 30;

bool cpu_time = false;

double now() {
  timespec time{};
  clock_gettime(cpu_time ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC, &time);
  return static_cast<double>(time.tv_sec) * 1e6 + static_cast<double>(time.tv_nsec) * 1e-3;
}

template <class Body>
double median_microseconds(const Body& body) {
  std::vector<double> times;
  for (int round = 0; round < kRounds; ++round) {
    const double begin = now();
    body(round);
    times.push_back(now() - begin);
  }
  std::nth_element(times.begin(), times.begin() + kRounds / 2, times.end());
  return times[kRounds / 2];
}

struct Kind {
  const char* name;
  float spread, likely;  // deviation of the bell; a few tokens so far above it
};
constexpr Kind kKinds[] = {{"model", 2.5F, 11.0F}, {"flat", 0.03F, 0.0F}, {"equal", 0.0F, 0.0F}, {"cluster", 1e-5F, 5.0F}};

std::vector<float> rows_of(const Kind& kind) {
  std::mt19937 random(7);
  std::normal_distribution<float> bell;
  std::vector<float> rows(kRows * kVocabulary);
  for (float& logit : rows) logit = kind.spread * bell(random);
  for (std::size_t row = 0; row < kRows; ++row)
    for (std::size_t i = 0; i < 12; ++i) rows[row * kVocabulary + random() % kVocabulary] += kind.likely - 0.3F * static_cast<float>(i);
  return rows;
}

class Bench {
 public:
  explicit Bench(Device& device)
      : device_(device),
        alone_(std::move(make_local_group(1).front())),
        plan_(whole()),
        sampler_(plan_, kVocabulary, device, *alone_, false) {}

  // `count` rows of a step.
  double sample(std::vector<float>& rows, std::size_t count, const step::SamplingParams& params) {
    return median_microseconds([&](int round) {
      std::vector<sampling::SampleRow> requests;
      for (std::size_t i = 0; i < count; ++i)
        requests.push_back({SequenceId{i + 1}, static_cast<std::uint32_t>(round), &params, nullptr, nullptr});
      (void)sampler_.sample({rows.data(), DType::kF32, static_cast<std::int64_t>(count), kVocabulary, kVocabulary}, requests);
    });
  }

  // One row, all its candidates in order.
  double sorted(const std::vector<float>& rows, const step::SamplingParams& params) {
    std::vector<Candidate> all(kVocabulary);
    return median_microseconds([&](int round) {
      device_.ops().top_k(rows.data(), kVocabulary, 0, kVocabulary, all.data());
      (void)sampling::draw_filtered(all, true, params, {1, 0, static_cast<std::uint32_t>(round), kDrawPurposeSample});
    });
  }

 private:
  static model::ShardPlan whole() {
    model::LlamaConfig config;
    config.hidden_size = 512;
    config.layers = 1;
    config.heads = config.kv_heads = 8;
    config.head_dim = 64;
    config.intermediate_size = 512;
    config.vocab_size = kVocabulary;
    return *model::plan_shard(config, 1, 0);
  }

  Device& device_;
  const std::unique_ptr<Collective> alone_;
  const model::ShardPlan plan_;
  sampling::Sampler sampler_;
};

// One read of `rows` rows by this thread.
double read_microseconds(const std::vector<float>& rows, std::size_t count) {
#if defined(__x86_64__)
  const BenchKernels& kernels = cpu_features().avx512 ? kBenchKernelsAvx512
                                : cpu_features().avx2 ? kBenchKernelsAvx2
                                                      : kBenchKernelsPortable;
#else
  const BenchKernels& kernels = kBenchKernelsPortable;
#endif
  std::uint64_t digest = 0;
  const std::size_t bytes = count * kVocabulary * sizeof(float) / 512 * 512;
  const double time = median_microseconds([&](int) { digest ^= kernels.read(rows.data(), bytes, 1); });
  if (digest == 1) std::printf(" ");  // the reads stay
  return time;
}

}  // namespace

int main(int argc, char** argv) {
  CpuDeviceConfig config;
  for (int i = 1; i < argc; ++i) {
    const std::string flag = argv[i], value = i + 1 < argc ? argv[i + 1] : "";
    if (flag == "--cpu-time") cpu_time = true;
    if (flag == "--threads") config.threads = std::atoi(value.c_str());
    if (flag == "--isa") config.isa = value == "avx2" ? CpuIsa::kAvx2 : value == "reference" ? CpuIsa::kReference : CpuIsa::kAvx512;
  }
  if (cpu_time) config.threads = 1;
  const auto device = make_cpu_device(config);
  if (!device) {
    std::fprintf(stderr, "%s\n", device.error().message().c_str());
    return 4;
  }
  set_kernel_float_mode();
  std::printf("%s\n%-10s %-34s %10s %12s\n", (*device)->description().c_str(), "rows", "request", "1 row, us", "32 rows, us");
  Bench bench(**device);
  for (const Kind& kind : kKinds) {
    std::vector<float> rows = rows_of(kind);
    std::printf("%-10s %-34s %10.0f %12.0f\n", kind.name, "one read by one thread", read_microseconds(rows, 1),
                read_microseconds(rows, kRows));
    const auto line = [&](const char* name, const step::SamplingParams& params) {
      std::printf("%-10s %-34s %10.0f %12.0f\n", kind.name, name, bench.sample(rows, 1, params), bench.sample(rows, kRows, params));
    };
    step::SamplingParams params;
    line("greedy", params);
    params.temperature = 1.0F;
    line("temperature 1", params);
    params.logprobs = 0;
    line("temperature 1, log-probability", params);
    params.logprobs = -1;
    params.top_p = 0.95F;
    line("top_p 0.95", params);
    std::printf("%-10s %-34s %10.0f\n", kind.name, "top_p 0.95, the row sorted", bench.sorted(rows, params));
    params.min_p = 0.01F;
    line("top_p 0.95, min_p 0.01", params);
    params.min_p = 0.0F;
    params.top_k = 50;
    line("top_p 0.95, top_k 50", params);
    params.top_k = 5000;
    line("top_p 0.95, top_k 5000", params);
  }
  return 0;
}
