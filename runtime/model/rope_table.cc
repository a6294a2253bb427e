#include "runtime/model/rope_table.h"

#include <algorithm>
#include <chrono>
#include <mutex>
#include <thread>

#include "kernels/check.h"
#include "kernels/math.h"

namespace herd::model {
namespace {

constexpr int kRowsAtOnce = 256;
constexpr std::chrono::microseconds kLook{50};

void fill_row(const std::vector<double>& frequencies, int position, float* values) {
  const std::size_t half = frequencies.size();
  float* const row = values + static_cast<std::size_t>(position) * half * 2;
  for (std::size_t i = 0; i < half; ++i) {
    const double angle = position * frequencies[i];
    row[i] = static_cast<float>(cos_f64(angle));
    row[half + i] = static_cast<float>(sin_f64(angle));
  }
}

}  // namespace

RopeTable::RopeTable(const RopeConfig& rope, int head_dim, int positions)
    : positions_(positions),
      frequencies_(rope_frequencies(rope, head_dim)),
      values_(std::make_unique_for_overwrite<float[]>(size())) {}

void RopeTable::fill(int positions) const {
  HERD_CHECK(positions <= positions_, "the table has a row for every position there is");
  while (ready() < positions) {
    // Who waits looks for its rows from time to time: a thread that computes all of them may take the lock again at once.
    const std::unique_lock lock(mutex_, std::try_to_lock);
    if (!lock.owns_lock()) {
      std::this_thread::sleep_for(kLook);
      continue;
    }
    const int begin = ready();
    const int end = std::min(begin + kRowsAtOnce, positions_);
    if (begin >= positions) return;
    for (int position = begin; position < end; ++position) fill_row(frequencies_, position, values_.get());
    ready_.store(end, std::memory_order_release);
  }
}

bool RopeTable::fill_more() const {
  const int begin = ready();  // read once: others may compute the last rows at this moment
  if (begin == positions_) return false;
  fill(begin + 1);
  return true;
}

}  // namespace herd::model
