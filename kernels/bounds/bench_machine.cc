#include "kernels/bounds/bench_machine.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <string>

#include <sys/mman.h>

#include "kernels/cpu/bench_kernels.h"
#include "kernels/cpu/cpu_info.h"
#include "kernels/cpu/dot_check.h"
#include "kernels/cpu/isa_choice.h"

namespace herd {
namespace {

constexpr int kStreams[] = {1, 2, 4, 8};
constexpr std::size_t kRangeUnit = 8 * 512;  // so that every stream count divides a thread's range into whole steps

const BenchKernels& pick_kernels(CpuIsa isa) {
#if defined(__x86_64__)
  const CpuFeatures features = cpu_features();
  if (isa == CpuIsa::kReference) return kBenchKernelsPortable;
  if (features.avx512 && isa != CpuIsa::kAvx2) return kBenchKernelsAvx512;
  if (features.avx2) return kBenchKernelsAvx2;
#endif
  (void)isa;
  return kBenchKernelsPortable;
}

// Best of `repeats` times of `body` on all threads, in seconds. One run before warms caches and clocks up.
template <class Body>
double best_seconds(ThreadPool& pool, int repeats, const Body& body) {
  double best = 1e300;
  for (int repeat = 0; repeat <= repeats; repeat++) {
    const auto begin = std::chrono::steady_clock::now();
    pool.run(body);
    const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - begin;
    if (repeat > 0) best = std::min(best, std::max(taken.count(), 1e-9));
  }
  return best;
}

void measure_read(ThreadPool& pool, const BenchKernels& kernels, const MachineBenchConfig& config, const char* buffer,
                  std::size_t bytes_per_thread, MachineRates& rates) {
  std::atomic<std::uint64_t> digest{0};
  for (const int streams : kStreams) {
    const double seconds = best_seconds(pool, config.repeats, [&](int thread) {
      digest ^= kernels.read(buffer + static_cast<std::size_t>(thread) * bytes_per_thread, bytes_per_thread, streams);
    });
    const double rate = static_cast<double>(bytes_per_thread) * pool.threads() / seconds * 1e-9;
    if (rate <= rates.read_gb_per_s) continue;
    rates.read_gb_per_s = rate;
    rates.read_streams = streams;
  }
}

// 10^9 operations per second of all threads in `rounds_of`, a round of which is `flops`.
double measure_flops(ThreadPool& pool, void (*rounds_of)(std::int64_t), std::int64_t flops,
                     const MachineBenchConfig& config) {
  std::int64_t rounds = 1 << 16;  // grown until a run is long enough to time
  double seconds = 0;
  for (;; rounds *= 2) {
    seconds = best_seconds(pool, 1, [&](int) { rounds_of(rounds); });
    if (seconds >= config.fma_seconds || rounds > (std::int64_t{1} << 40)) break;
  }
  seconds = std::min(seconds, best_seconds(pool, config.repeats, [&](int) { rounds_of(rounds); }));
  return static_cast<double>(rounds) * static_cast<double>(flops) * pool.threads() / seconds * 1e-9;
}

}  // namespace

Expected<MachineRates> measure_machine(ThreadPool& pool, const MachineBenchConfig& config) {
  const BenchKernels& kernels = pick_kernels(config.isa);
  MachineRates rates;
  rates.threads = pool.threads();
  rates.isa = kernels.isa;
  const auto threads = static_cast<std::size_t>(pool.threads());
  const std::size_t bytes_per_thread =
      std::max<std::size_t>(config.buffer_bytes / threads / kRangeUnit, 1) * kRangeUnit;
  const std::size_t bytes = bytes_per_thread * threads;
  const std::size_t free = available_memory_bytes();
  void* buffer =
      bytes > free ? MAP_FAILED : ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (buffer == MAP_FAILED) {
    return fail(missing("bandwidth measurement: needs " + std::to_string(bytes >> 20) + " MiB of memory, " +
                        std::to_string(free >> 20) + " MiB are free: free some, or raise the limit (a container's "
                        "memory, ulimit -v)"));
  }
  ::madvise(buffer, bytes, MADV_HUGEPAGE);
  // Written by the thread that reads it: committed, near its core, and not the kernel's shared zero page.
  pool.run([&](int thread) {
    std::memset(static_cast<char*>(buffer) + static_cast<std::size_t>(thread) * bytes_per_thread, thread + 1,
                bytes_per_thread);
  });
  measure_read(pool, kernels, config, static_cast<const char*>(buffer), bytes_per_thread, rates);
  ::munmap(buffer, bytes);
  rates.fma_gflop_per_s = measure_flops(pool, kernels.multiply_add, kernels.flops_per_round, config);
  if (kernels.dot_bf16 != nullptr && cpu_features().avx512_bf16) {
    rates.bf16_dot_gflop_per_s = measure_flops(pool, kernels.dot_bf16, kernels.dot_flops_per_round, config);
    const auto choice = choose_isa(config.isa, cpu_features(), judge_dots);
    rates.bf16_dots = choice && choice->isa == CpuIsa::kAvx512Bf16;
  }
  return rates;
}

}  // namespace herd
