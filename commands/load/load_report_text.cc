#include "commands/load/load_report_text.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

namespace herd::load {
namespace {

constexpr std::size_t kWidth = 50;
constexpr std::size_t kColumns = 64;

std::string rule(const std::string& title, char fill) {
  const std::string text = title.empty() ? "" : title;
  const std::size_t space = kWidth > text.size() ? kWidth - text.size() : 0;
  return std::string(space / 2, fill) + text + std::string(space - space / 2, fill) + "\n";
}

std::string line(const std::string& name, const char* format, double value) {
  char number[64];
  std::snprintf(number, sizeof number, format, value);
  char text[160];
  std::snprintf(text, sizeof text, "%-40s %-10s\n", name.c_str(), number);
  return text;
}

std::string count_line(const std::string& name, double value) { return line(name, "%.0f", value); }
std::string figure_line(const std::string& name, double value) { return line(name, "%.2f", value); }

std::string distribution_lines(const std::string& title, const Distribution& values) {
  std::string text = figure_line("Mean " + title + " (ms):", values.mean * 1e3);
  text += figure_line("Median " + title + " (ms):", values.median * 1e3);
  text += figure_line("Std " + title + " (ms):", values.std * 1e3);
  for (const auto& [percent, value] : values.percentiles)
    text += figure_line(std::string("P").append(percent_name(percent)) + " " + title + " (ms):", value * 1e3);
  return text;
}

std::string failure_lines(const LoadReport& report) {
  std::string text;
  for (const auto& [status, count] : report.failed_by_status) {
    const std::string name = status == 0     ? "  without an answer:"
                             : status == 200 ? "  in the middle of the stream:"
                                             : "  with HTTP " + std::to_string(status) + ":";
    text += count_line(name, static_cast<double>(count));
  }
  return text;
}

// One line: a column a value, eight heights, from 0.
std::string bars(const std::vector<double>& values) {
  static const char* const kBars[] = {" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
  const double high = values.empty() ? 0.0 : *std::max_element(values.begin(), values.end());
  std::string text;
  for (const double value : values) text += kBars[high > 0.0 ? static_cast<int>(std::ceil(value / high * 8.0)) : 0];
  return text;
}

std::string histogram(const char* name, const Distribution& values) {
  if (values.sorted.size() < 2) return "";
  const double low = std::max(values.sorted.front(), 1e-6);  // a microsecond: chunks that came in one piece
  const double high = std::max(values.sorted.back(), low * 1.01);
  std::vector<double> bins(kColumns, 0.0);
  for (const double value : values.sorted) {
    const double share = std::log(std::max(value, low) / low) / std::log(high / low);
    bins[std::min(kColumns - 1, static_cast<std::size_t>(share * kColumns))] += 1.0;
  }
  char text[512];
  std::snprintf(text, sizeof text, "%-14s %10.2f |%s| %.2f ms\n", name, values.sorted.front() * 1e3, bars(bins).c_str(),
                values.sorted.back() * 1e3);
  return text;
}

std::string over_time(const LoadReport& report) {
  const std::vector<double>& seconds = report.chunks_by_second;
  if (seconds.size() < 3) return "";
  // Whole seconds are put together until the line holds them.
  const std::size_t step = (seconds.size() + kColumns - 1) / kColumns;
  std::vector<double> columns;
  for (std::size_t i = 0; i < seconds.size(); i += step) {
    double sum = 0.0;
    const std::size_t end = std::min(i + step, seconds.size());
    for (std::size_t k = i; k < end; ++k) sum += seconds[k];
    columns.push_back(sum / static_cast<double>(end - i));
  }
  char text[512];
  std::snprintf(text, sizeof text, "%-14s %10s |%s| %zu s, highest %.0f tok/s\n", "tokens/s", "0 s",
                bars(columns).c_str(), seconds.size(), *std::max_element(columns.begin(), columns.end()));
  return text;
}

}  // namespace

Expected<MetricChoice> MetricChoice::parse(const std::string& list) {
  static const std::vector<std::string> kKnown = {
      "ttft", "tpot", "itl", "e2el", "client_queue_time", "e2el_including_client_queue"};
  MetricChoice choice;
  choice.names.clear();
  for (std::size_t at = 0; at <= list.size();) {
    const std::size_t comma = std::min(list.find(',', at), list.size());
    const std::string name = list.substr(at, comma - at);
    if (std::find(kKnown.begin(), kKnown.end(), name) == kKnown.end())
      return fail(usage_error("--percentile-metrics: \"" + name +
                              "\" is none of ttft, tpot, itl, e2el, client_queue_time, "
                              "e2el_including_client_queue"));
    choice.names.push_back(name);
    at = comma + 1;
  }
  return choice;
}

std::vector<MetricView> chosen_metrics(const LoadReport& report, const MetricChoice& choice) {
  const std::vector<MetricView> all = {
      {"ttft", "TTFT", "Time to First Token", &report.ttft},
      {"tpot", "TPOT", "Time per Output Token (excl. 1st token)", &report.tpot},
      {"itl", "ITL", "Inter-token Latency", &report.itl},
      {"e2el", "E2EL", "End-to-end Latency", &report.e2el},
      {"client_queue_time", "Client Queue Time", "Client-side Queueing", &report.client_queue},
      {"e2el_including_client_queue", "E2EL incl. Client Queue", "Queue-inclusive End-to-end Latency",
       &report.e2el_with_queue}};
  std::vector<MetricView> chosen;
  for (const MetricView& view : all)
    if (std::find(choice.names.begin(), choice.names.end(), view.key) != choice.names.end()) chosen.push_back(view);
  return chosen;
}

std::string percent_name(double percent) {
  char text[32];
  std::snprintf(text, sizeof text, "%.10g", percent);
  return text;
}

std::string report_table(const LoadReport& report, const TableOptions& options) {
  std::string text = rule(" Serving Benchmark Result ", '=');
  text += count_line("Successful requests:", static_cast<double>(report.completed));
  text += count_line("Failed requests:", static_cast<double>(report.failed)) + failure_lines(report);
  text += count_line("Refused requests (429, 503):", static_cast<double>(report.refused));
  if (report.unfinished > 0) text += count_line("Unfinished requests:", static_cast<double>(report.unfinished));
  if (options.max_concurrency > 0)
    text += count_line("Maximum request concurrency:", static_cast<double>(options.max_concurrency));
  if (options.request_rate > 0.0 && std::isfinite(options.request_rate))
    text += figure_line("Request rate configured (RPS):", options.request_rate);
  text += figure_line("Benchmark duration (s):", report.duration_s);
  text += count_line("Total input tokens:", static_cast<double>(report.input_tokens));
  if (report.cached_tokens > 0) text += count_line("  of these cached:", static_cast<double>(report.cached_tokens));
  text += count_line("Total generated tokens:", static_cast<double>(report.output_tokens));
  text += figure_line("Request throughput (req/s):", report.request_throughput);
  if (options.goodput) text += figure_line("Request goodput (req/s):", report.request_goodput);
  text += figure_line("Output token throughput (tok/s):", report.output_throughput);
  text += figure_line("Peak output token throughput (tok/s):", report.peak_output_tokens_per_s);
  text += figure_line("Peak concurrent requests:", static_cast<double>(report.peak_concurrent));
  text += figure_line("Total token throughput (tok/s):", report.total_token_throughput);
  for (const MetricView& view : chosen_metrics(report, options.metrics))
    text += rule(view.header, '-') + distribution_lines(view.title, *view.values);
  if (report.refused > 0) {
    text += rule("Refused Requests", '-') + distribution_lines("Answer Time", report.refused_answer);
    text += count_line("With Retry-After:", static_cast<double>(report.refused_with_retry_after));
  }
  return text + rule("", '=');
}

std::string report_plots(const LoadReport& report) {
  return histogram("TTFT", report.ttft) + histogram("ITL", report.itl) + over_time(report);
}

}  // namespace herd::load
