#pragma once
// A LoadReport as people read it: the table of vllm bench serve line for line, with lines of our own for refusals and
// failures, and plots for a terminal. Pure.

#include <string>
#include <vector>

#include "commands/load/load_report.h"

namespace herd::load {

// Which distributions are shown: "ttft", "tpot", "itl", "e2el", "client_queue_time", "e2el_including_client_queue".
struct MetricChoice {
  std::vector<std::string> names = {"ttft", "tpot", "itl", "e2el"};
  // "ttft,itl". kUsage names what is not a metric.
  [[nodiscard]] static Expected<MetricChoice> parse(const std::string& list);
};

struct MetricView {
  std::string key;     // "ttft": as in the JSON
  std::string title;   // "TTFT"
  std::string header;  // "Time to First Token"
  const Distribution* values = nullptr;
};
// In the table's order. The report must outlive it.
[[nodiscard]] std::vector<MetricView> chosen_metrics(const LoadReport& report, const MetricChoice& choice);
// "99", "99.9".
[[nodiscard]] std::string percent_name(double percent);

struct TableOptions {
  MetricChoice metrics;
  double request_rate = 0.0;        // infinite or 0: no line
  std::size_t max_concurrency = 0;  // 0: no line
  bool goodput = false;
};
[[nodiscard]] std::string report_table(const LoadReport& report, const TableOptions& options);

// Histograms of TTFT and ITL (equal steps of the logarithm) and tokens by second: a line each, eight heights.
[[nodiscard]] std::string report_plots(const LoadReport& report);

}  // namespace herd::load
