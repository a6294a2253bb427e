// LoadReport against figures worked out by hand, its table and its JSON.

#include "commands/load/load_report.h"

#include <cmath>

#include <gtest/gtest.h>

#include "commands/load/load_report_json.h"
#include "commands/load/load_report_text.h"

namespace herd::load {
namespace {

RequestRecord completed(double start, double ttft, std::vector<double> gaps, std::uint32_t output_tokens) {
  RequestRecord record;
  record.outcome = Outcome::kCompleted;
  record.status = 200;
  record.start_s = start;
  record.arrival_s = start;
  record.ttft_s = ttft;
  record.latency_s = ttft;
  for (const double gap : gaps) record.latency_s += gap;
  record.chunks = static_cast<std::uint32_t>(gaps.size() + 1);
  record.gaps_s = std::move(gaps);
  record.prompt_tokens = 10;
  record.output_tokens = output_tokens;
  return record;
}

RequestRecord other(Outcome outcome, int status, double latency) {
  RequestRecord record;
  record.outcome = outcome;
  record.status = status;
  record.latency_s = latency;
  record.error = "why";
  return record;
}

//   a  0.0 → first token 0.5, then 0.25, 0.25      3 tokens, E2EL 1.0, TPOT 0.25
//   b  1.0 → first token 1.25, then 1.0            5 tokens in 2 chunks, E2EL 1.25, TPOT 0.25
//   c  1.0 → first token 2.5                       1 token, E2EL 1.5, no TPOT
//   two refusals, one failure of HTTP 500, one without an answer, one not sent; the run took 4 s
std::vector<RequestRecord> sample() {
  std::vector<RequestRecord> records = {completed(0.0, 0.5, {0.25, 0.25}, 3), completed(1.0, 0.25, {1.0}, 5),
                                        completed(1.0, 1.5, {}, 1)};
  records[2].arrival_s = 0.5;  // held back for half a second
  records.push_back(other(Outcome::kRefused, 503, 0.010));
  records.push_back(other(Outcome::kRefused, 429, 0.030));
  records.back().retry_after_s = 2.0;
  records.push_back(other(Outcome::kFailed, 500, 0.1));
  records.push_back(other(Outcome::kFailed, 0, 0.1));
  records.emplace_back();
  return records;
}

TEST(Percentile, InterpolatesLinearlyAsNumpyDoes) {
  const std::vector<double> values = {1, 2, 3, 4};
  EXPECT_DOUBLE_EQ(percentile(values, 0), 1.0);
  EXPECT_DOUBLE_EQ(percentile(values, 25), 1.75);
  EXPECT_DOUBLE_EQ(percentile(values, 50), 2.5);
  EXPECT_DOUBLE_EQ(percentile(values, 90), 3.7);
  EXPECT_DOUBLE_EQ(percentile(values, 99), 3.97);
  EXPECT_DOUBLE_EQ(percentile(values, 100), 4.0);
  EXPECT_DOUBLE_EQ(percentile({7}, 99), 7.0);
  EXPECT_DOUBLE_EQ(percentile({}, 99), 0.0);
}

TEST(Distribution, StdIsThePopulations) {
  const Distribution values = distribution({4, 2, 4, 4, 5, 5, 7, 9}, {50, 75});
  EXPECT_DOUBLE_EQ(values.mean, 5.0);
  EXPECT_DOUBLE_EQ(values.std, 2.0);
  EXPECT_DOUBLE_EQ(values.median, 4.5);
  ASSERT_EQ(values.percentiles.size(), 2U);
  EXPECT_DOUBLE_EQ(values.percentiles[1].second, 5.5);
  EXPECT_DOUBLE_EQ(distribution({}, {99}).mean, 0.0);
}

TEST(LoadReport, FiguresOfASmallRunByHand) {
  const LoadReport report = make_report(sample(), 4.0, {});
  EXPECT_EQ(report.completed, 3U);
  EXPECT_EQ(report.failed, 2U);
  EXPECT_EQ(report.refused, 2U);
  EXPECT_EQ(report.refused_with_retry_after, 1U);
  EXPECT_EQ(report.unfinished, 1U);
  EXPECT_EQ(report.failed_by_status, (std::map<int, std::size_t>{{0, 1}, {500, 1}}));
  EXPECT_EQ(report.input_tokens, 30U);
  EXPECT_EQ(report.output_tokens, 9U);
  EXPECT_DOUBLE_EQ(report.request_throughput, 0.75);
  EXPECT_DOUBLE_EQ(report.output_throughput, 2.25);
  EXPECT_DOUBLE_EQ(report.total_token_throughput, 9.75);
  EXPECT_DOUBLE_EQ(report.ttft.mean, 0.75);
  EXPECT_DOUBLE_EQ(report.ttft.median, 0.5);
  EXPECT_EQ(report.tpot.sorted, (std::vector<double>{0.25, 0.25}));
  EXPECT_EQ(report.itl.sorted, (std::vector<double>{0.25, 0.25, 1.0}));
  EXPECT_DOUBLE_EQ(report.e2el.mean, 1.25);
  EXPECT_DOUBLE_EQ(report.client_queue.mean, 0.5 / 3);
  EXPECT_DOUBLE_EQ(report.e2el_with_queue.sorted.back(), 2.0);
  EXPECT_DOUBLE_EQ(report.refused_answer.median, 0.020);
  // Seconds from the first start: tokens at 0.5, 0.75 | 1.0, 1.25 | 2.25, 2.5; a ends when b and c begin.
  EXPECT_EQ(report.chunks_by_second, (std::vector<double>{2, 2, 2, 0}));
  EXPECT_DOUBLE_EQ(report.peak_output_tokens_per_s, 2.0);
  EXPECT_EQ(report.peak_concurrent, 2U);
  EXPECT_EQ(report.first_errors.size(), 2U);
}

// TPOT of c counts as 0; a limit that is met exactly is met.
TEST(LoadReport, GoodputNeedsEveryLimit) {
  const auto goodput = [](const std::vector<std::string>& limits) {
    ReportOptions options;
    options.goodput = *parse_goodput(limits);
    return make_report(sample(), 4.0, options).request_goodput * 4.0;
  };
  EXPECT_DOUBLE_EQ(goodput({"ttft:500"}), 2.0);
  EXPECT_DOUBLE_EQ(goodput({"ttft:499"}), 1.0);
  EXPECT_DOUBLE_EQ(goodput({"tpot:250"}), 3.0);
  EXPECT_DOUBLE_EQ(goodput({"tpot:249"}), 1.0);
  EXPECT_DOUBLE_EQ(goodput({"ttft:500", "e2el:1000"}), 1.0);
  EXPECT_DOUBLE_EQ(goodput({}), 0.0);
}

TEST(LoadReport, WrongListsAreUsageErrors) {
  for (const char* bad : {"", "ttft", "ttft:", "itl:3", "ttft:-1", "ttft:x", "ttft:1:2", "ttft:inf"})
    EXPECT_EQ(parse_goodput({bad}).error().code(), StatusCode::kUsage) << bad;
  for (const char* bad : {"", "x", "50,", ",50", "101", "-1", "50;90", "nan"})
    EXPECT_EQ(parse_percentiles(bad).error().code(), StatusCode::kUsage) << bad;
  EXPECT_EQ(*parse_percentiles("0,50,99.9,100"), (std::vector<double>{0, 50, 99.9, 100}));
  for (const char* bad : {"", "ttft,", "TTFT", "tokens"})
    EXPECT_EQ(MetricChoice::parse(bad).error().code(), StatusCode::kUsage) << bad;
}

TEST(LoadReport, NothingCompletedIsAllZeroes) {
  const LoadReport report = make_report({other(Outcome::kFailed, 0, 0.1)}, 0.0, {});
  EXPECT_EQ(report.request_throughput, 0.0);
  EXPECT_EQ(report.peak_concurrent, 0U);
  EXPECT_TRUE(report.chunks_by_second.empty());
  EXPECT_NE(report_table(report, {}).find("Failed requests:                         1         \n"), std::string::npos);
  EXPECT_EQ(report_plots(report), "");
}

TEST(ReportTable, HasTheLinesOfVllm) {
  ReportOptions options;
  options.goodput = *parse_goodput({"ttft:500"});
  options.percentiles = {50, 99.9};
  TableOptions table;
  table.request_rate = 2.5;
  table.max_concurrency = 4;
  table.goodput = true;
  table.metrics = *MetricChoice::parse("itl,ttft");
  const std::string text = report_table(make_report(sample(), 4.0, options), table);
  const std::string expected =
      "============ Serving Benchmark Result ============\n"
      "Successful requests:                     3         \n"
      "Failed requests:                         2         \n"
      "  without an answer:                     1         \n"
      "  with HTTP 500:                         1         \n"
      "Refused requests (429, 503):             2         \n"
      "Unfinished requests:                     1         \n"
      "Maximum request concurrency:             4         \n"
      "Request rate configured (RPS):           2.50      \n"
      "Benchmark duration (s):                  4.00      \n"
      "Total input tokens:                      30        \n"
      "Total generated tokens:                  9         \n"
      "Request throughput (req/s):              0.75      \n"
      "Request goodput (req/s):                 0.50      \n"
      "Output token throughput (tok/s):         2.25      \n"
      "Peak output token throughput (tok/s):    2.00      \n"
      "Peak concurrent requests:                2.00      \n"
      "Total token throughput (tok/s):          9.75      \n"
      "---------------Time to First Token----------------\n"
      "Mean TTFT (ms):                          750.00    \n"
      "Median TTFT (ms):                        500.00    \n"
      "Std TTFT (ms):                           540.06    \n"
      "P50 TTFT (ms):                           500.00    \n"
      "P99.9 TTFT (ms):                         1498.00   \n"
      "---------------Inter-token Latency----------------\n"
      "Mean ITL (ms):                           500.00    \n"
      "Median ITL (ms):                         250.00    \n"
      "Std ITL (ms):                            353.55    \n"
      "P50 ITL (ms):                            250.00    \n"
      "P99.9 ITL (ms):                          998.50    \n"
      "-----------------Refused Requests-----------------\n"
      "Mean Answer Time (ms):                   20.00     \n"
      "Median Answer Time (ms):                 20.00     \n"
      "Std Answer Time (ms):                    10.00     \n"
      "P50 Answer Time (ms):                    20.00     \n"
      "P99.9 Answer Time (ms):                  29.98     \n"
      "With Retry-After:                        1         \n"
      "==================================================\n";
  EXPECT_EQ(text, expected);
}

TEST(ReportPlots, ShowBothEndsAndTheHighestSecond) {
  std::vector<RequestRecord> records = {completed(0.0, 0.010, {0.1, 0.1, 2.8}, 4), completed(0.0, 0.1, {}, 1)};
  const std::string text = report_plots(make_report(records, 3.0, {}));
  EXPECT_NE(text.find("TTFT                10.00 |█"), std::string::npos) << text;
  EXPECT_NE(text.find("█| 100.00 ms\n"), std::string::npos) << text;
  EXPECT_NE(text.find("highest 4 tok/s"), std::string::npos) << text;
}

TEST(ResultJson, HasTheKeysOfVllm) {
  ResultFacts facts;
  facts.date = "20261121-010203";
  facts.backend = "openai";
  facts.model = "meta/llama";
  facts.num_prompts = 8;
  facts.request_rate = std::numeric_limits<double>::infinity();
  facts.metadata = {{"tp", "2"}};
  const std::string text = result_json(make_report(sample(), 4.0, {}), facts, nullptr);
  for (const char* part : {R"("date":"20261121-010203")",
                           R"("endpoint_type":"openai")",
                           R"("backend":"openai")",
                           R"("label":null)",
                           R"("model_id":"meta/llama")",
                           R"("num_prompts":8)",
                           R"("tp":"2")",
                           R"("request_rate":"inf")",
                           R"("max_concurrency":null)",
                           R"("duration":4E0)",
                           R"("completed":3)",
                           R"("failed":2)",
                           R"("refused":2)",
                           R"("total_input_tokens":30)",
                           R"("total_output_tokens":9)",
                           R"("request_throughput":7.5E-1)",
                           R"("request_goodput":null)",
                           R"("output_throughput":2.25E0)",
                           R"("total_token_throughput":9.75E0)",
                           R"("max_output_tokens_per_s":2E0)",
                           R"("max_concurrent_requests":2)",
                           R"("mean_ttft_ms":7.5E2)",
                           R"("median_tpot_ms":2.5E2)",
                           R"("std_itl_ms":)",
                           R"("p99_e2el_ms":)",
                           R"("failed_by_status":{"0":1,"500":1})"})
    EXPECT_NE(text.find(part), std::string::npos) << part << " in " << text;
  EXPECT_EQ(text.find("\"itls\""), std::string::npos);
  EXPECT_EQ(result_filename(facts), "openai-infqps-llama-20261121-010203.json");
  facts.request_rate = 2.5;
  facts.max_concurrency = 3;
  facts.label = "a";
  EXPECT_EQ(result_filename(facts), "a-2.5qps-concurrency3-llama-20261121-010203.json");
}

TEST(ResultJson, DetailsListEveryRequest) {
  const std::vector<RequestRecord> records = sample();
  const std::string text = result_json(make_report(records, 4.0, {}), {}, &records);
  for (const char* part :
       {R"("output_lens":[3,5,1,0,0,0,0,0])", R"("ttfts":[5E-1,2.5E-1,1.5E0,)", R"("itls":[[2.5E-1,2.5E-1],[1E0],[],)",
        R"("start_times":[0E0,1E0,1E0,)", R"("errors":["","","","why","why","why","why",""])",
        R"("statuses":[200,200,200,503,429,500,0,0])"})
    EXPECT_NE(text.find(part), std::string::npos) << part << " in " << text;
}

}  // namespace
}  // namespace herd::load
