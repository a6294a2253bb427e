#include "commands/load/load_report.h"

#include <algorithm>
#include <charconv>
#include <cmath>

namespace herd::load {
namespace {

constexpr std::size_t kErrorsShown = 10;
constexpr double kSecondsPlottedMax = 1e6;

std::optional<double> number(std::string_view text) {
  double value = 0.0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size() || !std::isfinite(value)) return std::nullopt;
  return value;
}

double tpot_of(const RequestRecord& record) {
  return record.output_tokens > 1 ? (record.latency_s - record.ttft_s) / (record.output_tokens - 1) : 0.0;
}

bool is_good(const RequestRecord& record, const Goodput& goodput) {
  const auto within = [](double value_s, const std::optional<double>& limit_ms) {
    return !limit_ms || value_s <= *limit_ms / 1e3;
  };
  return within(record.ttft_s, goodput.ttft_ms) && within(tpot_of(record), goodput.tpot_ms) &&
         within(record.latency_s, goodput.e2el_ms);
}

// Half-open intervals: an end comes before a start at the same time.
std::size_t peak_concurrent(const std::vector<const RequestRecord*>& completed) {
  std::vector<std::pair<double, int>> events;
  for (const RequestRecord* record : completed) {
    events.emplace_back(record->start_s, 1);
    events.emplace_back(record->start_s + record->latency_s, -1);
  }
  std::sort(events.begin(), events.end());
  long now = 0;
  long peak = 0;
  for (const auto& [time, change] : events) peak = std::max(peak, now += change);
  return static_cast<std::size_t>(peak);
}

std::vector<double> chunks_by_second(const std::vector<const RequestRecord*>& completed) {
  if (completed.empty()) return {};
  double first = completed.front()->start_s;
  double last = 0.0;
  for (const RequestRecord* record : completed) {
    first = std::min(first, record->start_s);
    last = std::max(last, record->start_s + record->latency_s);
  }
  std::vector<double> buckets(static_cast<std::size_t>(std::min(std::ceil(last - first), kSecondsPlottedMax)) + 1, 0.0);
  for (const RequestRecord* record : completed) {
    double time = record->start_s + record->ttft_s - first;
    for (std::size_t i = 0; i <= record->gaps_s.size(); ++i) {
      const auto bucket = static_cast<std::size_t>(std::max(time, 0.0));
      if (bucket < buckets.size()) buckets[bucket] += 1.0;
      if (i < record->gaps_s.size()) time += record->gaps_s[i];
    }
  }
  return buckets;
}

void count_others(const RequestRecord& record, LoadReport& report, std::vector<double>& refused_s) {
  switch (record.outcome) {
    case Outcome::kCompleted:
      ++report.completed;
      break;
    case Outcome::kNotSent:
    case Outcome::kUnfinished:
      ++report.unfinished;
      break;
    case Outcome::kRefused:
      ++report.refused;
      if (record.retry_after_s >= 0.0) ++report.refused_with_retry_after;
      refused_s.push_back(record.latency_s);
      break;
    case Outcome::kFailed:
      ++report.failed;
      ++report.failed_by_status[record.status];
      if (report.first_errors.size() < kErrorsShown) report.first_errors.push_back(record.error);
      break;
  }
}

}  // namespace

double percentile(const std::vector<double>& sorted, double percent) {
  if (sorted.empty()) return 0.0;
  const double rank = percent / 100.0 * static_cast<double>(sorted.size() - 1);
  const auto below = std::min(static_cast<std::size_t>(std::floor(rank)), sorted.size() - 1);
  const std::size_t above = std::min(below + 1, sorted.size() - 1);
  return sorted[below] + (sorted[above] - sorted[below]) * (rank - static_cast<double>(below));
}

Distribution distribution(std::vector<double> values, const std::vector<double>& percents) {
  Distribution result;
  std::sort(values.begin(), values.end());
  if (!values.empty()) {
    const auto count = static_cast<double>(values.size());
    double sum = 0.0;
    for (const double value : values) sum += value;
    result.mean = sum / count;
    double squares = 0.0;
    for (const double value : values) squares += (value - result.mean) * (value - result.mean);
    result.std = std::sqrt(squares / count);
    result.median = percentile(values, 50.0);
  }
  for (const double percent : percents) result.percentiles.emplace_back(percent, percentile(values, percent));
  result.sorted = std::move(values);
  return result;
}

