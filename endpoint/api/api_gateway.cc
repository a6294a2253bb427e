#include "endpoint/api/api_gateway.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <utility>

#include "endpoint/openai/openapi.h"

namespace herd::api {

using http::HttpHeader;
using http::HttpRequest;
using http::HttpRequestHead;
using http::HttpResponder;
using http::HttpResponse;
using openai::ApiError;

namespace {

constexpr const char* kJson = "application/json";
constexpr const char* kMetricsType = "text/plain; version=0.0.4; charset=utf-8";

bool is_json(const std::string* content_type) {
  if (content_type == nullptr) return false;
  return http::same_name(http::trim(std::string_view(*content_type).substr(0, content_type->find(';'))),
                         "application/json");
}

ApiError not_json() {
  return openai::refused(415, "the body must be JSON: send the header Content-Type: application/json");
}

// Compressed, say: Content-Encoding with anything but identity.
bool is_encoded(const HttpRequestHead& head) {
  return std::ranges::any_of(head.headers, [](const HttpHeader& header) {
    if (!http::same_name(header.name, "content-encoding")) return false;
    return std::ranges::any_of(http::list_elements(header.value),
                               [](std::string_view coding) { return !http::same_name(coding, "identity"); });
  });
}

ApiError encoded() {
  return openai::refused(415, "the body must be plain: Content-Encoding (gzip, br, deflate, …) is not read here");
}

}  // namespace

ApiGateway::ApiGateway(ApiConfig config, RequestReader reader, const access::EventIdCodec& event_ids,
                       actors::InProcessCluster& cluster, observability::ServingMetrics& metrics,
                       observability::EventLog& log)
    : config_(std::move(config)),
      reader_(std::move(reader)),
      event_ids_(event_ids),
      cluster_(cluster),
      metrics_(metrics),
      log_(log),
      headers_(config_.allowed_origins, config_.random_bytes),
      started_(config_.unix_time()),
      environment_{.tokenizer = reader_.model().tokenizer ? &*reader_.model().tokenizer : nullptr,
                   .token_bytes =
                       [this](TokenId id) {
                         return reader_.model().tokenizer ? reader_.model().tokenizer->token_bytes(id)
                                                          : std::string_view{};
                       },
                   .eos_ids = config_.eos_ids,
                   .event_ids = &event_ids_,
                   .metrics = &metrics_,
                   .keep_alive_s = config_.keep_alive_s},
      loop_({.admission = config_.admission,
             .on_end = [this](const GenerationJob& job, Instant now) { on_job_end(job, now); }},
            cluster_, environment_),
      pool_(config_.text_threads, config_.text_tasks_max) {
  // Without keys everybody is one tenant; its share is the whole machine, bounded by the queue.
  admission::TenantLimits everybody;
  everybody.in_flight_max = 0;
  loop_.set_tenant(admission::TenantId{}, everybody);
  tick();
  last_line_ = now_;
}

ApiGateway::~ApiGateway() { stop(); }

void ApiGateway::set_keys(std::shared_ptr<const access::ApiKeys> keys) {
  if (keys)
    for (const access::ApiKey& key : keys->keys()) loop_.set_tenant(key.tenant, key.limits);
  const std::scoped_lock lock(mutex_);
  keys_ = std::move(keys);
}

std::shared_ptr<const access::ApiKeys> ApiGateway::keys() const {
  const std::scoped_lock lock(mutex_);
  return keys_;
}

void ApiGateway::set_server(const http::HttpServer* server) {
  const std::scoped_lock lock(mutex_);
  server_ = server;
}

// Everything that can be refused before a body is read.
std::optional<ApiError> ApiGateway::refusal_of(const HttpRequestHead& head, Route route) {
  admission::TenantId tenant;
  if (const auto known = keys(); known && !is_public(route)) {
    const std::string* authorization = head.header("authorization");
    const access::ApiKey* key = authorization != nullptr ? known->find(*authorization) : nullptr;
    if (key == nullptr) return openai::unauthorized();
    tenant = key->tenant;
  }
  if (head.method == "POST" && takes_json(route)) {
    if (!is_json(head.header("content-type"))) return not_json();
    if (is_encoded(head)) return encoded();
  }
  if (!generates(route)) return std::nullopt;
  if (draining_) return openai::overloaded("the server is shutting down", 1);
  if (const auto refusal = loop_.refuses_now(tenant)) {
    metrics_.on_refused(admission::refusal_name(refusal->reason));
    return refusal->quota ? openai::quota(refusal->message, refusal->retry_after_s)
                          : openai::overloaded(refusal->message, refusal->retry_after_s);
  }
  return std::nullopt;
}

std::optional<HttpResponse> ApiGateway::on_head(const HttpRequestHead& head) {
  if (head.method == "OPTIONS") return headers_.preflight(head);
  const auto found = find_route(head.method, head.path);
  std::optional<ApiError> error;
  const char* path = "other";
  if (std::holds_alternative<NoSuchRoute>(found)) {
    // With keys set, strangers learn nothing about which routes there are.
    error = openai::not_found("there is no such route");
    const auto known = keys();
    const std::string* authorization = head.header("authorization");
    if (known && (authorization == nullptr || known->find(*authorization) == nullptr)) error = openai::unauthorized();
  } else if (const auto* wrong = std::get_if<WrongMethod>(&found)) {
    error = openai::method_not_allowed(wrong->allowed);
  } else {
    path = route_path(std::get<Route>(found));
    error = refusal_of(head, std::get<Route>(found));
  }
  if (!error) return std::nullopt;
  metrics_.on_http_response(path, error->status, 0.0, head.method);
  std::vector<HttpHeader> headers = headers_.of(head);
  if (const auto* wrong = std::get_if<WrongMethod>(&found)) headers.push_back({"Allow", wrong->allowed});
  // RFC 9110, 12.5.3: with a 415 that the coding is to blame for, and with no other.
  if (error->status == 415 && is_json(head.header("content-type"))) headers.push_back({"Accept-Encoding", "identity"});
  return error_answer(*error, std::move(headers));
}

HttpResponse ApiGateway::on_refused(int status, const std::string& why, const HttpRequestHead* head) {
  const openai::ApiError error = openai::refused(status, why);
  if (head == nullptr) {
    metrics_.on_http_response("other", status, 0.0);
    return error_answer(error, {});
  }
  const auto found = find_route(head->method, head->path);
  const Route* route = std::get_if<Route>(&found);
  metrics_.on_http_response(route != nullptr ? route_path(*route) : "other", status, 0.0, head->method);
  return error_answer(error, headers_.of(*head));
}

void ApiGateway::on_request(HttpRequest request, std::shared_ptr<HttpResponder> responder,
                            std::function<void()>& on_gone) {
  Call call;
  call.route = std::get<Route>(find_route(request.head.method, request.head.path));  // on_head let it pass
  call.method = request.head.method;
  call.path = request.head.path;
  call.begin = JobLoop::now();
  call.request_id = headers_.request_id(request.head);
  call.headers = headers_.of(request.head, call.request_id);
  call.responder = std::move(responder);
  if (const auto known = keys()) {
    const std::string* authorization = request.head.header("authorization");
    if (const access::ApiKey* key = authorization != nullptr ? known->find(*authorization) : nullptr) {
      call.tenant_name = key->name;
      call.tenant = key->tenant;
    }
  }
  const bool asks_cluster = call.route == Route::kMetrics || call.route == Route::kLoad;
  if (!takes_json(call.route) && !asks_cluster) return answer_small(call);

  std::function<void()> task;
  auto shared = std::make_shared<HttpRequest>(std::move(request));
  if (generates(call.route)) {
    const RequestId id{next_request_++};
    auto gone = std::make_shared<std::atomic<bool>>(false);
    on_gone = [this, id, gone] {
      *gone = true;
      loop_.client_gone(id);
    };
    task = [this, call, shared, id, gone] { generate(call, *shared, id, gone); };
  } else if (call.route == Route::kMetrics) {
    task = [this, call] { answer(call, 200, kMetricsType, render_metrics()); };
  } else if (call.route == Route::kLoad) {
    task = [this, call] {
      tick();
      answer(call, 200, kJson, openai::load_body(running_, waiting_ + loop_.admission().waiting, kv_usage_));
    };
  } else {
    task = [this, call, shared] {
      auto text = call.route == Route::kTokenize ? reader_.tokenize(shared->body) : reader_.detokenize(shared->body);
      if (!text) return answer_error(call, text.error());
      Call named = call;
      name_ignored(text->ignored_fields, named.headers);
      answer(named, 200, kJson, std::move(text->body));
    };
  }
  if (!pool_.post(std::move(task))) {
    metrics_.on_refused("text_pool");
    answer_error(call, openai::overloaded("too many requests wait to be read; try again later", 1));
  }
}

void ApiGateway::answer(const Call& call, int status, const char* type, std::string body) {
  metrics_.on_http_response(route_path(call.route), status, seconds_between(call.begin, JobLoop::now()), call.method);
  call.responder->respond({status, type, call.headers, std::move(body)});
}

void ApiGateway::answer_error(const Call& call, const ApiError& error) {
  metrics_.on_http_response(route_path(call.route), error.status, seconds_between(call.begin, JobLoop::now()), call.method);
  call.responder->respond(error_answer(error, call.headers));
}

void ApiGateway::answer_health(const Call& call, int status, const char* word) {
  metrics_.on_http_response(route_path(call.route), status, seconds_between(call.begin, JobLoop::now()), call.method);
  call.responder->respond(health_answer(status, word, call.headers));
}

void ApiGateway::answer_small(const Call& call) {
  const served::ServedModel& model = reader_.model();
  switch (call.route) {
    case Route::kLive:
      return answer_health(call, 200, "ok");
    case Route::kHealth:
    case Route::kPing:
      if (draining_) return answer_health(call, 503, "draining");
      return serving_replicas_ > 0 ? answer_health(call, 200, "ok") : answer_health(call, 503, "unavailable");
    case Route::kReady:
      if (ready()) return answer(call, 200, "", "");
      return answer_error(call, openai::overloaded(draining_ ? "the server is shutting down"
                                                             : "no replica is making progress", 1));
    case Route::kVersion:
      return answer(call, 200, kJson, openai::version_body(config_.version));
    case Route::kOpenApi:
      return answer(call, 200, kJson, std::string(openai::openapi_json()));
    case Route::kModels:
      return answer(call, 200, kJson, openai::models_body(model.names, model.root, started_, model.max_model_len));
    case Route::kModel: {
      const std::string name = model_of_path(call.path);
      if (std::ranges::count(model.names, name) == 0)
        return answer_error(call, openai::not_found("The model does not exist.", "model_not_found"));
      return answer(call, 200, kJson, openai::model_body(name, model.root, started_, model.max_model_len));
    }
    default:
      return answer_error(call, openai::internal_error());
  }
}

// A token came out lately, or nothing keeps one from coming out.
bool ApiGateway::ready() const {
  if (draining_ || serving_replicas_ == 0) return false;
  const auto silent = loop_.seconds_without_token();
  return !silent || *silent < config_.stalled_s;
}

void ApiGateway::generate(const Call& call, const HttpRequest& request, RequestId id,
                          const std::shared_ptr<std::atomic<bool>>& gone) {
  if (*gone) return;
  auto generation =
      call.route == Route::kChatCompletions ? reader_.chat(request.body) : reader_.completion(request.body);
  if (!generation) return answer_error(call, generation.error());
  const auto timeout_s = timeout_of(request.head);
  if (!timeout_s) return answer_error(call, timeout_s.error());
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
  if (const auto error = identify(call, request, *generation)) return answer_error(call, *error);
  loop_.arrive({id, std::move(*generation), call.responder, gone, call.begin});
}

// Unknown fields have no effect: the answer says so each time, the log once.
void ApiGateway::name_ignored(const std::vector<std::string>& fields, std::vector<HttpHeader>& headers) {
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

// Who this answer is: fresh, or the one that Last-Event-ID goes on with.
std::optional<ApiError> ApiGateway::identify(const Call& call, const HttpRequest& request,
                                             GenerationRequest& generation) const {
  access::EventId& event = generation.event;
  event.body = access::hash_body(request.body);
  if (const std::string* last = request.head.header("last-event-id")) {
    if (!generation.fields.stream)
      return openai::bad_field("Last-Event-ID", "Last-Event-ID goes on with a stream; the body does not ask for one");
    auto resume = event_ids_.decode(*last, call.tenant_name);
    if (!resume || resume->body != event.body || resume->progress.size() != generation.choices())
      return openai::bad_field("Last-Event-ID", "Last-Event-ID is no event of this request; send the same body to the "
                                                "same model with the same key");
    event.created = resume->created;
    event.answer = resume->answer;
    event.seed = resume->seed;
    generation.resume = std::move(*resume);
  } else {
    event.created = config_.unix_time();
    config_.random_bytes(event.answer);
    std::uint8_t drawn[8];
    config_.random_bytes(drawn);
    for (const std::uint8_t byte : drawn) event.seed = event.seed << 8 | byte;
  }
  generation.seed_given = generation.fields.seed.has_value();
  generation.seed = generation.seed_given ? *generation.fields.seed : event.seed;
  generation.answer.created = event.created;
  generation.answer.id =
      (generation.answer.endpoint == openai::Endpoint::kChat ? "chatcmpl-" : "cmpl-") + hex(event.answer);
  return std::nullopt;
}

openai::ApiExpected<double> ApiGateway::timeout_of(const HttpRequestHead& head) const {
  const std::string* text = head.header("x-request-timeout");
  if (text == nullptr) return config_.request_timeout_s;
  double seconds = 0;
  const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), seconds);
  if (error != std::errc{} || end != text->data() + text->size() || !std::isfinite(seconds) || seconds <= 0)
    return openai::refuse(openai::bad_field("X-Request-Timeout", "X-Request-Timeout must be a number of seconds above 0"));
  return std::min(seconds, config_.request_timeout_max_s);
}

