#include "endpoint/api/generation_intake.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <utility>

#include "endpoint/api/resumed_numerics.h"
#include "runtime/steady_clock.h"
#include "runtime/text/hex.h"

namespace herd::api {

using http::HttpHeader;
using http::HttpRequest;
using http::HttpRequestHead;
using openai::ApiError;

GenerationIntake::GenerationIntake(IntakeConfig config, const RequestReader& reader,
                                   const access::EventIdCodec& event_ids, const access::ServedNumerics& numerics,
                                   actors::ClusterClient& client, observability::ServingMetrics& metrics,
                                   observability::EventLog& log)
    : config_(std::move(config)),
      reader_(reader),
      event_ids_(event_ids),
      numerics_(numerics),
      client_(client),
      metrics_(metrics),
      log_(log),
      answers_(metrics),
      tracing_(config_.tracing, config_.random_bytes),
      environment_{.tokenizer = reader.model().tokenizer ? &*reader.model().tokenizer : nullptr,
                   .token_bytes =
                       [&reader](TokenId id) {
                         return reader.model().tokenizer ? reader.model().tokenizer->token_bytes(id)
                                                         : std::string_view{};
                       },
                   .eos_ids = config_.eos_ids,
                   .event_ids = &event_ids_,
                   .numerics = &numerics_,
                   .metrics = &metrics_,
                   .spans = tracing_.sink(),
                   .on_end = [this](const GenerationJob& job, Instant now) { on_end(job, now); }} {
  set(config_.settings);
}

void GenerationIntake::set(const IntakeSettings& settings) {
  environment_.keep_alive_s = settings.keep_alive_s;
  const std::scoped_lock lock(mutex_);
  settings_ = settings;
}

IntakeSettings GenerationIntake::settings() const {
  const std::scoped_lock lock(mutex_);
  return settings_;
}

void GenerationIntake::client_gone(const Ticket& ticket) {
  *ticket.gone = true;
  client_.gone(ticket.id);
}

void GenerationIntake::intake(const Call& call, const HttpRequest& request, const Ticket& ticket) {
  if (*ticket.gone) return;
  TraceStart traced = tracing_.begin(request.head, call.begin, steady_now());
  if (traced.traceparent.empty()) return run(call, request, ticket, std::move(traced));
  Call named = call;
  named.headers.push_back({"traceparent", traced.traceparent});
  run(named, request, ticket, std::move(traced));
}

void GenerationIntake::run(const Call& call, const HttpRequest& request, const Ticket& ticket, TraceStart traced) {
  auto generation = read(call, request);
  if (!generation) {
    const auto endpoint = call.route == Route::kChatCompletions ? openai::Endpoint::kChat : openai::Endpoint::kCompletion;
    if (traced.trace) tracing_.sink()->take(traced.trace->end(unread_span(endpoint, generation.error()), steady_now()));
    return answers_.error(call, generation.error());
  }
  generation->trace_id = std::move(traced.trace_id);
  const auto job = std::make_shared<GenerationJob>(ticket.id, std::move(*generation), call.responder, environment_,
                                                   call.begin);
  if (traced.trace) {
    traced.trace->on_read(steady_now());
    job->set_trace(std::move(traced.trace));
  }
  add_open(1);
  try {
    client_.submit(job->gateway_request(), job);
  } catch (...) {  // memory ran out: nobody else has heard of it
    add_open(-1);
    throw;
  }
  // A client that left before was nobody the gateway knew.
  if (*ticket.gone) client_.gone(ticket.id);
}

openai::ApiExpected<GenerationRequest> GenerationIntake::read(const Call& call, const HttpRequest& request) {
  auto last = last_event(call, request);
  const std::int64_t accepted = last ? last->created : unix_time();
  auto generation =
      call.route == Route::kChatCompletions ? reader_.chat(request.body, accepted) : reader_.completion(request.body);
  if (!generation) return generation;
  const auto timeout_s = timeout_of(request.head);
  if (!timeout_s) return openai::refuse(timeout_s.error());
  generation->timeout_s = *timeout_s;
  generation->tenant = call.tenant;
  generation->tenant_name = call.tenant_name;
  generation->cache_salt = call.tenant.value;  // tenants do not see each other's prefixes, not even by their speed
  generation->request_id = call.request_id;
  generation->headers = call.headers;
  name_ignored(generation->ignored_fields, generation->headers);
  if (generation->begins_twice && !said_begins_twice_.exchange(true))
    log_.write(observability::LogLevel::kWarning,
               "a prompt begins with the token that the tokenizer puts before each (add_special_tokens), so there are two",
               {{"request_id", call.request_id}});
  if (auto error = identify(request, std::move(last), accepted, *generation)) return openai::refuse(std::move(*error));
  return generation;
}

void GenerationIntake::name_ignored(const std::vector<std::string>& fields, std::vector<HttpHeader>& headers) {
  if (fields.empty()) return;
  headers.push_back({"x-herd-ignored-fields", joined(fields)});
  std::string fresh;
  {
    const std::scoped_lock lock(mutex_);
    fresh = notices_.first_time(fields);
  }
  if (!fresh.empty())
    log_.write(observability::LogLevel::kInfo, "unknown fields pass without effect; --strict-fields refuses them",
               {{"fields", fresh}});
}

std::optional<access::EventId> GenerationIntake::last_event(const Call& call, const HttpRequest& request) const {
  const std::string* text = request.head.header("last-event-id");
  return text != nullptr ? event_ids_.decode(*text, call.tenant_name) : std::nullopt;
}

std::optional<ApiError> GenerationIntake::identify(const HttpRequest& request, std::optional<access::EventId> last,
                                                   std::int64_t accepted, GenerationRequest& generation) const {
  access::EventId& event = generation.event;
  event.body = generation.bound_hash(request.body, config_.eos_ids);
  if (request.head.header("last-event-id") != nullptr) {
    if (auto error = resume(std::move(last), generation)) return error;
  } else {
    event.created = accepted;
    config_.random_bytes(event.answer);
    std::uint8_t drawn[8];
    config_.random_bytes(drawn);
    for (const std::uint8_t byte : drawn) event.seed = event.seed << 8 | byte;
  }
  generation.seed_given = generation.fields.seed.has_value();
  generation.seed = generation.seed_given ? *generation.fields.seed : event.seed;
  generation.answer.created = event.created;
  generation.answer.id =
      (generation.answer.endpoint == openai::Endpoint::kChat ? "chatcmpl-" : "cmpl-") + text::hex(event.answer);
  return std::nullopt;
}

std::optional<ApiError> GenerationIntake::resume(std::optional<access::EventId> last, GenerationRequest& generation) const {
  if (!generation.fields.stream)
    return openai::bad_field("Last-Event-ID", "Last-Event-ID goes on with a stream; the body does not ask for one");
  access::EventId& event = generation.event;
  if (!last || last->body != event.body || last->progress.size() != generation.choices())
    return openai::bad_field("Last-Event-ID", "Last-Event-ID is no event of this request; send the same body with the same key to "
                                              "the same model, served with the same tokenizer, chat template and "
                                              "generation_config.json");
  if (!numerics_.decided())
    return openai::overloaded("the server has just started and still reads its weights, to know whether it makes the bytes "
                              "of this stream; try again later", 1);
  if (numerics_.left_to_replicas()) {
    auto replicas = resumed_numerics(client_.status()->view, last->numerics);
    if (!replicas) return replicas.error();
    generation.numerics = std::move(*replicas);
  } else if (auto why = numerics_.refuses(last->numerics)) {
    return openai::bad_field("Last-Event-ID", "Last-Event-ID: " + *why);
  }
  event.created = last->created;
  event.answer = last->answer;
  event.seed = last->seed;
  generation.resume = std::move(*last);
  return std::nullopt;
}

openai::ApiExpected<double> GenerationIntake::timeout_of(const HttpRequestHead& head) const {
  const std::string* text = head.header("x-request-timeout");
  const IntakeSettings now = settings();
  if (text == nullptr) return now.request_timeout_s;
  double seconds = 0;
  const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), seconds);
  if (error != std::errc{} || end != text->data() + text->size() || !std::isfinite(seconds) || seconds <= 0)
    return openai::refuse(openai::bad_field("X-Request-Timeout", "X-Request-Timeout must be a number of seconds above 0"));
  return std::min(seconds, now.request_timeout_max_s);
}