Expected<Goodput> parse_goodput(const std::vector<std::string>& pairs) {
  Goodput goodput;
  for (const std::string& pair : pairs) {
    const std::size_t colon = pair.find(':');
    const std::string name = pair.substr(0, colon);
    const auto value = colon == std::string::npos ? std::nullopt : number(std::string_view(pair).substr(colon + 1));
    std::optional<double>* limit = name == "ttft"   ? &goodput.ttft_ms
                                   : name == "tpot" ? &goodput.tpot_ms
                                   : name == "e2el" ? &goodput.e2el_ms
                                                    : nullptr;
    if (limit == nullptr || !value || *value < 0.0)
      return fail(usage_error("--goodput takes ttft:MS, tpot:MS and e2el:MS, not \"" + pair + "\""));
    *limit = value;
  }
  return goodput;
}

Expected<std::vector<double>> parse_percentiles(const std::string& list) {
  std::vector<double> percents;
  for (std::size_t at = 0; at <= list.size();) {
    const std::size_t comma = std::min(list.find(',', at), list.size());
    const auto value = number(std::string_view(list).substr(at, comma - at));
    if (!value || *value < 0.0 || *value > 100.0)
      return fail(
          usage_error("--metric-percentiles takes numbers from 0 to 100 such as 50,90,99.9, not \"" + list + "\""));
    percents.push_back(*value);
    at = comma + 1;
  }
  return percents;
}

LoadReport make_report(const std::vector<RequestRecord>& records, double duration_s, const ReportOptions& options) {
  LoadReport report;
  report.duration_s = duration_s;
  std::vector<const RequestRecord*> completed;
  std::vector<double> ttft, tpot, itl, e2el, queue, e2el_with_queue, refused;
  std::size_t good = 0;
  for (const RequestRecord& record : records) {
    count_others(record, report, refused);
    if (record.outcome != Outcome::kCompleted) continue;
    completed.push_back(&record);
    report.input_tokens += record.prompt_tokens;
    report.cached_tokens += record.cached_tokens;
    report.output_tokens += record.output_tokens;
    ttft.push_back(record.ttft_s);
    if (record.output_tokens > 1) tpot.push_back(tpot_of(record));
    itl.insert(itl.end(), record.gaps_s.begin(), record.gaps_s.end());
    e2el.push_back(record.latency_s);
    const double queued = std::max(0.0, record.start_s - record.arrival_s);
    queue.push_back(queued);
    e2el_with_queue.push_back(record.latency_s + queued);
    if (options.goodput.any() && is_good(record, options.goodput)) ++good;
  }
  const double per_second = duration_s > 0.0 ? 1.0 / duration_s : 0.0;
  report.request_throughput = static_cast<double>(report.completed) * per_second;
  report.request_goodput = static_cast<double>(good) * per_second;
  report.output_throughput = static_cast<double>(report.output_tokens) * per_second;
  report.total_token_throughput = static_cast<double>(report.input_tokens + report.output_tokens) * per_second;
  report.chunks_by_second = chunks_by_second(completed);
  for (const double chunks : report.chunks_by_second)
    report.peak_output_tokens_per_s = std::max(report.peak_output_tokens_per_s, chunks);
  report.peak_concurrent = peak_concurrent(completed);
  report.ttft = distribution(std::move(ttft), options.percentiles);
  report.tpot = distribution(std::move(tpot), options.percentiles);
  report.itl = distribution(std::move(itl), options.percentiles);
  report.e2el = distribution(std::move(e2el), options.percentiles);
  report.client_queue = distribution(std::move(queue), options.percentiles);
  report.e2el_with_queue = distribution(std::move(e2el_with_queue), options.percentiles);
  report.refused_answer = distribution(std::move(refused), options.percentiles);
  return report;
}

}  // namespace herd::load