void ApiGateway::on_job_end(const GenerationJob& job, Instant now) {
  const observability::RequestRecord record = job.record(now);
  const bool chat = job.request().answer.endpoint == openai::Endpoint::kChat;
  const int status = job.status() == 0 ? 499 : job.status();  // nothing was sent: the client had left
  if (job.started()) metrics_.on_request_end(record);
  metrics_.on_http_response(route_path(chat ? Route::kChatCompletions : Route::kCompletions), status, record.e2e_s,
                            "POST");
  if (!config_.log_requests) return;
  log_.write(observability::LogLevel::kInfo, "request finished",
             {{"request_id", job.request().request_id},
              {"key", job.request().tenant_name},
              {"route", route_path(chat ? Route::kChatCompletions : Route::kCompletions)},
              {"status", std::int64_t{status}},
              {"finish_reason", record.finished_reason},
              {"prompt_tokens", std::int64_t{record.prompt_tokens}},
              {"cached_tokens", std::int64_t{record.cached_tokens}},
              {"generation_tokens", std::int64_t{record.generation_tokens}},
              {"queue_s", record.queue_s},
              {"e2e_s", record.e2e_s}});
}

observability::ServingMetrics::Snapshot ApiGateway::refresh() {
  const std::scoped_lock in_order(refresh_mutex_);  // an older look never overwrites a newer one
  const actors::InProcessClusterStats cluster = cluster_.stats();
  const admission::AdmissionStats admission = loop_.admission();
  observability::ServingMetrics::Snapshot snapshot;
  observability::StatsSample sample;
  sample.at_s = static_cast<double>(JobLoop::now().ns) * 1e-9;
  std::uint32_t serving = 0;
  std::uint64_t held = 0;
  std::uint64_t blocks = 0;
  for (const auto& replica : cluster.replicas) {
    snapshot.replicas.push_back({replica.serving, replica.scheduler});
    const scheduler::SchedulerStats& stats = replica.scheduler;
    serving += replica.serving ? 1 : 0;
    sample.prompt_tokens += stats.prefill_rows;
    sample.generation_tokens += stats.tokens_emitted;
    sample.running += stats.num_running;
    sample.waiting += stats.num_waiting;
    sample.prefix_queries += stats.blocks.query_tokens;
    sample.prefix_hits += stats.blocks.hit_tokens;
    held += stats.blocks.num_held;
    blocks += stats.blocks.num_blocks;
  }
  sample.kv_usage = blocks > 0 ? static_cast<double>(held) / static_cast<double>(blocks) : 0.0;
  snapshot.gateway_waiting = admission.waiting;
  snapshot.gateway_waiting_tokens = admission.waiting_tokens;
  snapshot.replayed = cluster.gateway.replayed;
  snapshot.tokens_delivered = cluster.gateway.tokens_delivered;
  snapshot.capacity_tokens_per_s = admission.tokens_per_s;
  serving_replicas_ = serving;
  running_ = sample.running;
  waiting_ = sample.waiting;
  kv_usage_ = sample.kv_usage;
  sample.waiting += admission.waiting;
  const std::scoped_lock lock(mutex_);
  if (server_ != nullptr) {
    const http::HttpServerStats http = server_->stats();
    snapshot.connections_open = http.connections_open;
    snapshot.streams_cut = http.streams_cut;
  }
  now_ = sample;
  return snapshot;
}

