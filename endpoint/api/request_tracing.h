#pragma once
// RequestTracing: which trace a request belongs to, and whether spans are made of it; and what its server span says, under the names of
// OpenTelemetry's conventions for generative AI and those that vLLM had before. Never prompts, never answers. Any thread.

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>

#include "cluster/gateway/gateway_effects.h"
#include "endpoint/api/generation_request.h"
#include "endpoint/http/http_message.h"
#include "endpoint/openai/api_error.h"
#include "observability/serving_metrics.h"
#include "observability/trace/request_trace.h"
#include "observability/trace/span.h"
#include "observability/trace/trace_sampler.h"
#include "runtime/clock.h"

namespace herd::api {

struct TracingConfig {
  trace::SpanSink* sink = nullptr;  // outlives all requests; null: no spans are made
  trace::TraceSampler sampler;
  std::function<std::int64_t()> unix_ns;  // of now; with a sink
};

// What is known of a request's trace when it comes.
struct TraceStart {
  std::string trace_id;     // for its log line; empty: it belongs to none
  std::string traceparent;  // for its answer's header; empty: none is sent
  std::unique_ptr<trace::RequestTrace> trace;  // null: no spans are made of it
};

class RequestTracing {
 public:
  RequestTracing(TracingConfig config, std::function<void(std::span<std::uint8_t>)> random_bytes)
      : config_(std::move(config)), random_bytes_(std::move(random_bytes)) {}

  [[nodiscard]] trace::SpanSink* sink() const { return config_.sink; }
  // Headers that are none are as good as absent. Without a sink only the caller's trace id is read.
  [[nodiscard]] TraceStart begin(const http::HttpRequestHead& head, Instant arrived, Instant now) const;

 private:
  [[nodiscard]] trace::SpanId draw_span_id() const;

  const TracingConfig config_;
  const std::function<void(std::span<std::uint8_t>)> random_bytes_;
};

// Of a request that ended as `end` and `record` say, after an answer of that status (0: none).
[[nodiscard]] trace::RequestSpan request_span(const GenerationRequest& request, const observability::RequestRecord& record,
                                              const gateway::RequestEnd& end, int status, const trace::RequestTrace& trace);
// Of one that was refused before it was read to its end.
[[nodiscard]] trace::RequestSpan unread_span(openai::Endpoint endpoint, const openai::ApiError& error);

}  // namespace herd::api
