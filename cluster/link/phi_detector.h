#pragma once
// PhiDetector: how suspicious it is that a peer which sends something at intervals has been silent for so long, as the intervals
// before it say (Hayashibara, Défago, Yared, Katayama: The phi accrual failure detector, 2004). Pure; seconds in, suspicion out.
//
// phi = -log10 of the probability that a peer which lives is silent for that long, intervals taken to be normally distributed: at
// 8 one suspicion in 10^8 intervals is false. Peers whose pings come late, as their machine has much to do, are waited for longer.

#include <array>
#include <cstddef>

namespace herd::link {

class PhiDetector {
 public:
  // A peer that is to send something every `expected_s`. Until it has sent for a while it is taken to do so with a spread of half
  // of that.
  explicit PhiDetector(double expected_s);

  void on_interval(double seconds);
  [[nodiscard]] double phi(double silent_s) const;
  // The silence that is as suspicious as that.
  [[nodiscard]] double silence_of(double phi) const;

 private:
  static constexpr std::size_t kIntervals = 64;  // half a minute of pings

  void measure();

  std::array<double, kIntervals> intervals_{};  // the last ones, in a ring
  std::size_t count_ = 0;
  std::size_t next_ = 0;
  double spread_min_s_;  // clocks and queues are no more regular than that
  double mean_s_ = 0.0;
  double spread_s_ = 0.0;
};

}  // namespace herd::link