void ApiGateway::tick() { (void)refresh(); }

std::string ApiGateway::stats_line() {
  const std::scoped_lock lock(mutex_);
  std::string line = observability::stats_line(last_line_, now_);
  last_line_ = now_;
  return line;
}

bool ApiGateway::idle() const {
  const std::scoped_lock lock(mutex_);
  return now_.generation_tokens == last_line_.generation_tokens && now_.prompt_tokens == last_line_.prompt_tokens &&
         now_.running == 0 && now_.waiting == 0;
}

std::string ApiGateway::render_metrics() {
  metrics_.set_from([this] { return refresh(); });
  return metrics_.render();
}

std::optional<HttpResponse> MetricsHandler::on_head(const HttpRequestHead& head) {
  if (head.method == "OPTIONS") return gateway_.headers().preflight(head);
  std::vector<HttpHeader> headers = gateway_.headers().of(head);
  if (head.path != "/metrics")
    return error_answer(openai::not_found("only /metrics is here"), std::move(headers));
  if (head.method == "GET" || head.method == "HEAD") return std::nullopt;
  headers.push_back({"Allow", "GET, HEAD"});
  return error_answer(openai::method_not_allowed("GET, HEAD"), std::move(headers));
}

void MetricsHandler::on_request(HttpRequest request, std::shared_ptr<HttpResponder> responder,
                                std::function<void()>& /*on_gone*/) {
  const auto answer = [this, responder, headers = gateway_.headers().of(request.head)] {
    responder->respond({200, kMetricsType, headers, gateway_.render_metrics()});
  };
  if (!pool_.post(answer))
    responder->respond(error_answer(openai::overloaded("too many scrapes at once", 1), gateway_.headers().of(request.head)));
}

HttpResponse MetricsHandler::on_refused(int status, const std::string& why, const HttpRequestHead* head) {
  return gateway_.on_refused(status, why, head);
}

}  // namespace herd::api
