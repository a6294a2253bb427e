#include "cluster/link/phi_detector.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

namespace herd::link {
namespace {

constexpr double kPhi = 8;

PhiDetector detector_of(double mean_s, double spread_s, int intervals) {
  PhiDetector detector(0.5);
  std::mt19937_64 random(7);
  std::normal_distribution<double> interval(mean_s, spread_s);
  for (int i = 0; i < intervals; ++i) detector.on_interval(interval(random));
  return detector;
}

TEST(PhiDetector, SuspicionIsTheLogarithmOfAProbability) {
  const PhiDetector detector = detector_of(0.5, 0, 64);  // a spread of a fifth: 0.1 s
  EXPECT_NEAR(detector.phi(0.5), -std::log10(0.5), 1e-9);
  EXPECT_NEAR(detector.phi(0.6), -std::log10(0.158655253931457), 1e-9);  // one standard deviation above the mean
  EXPECT_NEAR(detector.phi(1.0), -std::log10(2.866515718791939e-7), 1e-6);  // five
}

TEST(PhiDetector, TheSilenceOfASuspicionIsItsInverse) {
  const PhiDetector detector = detector_of(0.6, 0.2, 64);
  for (const double phi : {0.5, 1.0, 3.0, 8.0, 100.0}) EXPECT_NEAR(detector.phi(detector.silence_of(phi)), phi, 1e-6 * phi);
}

TEST(PhiDetector, SuspicionGrowsWithSilenceAndStaysANumber) {
  const PhiDetector detector = detector_of(0.5, 0.1, 64);
  double before = -1;
  for (double silent_s = 0; silent_s < 3; silent_s += 0.1) {
    EXPECT_GT(detector.phi(silent_s), before);
    before = detector.phi(silent_s);
  }
  EXPECT_TRUE(std::isfinite(detector.phi(1e9)));
}

TEST(PhiDetector, APeerThatIsLateAtTimesIsWaitedForLonger) {
  const double steady_s = detector_of(0.5, 0.02, 64).silence_of(kPhi);
  PhiDetector loaded = detector_of(0.5, 0.02, 64);
  double before_s = steady_s;
  for (int i = 0; i < 4; ++i) {
    loaded.on_interval(2.0);
    EXPECT_GT(loaded.silence_of(kPhi), before_s);
    before_s = loaded.silence_of(kPhi);
  }
  EXPECT_GT(before_s, 2.0);
  // What was long ago is forgotten.
  for (int i = 0; i < 64; ++i) loaded.on_interval(0.5);
  EXPECT_LT(loaded.silence_of(kPhi), steady_s + 0.05);
}

TEST(PhiDetector, AtFirstIntervalsAreTakenToSpread) {
  const PhiDetector unknown(0.5);
  EXPECT_GT(unknown.silence_of(kPhi), detector_of(0.5, 0.02, 64).silence_of(kPhi));
  EXPECT_LT(unknown.silence_of(kPhi), 2.0);
}

}  // namespace
}  // namespace herd::link
