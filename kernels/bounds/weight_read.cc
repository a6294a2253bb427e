#include "kernels/bounds/weight_read.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <iterator>
#include <utility>

#include "kernels/bounds/peak_loops.h"
#include "kernels/check.h"
#include "kernels/cpu/bench_kernels.h"
#include "kernels/cpu/thread_pool.h"

namespace herd {
namespace {

// Panels side by side: two in products of one row (matmul-inl.h), but the memory may be faster with others.
constexpr int kPanelStreams[] = {1, 2, 4};

std::atomic<std::uint64_t> digest{0};  // so that the reads stay

double seconds_of(ThreadPool& pool, const auto& body) {
  const auto begin = std::chrono::steady_clock::now();
  pool.run(body);
  return std::max(std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count(), 1e-9);
}

}  // namespace

WeightReader::WeightReader(std::vector<std::vector<PackedMatrix>> ranks, const WeightReadConfig& config)
    : ranks_(std::move(ranks)), config_(config) {
  for (const auto& rank : ranks_)
    for (const PackedMatrix& matrix : rank) bytes_ += matrix.bytes();
  HERD_CHECK(bytes_ > 0, "a model has weights");
}

// A thread reads its panels of one matrix after the other, each in runs side by side; no thread waits for another.
void WeightReader::read_share(int thread, std::int64_t passes, int streams) {
  const BenchKernels& kernels = bench_kernels(config_.isa);
  const auto& matrices = ranks_[static_cast<std::size_t>(thread / config_.threads_per_rank)];
  const std::int64_t own = thread % config_.threads_per_rank;
  std::uint64_t read = 0;
  for (std::int64_t pass = 0; pass < passes; pass++) {
    for (const PackedMatrix& matrix : matrices) {
      const std::int64_t panels = matrix.outputs_padded() / kPanelOutputs;
      const std::int64_t panel_bytes = matrix.bytes() / panels;
      const std::int64_t begin = panels * own / config_.threads_per_rank;
      const std::int64_t count = panels * (own + 1) / config_.threads_per_rank - begin;
      const std::int64_t together = count / streams * streams;
      const char* data = static_cast<const char*>(matrix.data) + begin * panel_bytes;
      read ^= kernels.read(data, static_cast<std::size_t>(together * panel_bytes), streams);
      read ^= kernels.read(data + together * panel_bytes, static_cast<std::size_t>((count - together) * panel_bytes), 1);
    }
  }
  digest ^= read;
}

double WeightReader::read_gb_per_s() {
  ThreadPool pool(static_cast<int>(ranks_.size()) * config_.threads_per_rank, config_.nice);
  double best = 0.0;
  for (const int streams : kPanelStreams) {
    const double once = seconds_of(pool, [&](int thread) { read_share(thread, 1, streams); });
    const auto passes = static_cast<std::int64_t>(config_.seconds / std::size(kPanelStreams) / once) + 1;
    const double seconds = seconds_of(pool, [&](int thread) { read_share(thread, passes, streams); });
    best = std::max(best, static_cast<double>(bytes_) * static_cast<double>(passes) / seconds * 1e-9);
  }
  return best;
}

}  // namespace herd
