#pragma once
// LoadReport: records of a run -> the figures of vllm bench serve, by its definitions (vllm/benchmarks/serve.py
// calculate_metrics). Pure. Times in seconds here; text and JSON show milliseconds.
//   TTFT   sent → first chunk with a token          TPOT  (E2EL - TTFT) / (output tokens - 1), requests of 2 and more
//   ITL    gaps between chunks, all requests pooled E2EL  sent → last chunk
// Throughputs divide by the duration of the whole run. Only completed requests count, in everything but `failed`,
// `refused` and their answer times. Percentiles interpolate linearly (numpy's default); std is the population's.

#include <cstddef>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "commands/load/request_record.h"
#include "kernels/status.h"

namespace herd::load {

// Linear interpolation between the closest ranks; 0 for an empty list. `sorted` ascending, percent in [0, 100].
[[nodiscard]] double percentile(const std::vector<double>& sorted, double percent);

struct Distribution {
  std::vector<double> sorted;  // s
  double mean = 0.0;
  double median = 0.0;
  double std = 0.0;
  std::vector<std::pair<double, double>> percentiles;  // percent, value
};

[[nodiscard]] Distribution distribution(std::vector<double> values, const std::vector<double>& percents);

// Limits in milliseconds; a request is good when it keeps all that are set.
struct Goodput {
  std::optional<double> ttft_ms;
  std::optional<double> tpot_ms;  // a request of one token has 0
  std::optional<double> e2el_ms;
  [[nodiscard]] bool any() const { return ttft_ms || tpot_ms || e2el_ms; }
};
// "ttft:200" "tpot:50" "e2el:3000". kUsage.
[[nodiscard]] Expected<Goodput> parse_goodput(const std::vector<std::string>& pairs);
// "50,90,99.9". kUsage.
[[nodiscard]] Expected<std::vector<double>> parse_percentiles(const std::string& list);

struct ReportOptions {
  std::vector<double> percentiles = {99.0};
  Goodput goodput;
};

struct LoadReport {
  double duration_s = 0.0;
  std::size_t completed = 0;
  std::size_t failed = 0;
  std::size_t refused = 0;
  std::size_t refused_with_retry_after = 0;
  std::size_t unfinished = 0;                   // under way or not sent when the run was ended
  std::map<int, std::size_t> failed_by_status;  // HTTP status; 0: no answer
  std::uint64_t input_tokens = 0;
  std::uint64_t cached_tokens = 0;  // of these, found in the prefix cache
  std::uint64_t output_tokens = 0;
  double request_throughput = 0.0;  // 1/s
  double request_goodput = 0.0;
  double output_throughput = 0.0;         // tokens/s
  double total_token_throughput = 0.0;    // prompt + output tokens/s
  double peak_output_tokens_per_s = 0.0;  // the best of the seconds counted from the first start; chunks
  std::size_t peak_concurrent = 0;        // over [start, end) of completed requests
  std::vector<double> chunks_by_second;
  Distribution ttft, tpot, itl, e2el;
  Distribution client_queue;  // held back by --max-concurrency
  Distribution e2el_with_queue;
  Distribution refused_answer;            // sent → the refusal's last byte
  std::vector<std::string> first_errors;  // of failed requests, at most 10
};

[[nodiscard]] LoadReport make_report(const std::vector<RequestRecord>& records, double duration_s,
                                     const ReportOptions& options);

}  // namespace herd::load
