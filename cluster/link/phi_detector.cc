#include "cluster/link/phi_detector.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <span>

namespace herd::link {
namespace {

// Of a normal distribution: the probability of more than so many standard deviations above the mean.
double probability_above(double deviations) { return 0.5 * std::erfc(deviations / std::numbers::sqrt2); }

double suspicion_of(double deviations) { return -std::log10(probability_above(deviations)); }

// Beyond it the probability is no number any more.
constexpr double kDeviationsMax = 37.0;

}  // namespace

PhiDetector::PhiDetector(double expected_s) : spread_min_s_(expected_s / 5) {
  for (const double first : {0.5, 1.5, 0.5, 1.5}) on_interval(first * expected_s);
}

void PhiDetector::on_interval(double seconds) {
  intervals_[next_] = seconds;
  next_ = (next_ + 1) % kIntervals;
  count_ = std::min(count_ + 1, kIntervals);
  measure();
}

void PhiDetector::measure() {
  const std::span<const double> known = std::span(intervals_).first(count_);
  double sum = 0.0, squares = 0.0;
  for (const double interval : known) sum += interval;
  mean_s_ = sum / static_cast<double>(count_);
  for (const double interval : known) squares += (interval - mean_s_) * (interval - mean_s_);
  spread_s_ = std::max(spread_min_s_, std::sqrt(squares / static_cast<double>(count_)));
}

double PhiDetector::phi(double silent_s) const {
  return suspicion_of(std::min(kDeviationsMax, (silent_s - mean_s_) / spread_s_));
}

double PhiDetector::silence_of(double phi) const {
  double below = -kDeviationsMax, above = kDeviationsMax;
  for (int step = 0; step < 50; ++step) {
    const double middle = (below + above) / 2;
    (suspicion_of(middle) < phi ? below : above) = middle;
  }
  return mean_s_ + above * spread_s_;
}

}  // namespace herd::link
