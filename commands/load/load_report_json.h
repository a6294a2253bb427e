#pragma once
// A LoadReport as vllm bench serve saves it: the same key names, so that scripts which compare results read both.
// Keys of our own: refused, refused_with_retry_after, unfinished, failed_by_status, total_cached_tokens,
// *_refused_answer_ms.

#include <string>
#include <utility>
#include <vector>

#include "commands/load/load_report_text.h"

namespace herd::load {

struct ResultFacts {
  std::string date;     // "20261121-071824"
  std::string backend;  // "openai", "openai-chat"
  std::string label;    // empty: null
  std::string model;
  std::size_t num_prompts = 0;
  double request_rate = 0.0;  // infinite: "inf"
  double burstiness = 1.0;
  std::size_t max_concurrency = 0;  // 0: null
  bool goodput = false;
  MetricChoice metrics;
  std::vector<std::pair<std::string, std::string>> metadata;
};

// vLLM's: LABEL-RATEqps[-concurrencyN]-MODEL-DATE.json, the model without its folders.
[[nodiscard]] std::string result_filename(const ResultFacts& facts);

// records: null leaves the per-request lists out (--save-detailed adds them).
[[nodiscard]] std::string result_json(const LoadReport& report, const ResultFacts& facts,
                                      const std::vector<RequestRecord>* records);

}  // namespace herd::load
