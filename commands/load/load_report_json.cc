#include "commands/load/load_report_json.h"

#include <cmath>
#include <cstdio>

#include <boost/json.hpp>

namespace herd::load {
namespace {

namespace json = boost::json;

json::object head(const ResultFacts& facts) {
  json::object result;
  result["date"] = facts.date;
  result["endpoint_type"] = facts.backend;
  result["backend"] = facts.backend;
  result["label"] = facts.label.empty() ? json::value(nullptr) : json::value(facts.label);
  result["model_id"] = facts.model;
  result["tokenizer_id"] = nullptr;  // token counts are the server's
  result["num_prompts"] = facts.num_prompts;
  for (const auto& [key, value] : facts.metadata) result[key] = value;
  result["request_rate"] = std::isfinite(facts.request_rate) ? json::value(facts.request_rate) : json::value("inf");
  result["burstiness"] = std::isfinite(facts.burstiness) ? json::value(facts.burstiness) : json::value("inf");
  result["max_concurrency"] = facts.max_concurrency == 0 ? json::value(nullptr) : json::value(facts.max_concurrency);
  return result;
}

void put_figures(const LoadReport& report, bool goodput, json::object& result) {
  result["duration"] = report.duration_s;
  result["completed"] = report.completed;
  result["failed"] = report.failed;
  result["refused"] = report.refused;
  result["refused_with_retry_after"] = report.refused_with_retry_after;
  result["unfinished"] = report.unfinished;
  json::object by_status;
  for (const auto& [status, count] : report.failed_by_status) by_status[std::to_string(status)] = count;
  result["failed_by_status"] = std::move(by_status);
  result["total_input_tokens"] = report.input_tokens;
  result["total_cached_tokens"] = report.cached_tokens;
  result["total_output_tokens"] = report.output_tokens;
  result["request_throughput"] = report.request_throughput;
  result["request_goodput"] = goodput ? json::value(report.request_goodput) : json::value(nullptr);
  result["output_throughput"] = report.output_throughput;
  result["total_token_throughput"] = report.total_token_throughput;
  result["max_output_tokens_per_s"] = report.peak_output_tokens_per_s;
  result["max_concurrent_requests"] = report.peak_concurrent;
}

void put_distribution(const std::string& key, const Distribution& values, json::object& result) {
  result["mean_" + key + "_ms"] = values.mean * 1e3;
  result["median_" + key + "_ms"] = values.median * 1e3;
  result["std_" + key + "_ms"] = values.std * 1e3;
  for (const auto& [percent, value] : values.percentiles)
    result[std::string("p").append(percent_name(percent)) + "_" + key + "_ms"] = value * 1e3;
}

void put_records(const std::vector<RequestRecord>& records, json::object& result) {
  json::array input_lens, output_lens, ttfts, itls, latencies, start_times, queue_times, texts, errors, statuses;
  for (const RequestRecord& record : records) {
    const bool completed = record.outcome == Outcome::kCompleted;
    input_lens.push_back(record.prompt_tokens);
    output_lens.push_back(completed ? record.output_tokens : 0);
    ttfts.push_back(record.ttft_s);
    itls.push_back(json::array(record.gaps_s.begin(), record.gaps_s.end()));
    latencies.push_back(record.latency_s);
    start_times.push_back(record.start_s);
    queue_times.push_back(std::max(0.0, record.start_s - record.arrival_s));
    texts.push_back(json::value(record.text));
    errors.push_back(json::value(record.error));
    statuses.push_back(record.status);
  }
  result["input_lens"] = std::move(input_lens);
  result["output_lens"] = std::move(output_lens);
  result["ttfts"] = std::move(ttfts);
  result["itls"] = std::move(itls);
  result["latencies"] = std::move(latencies);
  result["start_times"] = std::move(start_times);
  result["queue_times"] = std::move(queue_times);
  result["generated_texts"] = std::move(texts);
  result["errors"] = std::move(errors);
  result["statuses"] = std::move(statuses);
}

}  // namespace

std::string result_filename(const ResultFacts& facts) {
  char rate[32];
  std::snprintf(rate, sizeof rate, "%g", facts.request_rate);
  std::string name = (facts.label.empty() ? facts.backend : facts.label) + "-" + rate + "qps";
  if (facts.max_concurrency > 0) name += "-concurrency" + std::to_string(facts.max_concurrency);
  return name + "-" + facts.model.substr(facts.model.find_last_of('/') + 1) + "-" + facts.date + ".json";
}

std::string result_json(const LoadReport& report, const ResultFacts& facts, const std::vector<RequestRecord>* records) {
  json::object result = head(facts);
  put_figures(report, facts.goodput, result);
  for (const MetricView& view : chosen_metrics(report, facts.metrics)) put_distribution(view.key, *view.values, result);
  if (report.refused > 0) put_distribution("refused_answer", report.refused_answer, result);
  if (records != nullptr) put_records(*records, result);
  return json::serialize(result);
}

}  // namespace herd::load
