#pragma once
// The body of each request: what all share is written once, the prompt and max_tokens per request. Pure.

#include <optional>
#include <string>

#include "commands/load/load_plan.h"

namespace herd::load {

struct BodyOptions {
  bool chat = false;  // /v1/chat/completions: the prompt is one user message
  std::string model = {};
  bool ignore_eos = false;
  std::optional<double> temperature = {};
  std::optional<double> top_p = {};
  std::optional<std::int64_t> top_k = {};
  std::optional<double> min_p = {};
  std::optional<double> frequency_penalty = {};
  std::optional<double> presence_penalty = {};
  std::optional<double> repetition_penalty = {};
  std::string extra_body = {};  // a JSON object whose members win over everything else; empty: none
};

// Value.
class BodyWriter {
 public:
  // kUsage when extra_body is no JSON object.
  [[nodiscard]] static Expected<BodyWriter> make(const BodyOptions& options);
  // Always streams, with stream_options.include_usage.
  [[nodiscard]] std::string body(const PlannedRequest& request) const;

 private:
  BodyWriter() = default;

  std::string shared_;  // {"model":…,"stream":true,…  without the closing brace
  bool chat_ = false;
  bool writes_prompt_ = true;  // false: extra_body has its own
  bool writes_max_tokens_ = true;
};

// {"model": …, "prompt": …} for /tokenize.
[[nodiscard]] std::string tokenize_body(const std::string& model, const std::string& prompt);

}  // namespace herd::load
