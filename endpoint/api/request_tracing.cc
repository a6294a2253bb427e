#include "endpoint/api/request_tracing.h"

#include <algorithm>
#include <charconv>
#include <optional>
#include <string_view>
#include <utility>

#include "endpoint/http/host_port.h"

namespace herd::api {
namespace {

using http::HttpHeader;
using http::HttpRequestHead;
using gateway::RequestEnd;
using trace::Attributes;

// As the lists of a header that comes several times are one list.
std::string all_of(const HttpRequestHead& head, std::string_view name) {
  std::string list;
  for (const HttpHeader& header : head.headers)
    if (http::same_name(header.name, name)) list.append(list.empty() ? "" : ",").append(header.value);
  return list;
}

// Two of them are joined to what is none.
std::optional<trace::TraceContext> caller_of(const HttpRequestHead& head) {
  const std::string traceparent = all_of(head, "traceparent");
  if (traceparent.empty()) return std::nullopt;
  return trace::read_trace_context(traceparent, all_of(head, "tracestate"));
}

Attributes attributes_of(const HttpRequestHead& head) {
  Attributes attributes{{"http.request.method", head.method}, {"http.route", head.path}};
  const auto place = http::split_host_port(head.listener);
  if (!place) return attributes;
  attributes.push_back({"server.address", std::string(place->host)});
  std::int64_t port = 0;
  if (std::from_chars(place->port.data(), place->port.data() + place->port.size(), port).ec == std::errc{})
    attributes.push_back({"server.port", port});
  return attributes;
}

const char* operation_of(openai::Endpoint endpoint) { return endpoint == openai::Endpoint::kChat ? "chat" : "text_completion"; }

// The double that reads as the float does: 0.9, not 0.899999976158142.
double shown(float number) {
  char digits[40];
  const char* const end = std::to_chars(digits, digits + sizeof digits, number).ptr;
  double same = number;
  (void)std::from_chars(digits, end, same);
  return same;
}

std::int64_t whole(std::uint64_t number) { return static_cast<std::int64_t>(number); }

// What was answered to its end is finished, whatever came behind.
std::string_view outcome_of(const observability::RequestRecord& record, const RequestEnd& end) {
  if (record.finished_reason != "abort" && record.finished_reason != "error") return "finished";
  switch (end.kind) {
    case RequestEnd::Kind::kFinished: return "finished";
    case RequestEnd::Kind::kRefused: return "refused";
    case RequestEnd::Kind::kLate: return "too_late";
    case RequestEnd::Kind::kTimedOut: return "timed_out";
    case RequestEnd::Kind::kFailed: return "failed";
    case RequestEnd::Kind::kSlow: return "slow_reader";
    case RequestEnd::Kind::kGone: return "client_gone";
    case RequestEnd::Kind::kShutdown: return "shutdown";
  }
  return "?";
}

void add_asked(const GenerationRequest& request, Attributes& to) {
  const openai::GenerationFields& fields = request.fields;
  const step::SamplingParams& sampling = request.sampling;
  to.push_back({"gen_ai.operation.name", operation_of(request.answer.endpoint)});
  to.push_back({"gen_ai.provider.name", "herd"});
  to.push_back({"gen_ai.request.model", fields.model.empty() ? request.answer.model : fields.model});
  to.push_back({"gen_ai.request.id", request.request_id});
  to.push_back({"gen_ai.request.n", whole(fields.n)});
  to.push_back({"gen_ai.request.choice.count", whole(fields.n)});
  to.push_back({"gen_ai.request.max_tokens", whole(request.prompts.front().max_tokens)});
  to.push_back({"gen_ai.request.temperature", shown(sampling.temperature)});
  to.push_back({"gen_ai.request.top_p", shown(sampling.top_p)});
  to.push_back({"gen_ai.request.top_k", std::int64_t{sampling.top_k}});
  if (fields.seed) to.push_back({"gen_ai.request.seed", whole(*fields.seed)});
  to.push_back({"gen_ai.request.frequency_penalty", shown(sampling.frequency_penalty)});
  to.push_back({"gen_ai.request.presence_penalty", shown(sampling.presence_penalty)});
  if (!fields.stop.empty()) to.push_back({"gen_ai.request.stop_sequences", fields.stop});
  to.push_back({"gen_ai.request.stream", fields.stream});
  to.push_back({"gen_ai.output.type", "text"});
}

// Each under both names.
void add_usage(const observability::RequestRecord& record, Attributes& to) {
  to.push_back({"gen_ai.usage.input_tokens", whole(record.prompt_tokens)});
  to.push_back({"gen_ai.usage.prompt_tokens", whole(record.prompt_tokens)});
  to.push_back({"gen_ai.usage.output_tokens", whole(record.generation_tokens)});
  to.push_back({"gen_ai.usage.completion_tokens", whole(record.generation_tokens)});
  to.push_back({"gen_ai.usage.cache_read.input_tokens", whole(record.cached_tokens)});
}

// vLLM's; seconds. What was not reached is left out.
void add_latency(const observability::RequestRecord& record, std::optional<double> first_token_s, Attributes& to) {
  to.push_back({"gen_ai.latency.e2e", record.e2e_s});
  if (first_token_s) {
    to.push_back({"gen_ai.response.time_to_first_chunk", *first_token_s});
    to.push_back({"gen_ai.latency.time_to_first_token", *first_token_s});
  }
  if (record.queue_s >= 0) to.push_back({"gen_ai.latency.time_in_queue", record.queue_s});
  if (record.prefill_s >= 0) to.push_back({"gen_ai.latency.time_in_model_prefill", record.prefill_s});
  if (record.decode_s >= 0) {
    to.push_back({"gen_ai.latency.time_in_model_decode", record.decode_s});
    to.push_back({"gen_ai.latency.time_in_model_inference", record.decode_s + std::max(record.prefill_s, 0.0)});
  }
}

}  // namespace

trace::SpanId RequestTracing::draw_span_id() const {
  trace::SpanId id;
  while (id == trace::SpanId{}) random_bytes_(id.bytes);
  return id;
}

TraceStart RequestTracing::begin(const HttpRequestHead& head, Instant arrived, Instant now) const {
  TraceStart start;
  auto caller = caller_of(head);
  if (caller) start.trace_id = hex(caller->trace);
  if (config_.sink == nullptr) return start;
  trace::RequestTraceBegin begin;
  if (caller) {
    begin.parent = caller->span;
    begin.context = std::move(*caller);
  } else {
    while (begin.context.trace == trace::TraceId{}) random_bytes_(begin.context.trace.bytes);
    start.trace_id = hex(begin.context.trace);
  }
  const bool has_parent = begin.parent != trace::SpanId{};
  begin.context.sampled =
      config_.sampler.samples(begin.context.trace, has_parent ? std::optional(begin.context.sampled) : std::nullopt);
  begin.context.span = draw_span_id();
  start.traceparent = traceparent_of(begin.context);
  if (!begin.context.sampled) return start;
  std::uint8_t drawn[8];
  random_bytes_(drawn);
  for (const std::uint8_t byte : drawn) begin.id_seed = begin.id_seed << 8 | byte;
  begin.attributes = attributes_of(head);
  begin.arrived = arrived;
  begin.arrived_unix_ns = config_.unix_ns() - (now.ns - arrived.ns);
  start.trace = std::make_unique<trace::RequestTrace>(std::move(begin));
  return start;
}

trace::RequestSpan request_span(const GenerationRequest& request, const observability::RequestRecord& record,
                                const RequestEnd& end, int status, const trace::RequestTrace& trace) {
  const std::string_view outcome = outcome_of(record, end);
  trace::RequestSpan span;
  span.name = std::string(operation_of(request.answer.endpoint)) + " " + request.answer.model;
  add_asked(request, span.attributes);
  span.attributes.push_back({"gen_ai.response.id", request.answer.id});
  span.attributes.push_back({"gen_ai.response.model", request.answer.model});
  if (auto reasons = trace.finish_reasons(); !reasons.empty())
    span.attributes.push_back({"gen_ai.response.finish_reasons", std::move(reasons)});
  add_usage(record, span.attributes);
  add_latency(record, trace.first_token_s(), span.attributes);
  span.attributes.push_back({"herd.request.outcome", std::string(outcome)});
  span.attributes.push_back({"herd.request.prompts", whole(request.prompts.size())});
  if (record.resumed) span.attributes.push_back({"herd.request.resumed", true});
  if (!request.tenant_name.empty()) span.attributes.push_back({"herd.request.key", request.tenant_name});
  if (status != 0) span.attributes.push_back({"http.response.status_code", std::int64_t{status}});
  if (outcome == "finished") return span;
  span.open_attempts = outcome;
  span.attributes.push_back({"error.type", status >= 400 ? std::to_string(status) : std::string(outcome)});
  // A client that leaves, or asks for what it cannot have, is no fault of the server.
  if (outcome == "client_gone" || (status >= 400 && status < 500)) return span;
  span.status = trace::SpanStatus::kError;
  span.status_message = end.why.message();
  return span;
}

trace::RequestSpan unread_span(openai::Endpoint endpoint, const openai::ApiError& error) {
  trace::RequestSpan span;
  span.name = operation_of(endpoint);
  span.attributes = {{"gen_ai.operation.name", operation_of(endpoint)},
                     {"gen_ai.provider.name", "herd"},
                     {"herd.request.outcome", "refused"},
                     {"http.response.status_code", std::int64_t{error.status}},
                     {"error.type", std::to_string(error.status)}};
  if (error.status >= 500) span.status = trace::SpanStatus::kError;
  return span;
}

}  // namespace herd::api
