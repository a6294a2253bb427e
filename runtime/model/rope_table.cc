#include "runtime/model/rope_table.h"

#include <algorithm>
#include <chrono>
#include <mutex>
#include <thread>

#include "kernels/check.h"
#include "kernels/math.h"

namespace herd::model {
namespace {

constexpr double kTwoPi = 6.283185307179586;

// Llama 3.1's piecewise scaling: short wavelengths stay, long ones are divided by the factor, a smooth ramp between.
double llama3_scaled(double frequency, const RopeConfig& rope) {
  const double wavelength = kTwoPi / frequency;
  const double original = rope.original_max_position_embeddings;
  if (wavelength < original / rope.high_freq_factor) return frequency;
  if (wavelength > original / rope.low_freq_factor) return frequency / rope.factor;
  const double smooth = (original / wavelength - rope.low_freq_factor) / (rope.high_freq_factor - rope.low_freq_factor);
  return (1.0 - smooth) * frequency / rope.factor + smooth * frequency;
}

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

std::vector<double> rope_frequencies(const RopeConfig& rope, int head_dim) {
  std::vector<double> frequencies(static_cast<std::size_t>(head_dim / 2));
  const double log_theta = log_f64(rope.theta);
  for (int i = 0; i < head_dim / 2; ++i) {
    double frequency = exp_f64(-2.0 * i / head_dim * log_theta);
    if (!rope.frequency_divisors.empty())
      frequency /= static_cast<double>(rope.frequency_divisors[static_cast<std::size_t>(i)]);
    else if (rope.type == RopeType::kLlama3)
      frequency = llama3_scaled(frequency, rope);
    frequencies[static_cast<std::size_t>(i)] = frequency;
  }
  return frequencies;
}

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

}  // namespace herd::model
