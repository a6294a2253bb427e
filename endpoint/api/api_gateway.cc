#include "endpoint/api/api_gateway.h"

#include <algorithm>
#include <set>
#include <utility>

#include "endpoint/openai/openapi.h"
#include "endpoint/pages/page_files.h"
#include "runtime/steady_clock.h"

namespace herd::api {

using http::HttpHeader;
using http::HttpRequest;
using http::HttpRequestHead;
using http::HttpResponder;
using http::HttpResponse;
using openai::ApiError;

namespace {

constexpr const char* kJson = "application/json";

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

// Null: the request has none of these keys.
const access::ApiKey* key_of(const access::ApiKeys& keys, const HttpRequestHead& head) {
  const std::string* authorization = head.header("authorization");
  return authorization != nullptr ? keys.find(*authorization) : nullptr;
}

}  // namespace

ApiGateway::ApiGateway(ApiConfig config, RequestReader reader, const access::EventIdCodec& event_ids,
                       const access::ServedNumerics& numerics, actors::ClusterClient& client,
                       observability::ServingMetrics& metrics, observability::EventLog& log,
                       const http::HttpServer* server)
    : version_(std::move(config.version)),
      reader_(std::move(reader)),
      client_(client),
      metrics_(metrics),
      headers_(std::move(config.allowed_origins), config.intake.random_bytes),
      started_(config.intake.unix_time()),
      state_(client, server, metrics, config.stalled_s, &log, config.intake.tracing.sink),
      answers_(metrics),
      intake_(std::move(config.intake), reader_, event_ids, numerics, client, metrics, log),
      texts_(config.text_threads, config.text_bounds),
      scrapes_(1, kScrapeBounds) {
  if (!config.pages) return;
  PageConfig pages = std::move(*config.pages);
  pages.words.version = version_;
  pages.words.model = reader_.model().names.front();
  pages.words.max_model_len = reader_.model().max_model_len;
  pages.words.started = started_;
  page_status_ = std::make_unique<PageStatus>(std::move(pages), state_, client_, server, metrics_, [this] { return intake_.unix_time(); });
}

ApiGateway::~ApiGateway() { stop(); }

void ApiGateway::stop() {
  if (page_status_) page_status_->stop();
  client_.stop();
}

void ApiGateway::set(const IntakeSettings& settings, double stalled_s) {
  intake_.set(settings);
  state_.set_stalled(stalled_s);
}

void ApiGateway::set_keys(std::shared_ptr<const access::ApiKeys> keys) {
  std::set<admission::TenantId> gone;
  if (const auto before = this->keys())
    for (const access::ApiKey& key : before->keys()) gone.insert(key.tenant);
  if (keys)
    for (const access::ApiKey& key : keys->keys()) {
      client_.set_tenant(key.tenant, key.limits);
      gone.erase(key.tenant);
    }
  // Without limits of its own a tenant is forgotten when its last request has ended.
  for (const admission::TenantId tenant : gone) client_.set_tenant(tenant, {});
  const std::scoped_lock lock(mutex_);
  keys_ = std::move(keys);
}

std::shared_ptr<const access::ApiKeys> ApiGateway::keys() const {
  const std::scoped_lock lock(mutex_);
  return keys_;
}

// Everything that can be refused before a body is read.
std::optional<ApiError> ApiGateway::refusal_of(const HttpRequestHead& head, Route route) {
  admission::TenantId tenant;
  if (const auto known = keys(); known && !is_public(route)) {
    const access::ApiKey* key = key_of(*known, head);
    if (key == nullptr) return openai::unauthorized();
    tenant = key->tenant;
  }
  if (head.method == "POST" && takes_json(route)) {
    if (!is_json(head.header("content-type"))) return not_json();
    if (is_encoded(head)) return encoded();
  }
  if (!generates(route)) return std::nullopt;
  if (state_.draining()) return openai::overloaded("the server is shutting down", 1);
  if (const auto refusal = client_.refuses_now(tenant)) {
    metrics_.on_refused(admission::refusal_name(refusal->reason));
    return refusal->quota ? openai::quota(refusal->message, refusal->retry_after_s)
                          : openai::overloaded(refusal->message, refusal->retry_after_s);
  }
  return std::nullopt;
}

std::variant<Route, NoSuchRoute, WrongMethod> ApiGateway::route_of(const HttpRequestHead& head) const {
  if (!page_status_ && pages::is_page_path(head.path)) return NoSuchRoute{};
  return find_route(head.method, head.path);
}

bool ApiGateway::answers_over_limit(const HttpRequestHead& head) const {
  const auto found = find_route(head.method, head.path);
  const Route* route = std::get_if<Route>(&found);
  return route != nullptr && is_probe(*route);
}

std::optional<HttpResponse> ApiGateway::on_head(const HttpRequestHead& head) {
  if (head.method == "OPTIONS") return headers_.preflight(head);
  const auto found = route_of(head);
  std::optional<ApiError> error;
  const char* path = "other";
  if (std::holds_alternative<NoSuchRoute>(found)) {
    // With keys set, strangers learn nothing about which routes there are.
    error = openai::not_found("there is no such route");
    if (const auto known = keys(); known && key_of(*known, head) == nullptr) error = openai::unauthorized();
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
  call.begin = steady_now();
  call.request_id = headers_.request_id(request.head);
  call.headers = headers_.of(request.head, call.request_id);
  call.responder = std::move(responder);
  if (const auto known = keys(); known && !is_public(call.route)) {
    const access::ApiKey* key = key_of(*known, request.head);
    // The keys were read again while the body came, and this one is gone.
    if (key == nullptr) return answers_.error(call, openai::unauthorized());
    call.tenant_name = key->name;
    call.tenant = key->tenant;
  }
  if (call.route == Route::kPage)
    return answers_.respond(call, pages::page_answer(*pages::find_page(call.path), request.head, call.headers));
  if (!takes_json(call.route) && call.route != Route::kMetrics && call.route != Route::kPageStatus) return answer_small(call);

  if (call.route == Route::kMetrics) {
    auto scrape = [this, call] { answers_.answer(call, 200, ServingState::kMetricsType, state_.render_metrics()); };
    return post(scrapes_, call, {.run = std::move(scrape), .tenant = call.tenant}, on_gone);
  }
  if (call.route == Route::kPageStatus) {
    pages::add_data_headers(call.headers);
    auto look = [this, call] { answers_.answer(call, 200, kJson, page_status_->json()); };
    return post(scrapes_, call, {.run = std::move(look), .tenant = call.tenant}, on_gone);
  }
  const std::size_t bytes = request.body.size();
  const auto shared = std::make_shared<const HttpRequest>(std::move(request));
  std::function<void()> read = [this, call, shared] { answer_text(call, shared->body); };
  if (generates(call.route)) {
    const GenerationIntake::Ticket ticket = intake_.new_ticket();
    on_gone = [this, ticket] { intake_.client_gone(ticket); };
    read = [this, call, shared, ticket] { intake_.intake(call, *shared, ticket); };
  }
  post(texts_, call, {.run = std::move(read), .tenant = call.tenant, .bytes = bytes}, on_gone);
}

void ApiGateway::post(TextPool& pool, const Call& call, TextTask task, std::function<void()>& on_gone) {
  const auto id = pool.post(std::move(task));
  if (!id) {
    metrics_.on_refused("text_pool");
    return answers_.error(call, openai::overloaded("too many requests wait to be read; try again later", 1));
  }
  on_gone = [&pool, id = *id, also = std::move(on_gone)] {
    pool.drop(id);
    if (also) also();
  };
}

bool ApiGateway::await_drained(std::chrono::milliseconds timeout) {
  const Instant begin = steady_now();
  if (!texts_.await_idle(timeout)) return false;
  const auto used = std::chrono::nanoseconds(steady_now().ns - begin.ns);
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(timeout - used);
  return intake_.await_none_open(std::max(left, std::chrono::milliseconds(0)));
}

void ApiGateway::answer_text(const Call& call, const std::string& body) {
  auto text = call.route == Route::kTokenize ? reader_.tokenize(body, intake_.unix_time()) : reader_.detokenize(body);
  if (!text) return answers_.error(call, text.error());
  Call named = call;
  intake_.name_ignored(text->ignored_fields, named.headers);
  answers_.answer(named, 200, kJson, std::move(text->body));
}

void ApiGateway::answer_small(const Call& call) {
  const served::ServedModel& model = reader_.model();
  switch (call.route) {
    case Route::kLive:
      return answers_.health(call, {});
    case Route::kHealth:
    case Route::kPing:
      return answers_.health(call, state_.health());
    case Route::kReady:
      if (const auto why = state_.not_ready(steady_now())) return answers_.error(call, openai::overloaded(*why, 1));
      return answers_.answer(call, 200, "", "");
    case Route::kLoad:
      return answers_.answer(call, 200, kJson, state_.load_body());
    case Route::kVersion:
      return answers_.answer(call, 200, kJson, openai::version_body(version_));
    case Route::kOpenApi:
      return answers_.answer(call, 200, kJson, std::string(openai::openapi_json()));
    case Route::kModels:
      return answers_.answer(call, 200, kJson, openai::models_body(model.names, model.root, started_, model.max_model_len));
    case Route::kModel: {
      const std::string name = model_of_path(call.path);
      if (std::ranges::count(model.names, name) == 0)
        return answers_.error(call, openai::not_found("The model does not exist.", "model_not_found"));
      return answers_.answer(call, 200, kJson, openai::model_body(name, model.root, started_, model.max_model_len));
    }
    default:
      return answers_.error(call, openai::internal_error());
  }
}

}  // namespace herd::api
