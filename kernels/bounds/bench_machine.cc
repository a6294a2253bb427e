#include "kernels/bounds/bench_machine.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <memory>
#include <string>

#include <sys/mman.h>

#include "kernels/cpu/cpu_info.h"

namespace herd {
namespace {

constexpr int kReadStreams[] = {1, 2, 4, 8};
constexpr std::size_t kRangeUnit = 8 * 512;  // so that every stream count divides a thread's range into whole steps
constexpr std::size_t kSmallPage = 4096;
constexpr std::size_t kHugePage = std::size_t{2} << 20;

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

// Zeroed memory that begins where a huge page can, freed with it.
class Pages {
 public:
  Pages(std::size_t bytes, std::size_t page_bytes) : mapped_(bytes + kHugePage) {
    mapping_ = ::mmap(nullptr, mapped_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (mapping_ == MAP_FAILED) return;
    std::size_t room = mapped_;
    data_ = mapping_;
    std::align(kHugePage, bytes, data_, room);
    ::madvise(data_, bytes, page_bytes == kHugePage ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
  }
  ~Pages() {
    if (mapping_ != MAP_FAILED) ::munmap(mapping_, mapped_);
  }
  Pages(const Pages&) = delete;
  Pages& operator=(const Pages&) = delete;

  [[nodiscard]] char* data() const { return static_cast<char*>(data_); }  // null: there is no such memory

 private:
  std::size_t mapped_;
  void* mapping_ = nullptr;
  void* data_ = nullptr;
};

// Of the mapping that holds `address`, the bytes in huge pages, as the kernel counts them in /proc/self/smaps.
double huge_bytes_at(const void* address) {
  std::ifstream maps("/proc/self/smaps");
  const auto wanted = reinterpret_cast<std::uintptr_t>(address);
  bool inside = false;
  for (std::string line; std::getline(maps, line);) {
    std::uintptr_t begin = 0;
    std::uintptr_t end = 0;
    double kib = 0;
    if (std::sscanf(line.c_str(), "%lx-%lx ", &begin, &end) == 2) inside = begin <= wanted && wanted < end;
    if (inside && std::sscanf(line.c_str(), "AnonHugePages: %lf", &kib) == 1) return kib * 1024;
  }
  return 0;
}

Status measure_pages(ThreadPool& pool, const MachineBenchConfig& config, std::size_t page_bytes, MachineReads& reads) {
  const BenchKernels& kernels = bench_kernels(config.isa);
  const auto threads = static_cast<std::size_t>(pool.threads());
  const std::size_t bytes_per_thread =
      std::max<std::size_t>(config.buffer_bytes / threads / kRangeUnit, 1) * kRangeUnit;
  const std::size_t bytes = bytes_per_thread * threads;
  const std::size_t free = available_memory_bytes();
  const auto pages = bytes > free ? nullptr : std::make_unique<Pages>(bytes, page_bytes);
  if (pages == nullptr || pages->data() == nullptr) {
    return missing("bandwidth measurement: needs " + std::to_string(bytes >> 20) + " MiB of memory, " +
                   std::to_string(free >> 20) + " MiB are free: free some, or raise the limit (a container's "
                   "memory, ulimit -v)");
  }
  const auto range = [&](int thread) { return pages->data() + static_cast<std::size_t>(thread) * bytes_per_thread; };
  // Written by the thread that reads it: committed, near its core, and not the kernel's shared zero page.
  pool.run([&](int thread) { std::memset(range(thread), thread + 1, bytes_per_thread); });
  if (page_bytes == kHugePage)
    reads.huge_share = std::min(1.0, huge_bytes_at(pages->data()) / static_cast<double>(bytes));
  std::atomic<std::uint64_t> digest{0};
  for (const int streams : kReadStreams) {
    const double seconds = best_seconds(pool, config.repeats, [&](int thread) {
      digest ^= kernels.read(range(thread), bytes_per_thread, streams);
    });
    reads.rates.push_back({page_bytes, streams, static_cast<double>(bytes) / seconds * 1e-9});
  }
  return {};
}

}  // namespace

const ReadRate& MachineReads::best() const {
  return *std::ranges::max_element(rates, {}, [](const ReadRate& rate) { return rate.gb_per_s; });
}

Expected<MachineReads> measure_reads(ThreadPool& pool, const MachineBenchConfig& config) {
  MachineReads reads;
  for (const std::size_t page_bytes : {kSmallPage, kHugePage}) {
    if (page_bytes == kSmallPage && !config.small_pages) continue;
    if (Status status = measure_pages(pool, config, page_bytes, reads); !status.ok()) return fail(std::move(status));
  }
  return reads;
}

double measure_peak(ThreadPool& pool, Peak peak, const MachineBenchConfig& config) {
  const PeakLoop loop = peak_loop(peak, config.isa);
  if (loop.run == nullptr) return 0;
  std::int64_t rounds = 1 << 10;  // grown until a run is long enough to time
  double seconds = 0;
  for (;; rounds *= 2) {
    seconds = best_seconds(pool, 1, [&](int) { loop.run(rounds); });
    if (seconds >= config.fma_seconds || rounds > (std::int64_t{1} << 40)) break;
  }
  seconds = std::min(seconds, best_seconds(pool, config.repeats, [&](int) { loop.run(rounds); }));
  return static_cast<double>(rounds) * static_cast<double>(loop.operations) * pool.threads() / seconds * 1e-9;
}

Expected<MachineRates> measure_machine(ThreadPool& pool, const MachineBenchConfig& config) {
  auto reads = measure_reads(pool, config);
  if (!reads) return fail(reads.error());
  MachineRates rates;
  rates.reads = std::move(*reads);
  rates.threads = pool.threads();
  rates.isa = bench_kernels(config.isa).isa;
  for (const PeakName& name : kPeakNames)
    rates.peaks[static_cast<std::size_t>(name.peak)] = measure_peak(pool, name.peak, config);
  rates.bf16_dots = multiplies_by_dots(config.isa);
  return rates;
}

}  // namespace herd
