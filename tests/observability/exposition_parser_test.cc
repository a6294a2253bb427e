// The reader that the metrics are judged by must itself refuse what is wrong.
#include "tests/observability/exposition_parser.h"

#include <gtest/gtest.h>

#include <cmath>

namespace herd::observability {
namespace {

constexpr const char* kGood =
    "# HELP a:b_total Things.\n# TYPE a:b_total counter\na:b_total{x=\"1\\n\\\"\\\\\",y=\"\"} 3\na:b_total 1e+06\n"
    "# HELP h Times.\n# TYPE h histogram\nh_count 2\nh_sum 1.5\nh_bucket{le=\"0.5\"} 1\nh_bucket{le=\"+Inf\"} 2\n";

TEST(ExpositionParser, ReadsNamesLabelsAndValues) {
  const Exposition exposition = parse_exposition(kGood);
  EXPECT_EQ(exposition.error, "");
  EXPECT_EQ(exposition.value("a:b_total", {{"x", "1\n\"\\"}, {"y", ""}}), 3);
  EXPECT_EQ(exposition.value("a:b_total", {}), 1e6);
  EXPECT_EQ(exposition.value("h_bucket", {{"le", "0.5"}}), 1);
  EXPECT_TRUE(std::isnan(exposition.value("h_bucket", {})));
  ASSERT_NE(exposition.family("h"), nullptr);
  EXPECT_EQ(exposition.family("h")->type, "histogram");
  EXPECT_EQ(exposition.family("h")->help, "Times.");
}

TEST(ExpositionParser, RefusesWhatAScraperWouldRefuseOrMisread) {
  const std::string head = "# HELP g G.\n# TYPE g gauge\n";
  const std::string histogram = "# HELP h H.\n# TYPE h histogram\nh_count 2\nh_sum 1\n";
  const std::string rows[] = {
      "g 1\n",                                                                  // no TYPE
      head + "g 1",                                                             // no end of line
      head + "g\n",                                                             // no value
      head + "g 1 \n",                                                          // something behind it
      head + "g one\n",                                                         //
      head + "other 1\n",                                                       // stands under another family
      head + "g{x=1} 1\n",                                                      // no quotes
      head + "g{x=\"1\" 1\n",                                                   // no end of labels
      head + "g{x=\"1\",x=\"2\"} 1\n",                                          // a label twice
      head + "g{x:y=\"1\"} 1\n",                                                // a colon in a label
      head + "g{x=\"\\t\"} 1\n",                                                // an escape that is none
      head + "g{} 1\n",                                                         //
      head + "g 1\ng 2\n",                                                      // a sample twice
      head + "g 1\n" + head + "g{x=\"1\"} 1\n",                                 // a family twice
      head + "\ng 1\n",                                                         // an empty line
      head,                                                                     // no samples
      "# TYPE g gauge\ng 1\n",                                                  // no HELP
      "# HELP g\n# TYPE g gauge\ng 1\n",                                        // no text in it
      "# HELP g G.\n# TYPE g thing\ng 1\n",                                     //
      "# HELP c C.\n# TYPE c counter\nc 1\n",                                   // no _total
      "# HELP c_total C.\n# TYPE c_total counter\nc_total -1\n",                //
      histogram,                                                                // no buckets
      histogram + "h_bucket{le=\"1\"} 2\n",                                     // no +Inf
      histogram + "h_bucket{le=\"1\"} 3\nh_bucket{le=\"+Inf\"} 2\n",            // not cumulative
      histogram + "h_bucket{le=\"1\"} 1\nh_bucket{le=\"+Inf\"} 3\n",            // not the count
      histogram + "h_bucket{le=\"+Inf\"} 2\nh_bucket{le=\"1\"} 1\n",            // not ascending
      histogram + "h_bucket 2\n",                                               // no le
      "# HELP h H.\n# TYPE h histogram\nh_count 0\nh_bucket{le=\"+Inf\"} 0\n",  // no sum
  };
  for (const std::string& row : rows) EXPECT_NE(parse_exposition(row).error, "") << row;
}

}  // namespace
}  // namespace herd::observability