void GenerationIntake::on_end(const GenerationJob& job, Instant now) {
  const observability::RequestRecord record = job.record(now);
  const bool chat = job.request().answer.endpoint == openai::Endpoint::kChat;
  const char* const route = route_path(chat ? Route::kChatCompletions : Route::kCompletions);
  const int status = job.status() == 0 ? 499 : job.status();  // nothing was sent: the client had left
  if (job.started()) metrics_.on_request_end(record);
  metrics_.on_http_response(route, status, record.e2e_s, "POST");
  if (settings().log_requests)
    log_.write(observability::LogLevel::kInfo, "request finished",
               {{"request_id", job.request().request_id},
                {"trace_id", job.request().trace_id},
                {"key", job.request().tenant_name},
                {"route", route},
                {"status", std::int64_t{status}},
                {"finish_reason", record.finished_reason},
                {"prompt_tokens", std::int64_t{record.prompt_tokens}},
                {"cached_tokens", std::int64_t{record.cached_tokens}},
                {"generation_tokens", std::int64_t{record.generation_tokens}},
                {"queue_s", record.queue_s},
                {"e2e_s", record.e2e_s}});
  add_open(-1);
}

void GenerationIntake::add_open(int requests) {
  {
    const std::scoped_lock lock(mutex_);
    open_ += requests;
  }
  emptied_.notify_all();
}

bool GenerationIntake::await_none_open(std::chrono::milliseconds timeout) {
  std::unique_lock lock(mutex_);
  return emptied_.wait_for(lock, timeout, [this] { return open_ == 0; });
}

}  // namespace herd::api
