#include "cluster/admission/work_meter.h"

#include <gtest/gtest.h>

#include "tests/cluster/instants.h"

namespace herd::admission {
namespace {

// 100 tokens a second, from `begin` to `end`.
void work(WorkMeter& meter, double begin, double end, double step_s = 0.5) {
  meter.set_busy(true, at(begin));
  for (double now = begin + step_s; now <= end; now += step_s) meter.on_tokens(100 * step_s, at(now));
  meter.set_busy(false, at(end));
}

TEST(WorkMeter, KnowsNothingBeforeASecondOfWork) {
  WorkMeter meter;
  EXPECT_FALSE(meter.tokens_per_s());
  work(meter, 0, 0.5);
  EXPECT_FALSE(meter.tokens_per_s());
}

TEST(WorkMeter, KnowsNothingBeforeTheFirstTokens) {
  WorkMeter meter;
  meter.set_busy(true, at(0));
  meter.on_tokens(0, at(100));
  EXPECT_FALSE(meter.tokens_per_s());
}

// Any constant rate is measured as that, however the tokens are reported: each weighs as much as its time does.
TEST(WorkMeter, MeasuresAConstantRateExactly) {
  for (const double step_s : {0.01, 0.5, 8.0, 60.0}) {
    WorkMeter meter;
    work(meter, 0, 120, step_s);
    ASSERT_TRUE(meter.tokens_per_s()) << step_s;
    EXPECT_NEAR(*meter.tokens_per_s(), 100, 1e-6) << step_s;
  }
}

TEST(WorkMeter, DoesNotTakeAnIdleHourForSlowness) {
  WorkMeter meter;
  work(meter, 0, 20);
  work(meter, 3600, 3601);
  EXPECT_NEAR(*meter.tokens_per_s(), 100, 1e-6);
}

TEST(WorkMeter, CountsWorkThatWasCutShortAsTime) {
  WorkMeter meter;
  work(meter, 0, 1000);
  meter.set_busy(true, at(1000));
  meter.set_busy(false, at(1010));  // ten seconds for nothing
  meter.set_busy(true, at(2000));
  meter.on_tokens(1000, at(2010));  // 1000 tokens in 20 busy seconds: 50 a second
  // The old rate weighs e^-2 of the whole (its 1000 s are e^-100 short of that).
  EXPECT_NEAR(*meter.tokens_per_s(), 100 * 0.1353352832366127 + 50 * (1 - 0.1353352832366127), 1e-6);
}

TEST(WorkMeter, ForgetsAnOldRateWithItsTimeConstant) {
  WorkMeter meter;
  work(meter, 0, 1000);
  meter.set_busy(true, at(1000));
  meter.on_tokens(2000, at(1010));  // 200 a second for one time constant
  EXPECT_NEAR(*meter.tokens_per_s(), 100 * 0.36787944117144233 + 200 * (1 - 0.36787944117144233), 1e-6);
}

TEST(WorkMeter, TakesBackWhatWasCountedTooMuch) {
  WorkMeter meter;
  meter.set_busy(true, at(0));
  meter.on_tokens(1000, at(2));
  const double before = *meter.tokens_per_s();
  meter.on_tokens(-500, at(2));
  EXPECT_LT(*meter.tokens_per_s(), before);
  meter.on_tokens(-1e9, at(2));
  EXPECT_FALSE(meter.tokens_per_s());
}

TEST(WorkMeter, ForecastsAtMostWhatARequestAllows) {
  WorkMeter meter;
  EXPECT_DOUBLE_EQ(meter.forecast_output(1, 16), 16);
  EXPECT_DOUBLE_EQ(meter.forecast_output(1, 100000), 128);
  EXPECT_DOUBLE_EQ(meter.forecast_output(4, 100000), 512);
  EXPECT_DOUBLE_EQ(meter.forecast_prompt(1000), 1000);
}

TEST(WorkMeter, LearnsWhatRequestsTurnOutToBe) {
  WorkMeter meter;
  for (int i = 0; i < 1000; ++i) meter.on_request(1000, 100, 2, 40);
  EXPECT_NEAR(meter.forecast_output(1, 100000), 20, 1e-9);
  EXPECT_NEAR(meter.forecast_prompt(1000), 100, 1e-9);
  meter.on_request(10, 20, 1, 20);  // a failover computes a prompt twice: still its whole prompt, not more
  EXPECT_LE(meter.forecast_prompt(1000), 1000);
}

}  // namespace
}  // namespace herd::admission
