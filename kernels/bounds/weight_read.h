#pragma once
// How fast the memory that holds a model's weights can be read, in the order in which a decode step reads them: the bound of
// decoding. Another buffer says little about it: equally large ones differ by half, by which physical pages they got.

#include <cstdint>
#include <vector>

#include "kernels/device.h"
#include "kernels/tensor_view.h"

namespace herd {

struct WeightReadConfig {
  int threads_per_rank = 1;
  int nice = 0;                  // of the threads, see lower_thread_priority
  CpuIsa isa = CpuIsa::kAuto;    // one this CPU lacks counts as kAuto
  double seconds = 0.25;         // that a reading takes, at the least; or one pass, when that is longer
};

class WeightReader {
 public:
  // ranks[r]: the matrices that rank r reads in one decode step, in its order, in memory that this process can read and that
  // outlives the reader. Not empty.
  WeightReader(std::vector<std::vector<PackedMatrix>> ranks, const WeightReadConfig& config);

  [[nodiscard]] std::int64_t bytes() const { return bytes_; }  // of one pass, all ranks

  // Reads everything, again and again, on as many threads as compute, all ranks at once, each thread the panels it has in a
  // decode step, with one, two and four of them side by side; the fastest counts. 10^9 bytes per second, all threads together.
  // The threads live as long as the reading: afterwards they are not in the way of those that compute, which should be
  // idle meanwhile.
  [[nodiscard]] double read_gb_per_s();

 private:
  void read_share(int thread, std::int64_t passes, int streams);

  const std::vector<std::vector<PackedMatrix>> ranks_;
  const WeightReadConfig config_;
  std::int64_t bytes_ = 0;
};

}  // namespace herd
