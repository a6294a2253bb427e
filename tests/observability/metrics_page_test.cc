#include "observability/metrics_page.h"

#include <cmath>
#include <limits>

#include <gtest/gtest.h>

#include "tests/observability/exposition_parser.h"

namespace herd::observability {
namespace {

TEST(MetricsPage, IsReadAsItWasMeant) {
  MetricsPage page;
  page.counter("herd_things_total", "Things.");
  page.sample({}, 3);
  page.gauge("herd_share", "A share.");
  page.sample({{"name", "a"}, {"kind", "x"}}, 0.1);
  page.sample({{"name", "b"}, {"kind", "x"}}, 1e300);
  const Exposition read = parse_exposition(page.text());
  EXPECT_EQ(read.error, "");
  EXPECT_EQ(read.family("herd_things_total")->type, "counter");
  EXPECT_EQ(read.value("herd_things_total", {}), 3);
  EXPECT_EQ(read.value("herd_share", {{"name", "a"}, {"kind", "x"}}), 0.1);
  EXPECT_EQ(read.value("herd_share", {{"name", "b"}, {"kind", "x"}}), 1e300);
}

// A bad byte in one label would have Prometheus drop the whole scrape.
TEST(MetricsPage, NoTextBreaksIt) {
  MetricsPage page;
  page.gauge("herd_text", "Text.");
  page.sample({{"text", "a\"b\\c\nd\xff"}}, 1);
  const Exposition read = parse_exposition(page.text());
  EXPECT_EQ(read.error, "");
  EXPECT_EQ(read.value("herd_text", {{"text", "a\"b\\c\nd\xEF\xBF\xBD"}}), 1);
}

TEST(MetricsPage, NumbersThatAreNoneAreSuch) {
  MetricsPage page;
  page.gauge("herd_number", "Number.");
  page.sample({{"is", "nan"}}, std::nan(""));
  page.sample({{"is", "inf"}}, std::numeric_limits<double>::infinity());
  page.sample({{"is", "-inf"}}, -std::numeric_limits<double>::infinity());
  const Exposition read = parse_exposition(page.text());
  EXPECT_EQ(read.error, "");
  EXPECT_EQ(read.value("herd_number", {{"is", "inf"}}), std::numeric_limits<double>::infinity());
  EXPECT_EQ(read.value("herd_number", {{"is", "-inf"}}), -std::numeric_limits<double>::infinity());
}

}  // namespace
}  // namespace herd::observability
