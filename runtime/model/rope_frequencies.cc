#include "runtime/model/rope_frequencies.h"

#include <cstddef>

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

std::vector<float> rope_divisors(const RopeConfig& rope, int head_dim) {
  if (!rope.frequency_divisors.empty() || rope.type == RopeType::kDefault) return rope.frequency_divisors;
  RopeConfig unscaled;
  unscaled.theta = rope.theta;
  const std::vector<double> from = rope_frequencies(unscaled, head_dim);
  const std::vector<double> to = rope_frequencies(rope, head_dim);
  std::vector<float> divisors;
  for (std::size_t i = 0; i < from.size(); ++i) divisors.push_back(static_cast<float>(from[i] / to[i]));
  return divisors;
}

}  // namespace herd::model
