#pragma once
// ApiGateway: the endpoint. Takes HTTP requests, checks who asks for what, hands text work to the TextPool and generation to
// the JobLoop, and answers the small routes itself. Nothing here waits: I/O threads only decide and pass on.
//
//   I/O thread   on_head: route, key, content type, quick refusal     on_request: small routes
//   TextPool     RequestReader, event ids, /metrics
//   JobLoop      admission, tokens, frames

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "endpoint/access/api_keys.h"
#include "endpoint/access/event_id.h"
#include "endpoint/api/answers.h"
#include "endpoint/api/field_notices.h"
#include "endpoint/api/job_loop.h"
#include "endpoint/api/request_reader.h"
#include "endpoint/api/routes.h"
#include "endpoint/api/text_pool.h"
#include "endpoint/http/http_server.h"
#include "actors/in_process_cluster.h"
#include "observability/event_log.h"
#include "observability/serving_metrics.h"
#include "observability/stats_line.h"

namespace herd::api {

struct ApiConfig {
  admission::AdmissionConfig admission;
  double request_timeout_s = 600;        // without X-Request-Timeout
  double request_timeout_max_s = 3600;
  double stalled_s = 30;                 // running, but no token for so long: not ready
  double keep_alive_s = 10;              // silence of a stream before a comment
  std::vector<std::string> allowed_origins;  // CORS; "*": any. Empty: no CORS headers
  std::vector<TokenId> eos_ids;
  int text_threads = 1;
  std::size_t text_tasks_max = 4096;
  bool log_requests = false;
  std::string version;
  std::string numerics_id;               // of the model served: streams go on under it and no other
  std::function<std::int64_t()> unix_time;                      // seconds
  std::function<void(std::span<std::uint8_t>)> random_bytes;    // unpredictable
};

class ApiGateway final : public http::HttpHandler {
 public:
  // All references outlive it; the HTTP servers that call it end before it does.
  ApiGateway(ApiConfig config, RequestReader reader, const access::EventIdCodec& event_ids,
             actors::InProcessCluster& cluster, observability::ServingMetrics& metrics, observability::EventLog& log);
  ~ApiGateway() override;  // stop()

  std::optional<http::HttpResponse> on_head(const http::HttpRequestHead& head) override;
  void on_request(http::HttpRequest request, std::shared_ptr<http::HttpResponder> responder,
                  std::function<void()>& on_gone) override;
  http::HttpResponse on_refused(int status, const std::string& why, const http::HttpRequestHead* head) override;

  [[nodiscard]] const AnswerHeaders& headers() const { return headers_; }

  // Null: no key is asked for.
  void set_keys(std::shared_ptr<const access::ApiKeys> keys);
  // Whose counters /metrics shows; null again before that server goes.
  void set_server(const http::HttpServer* server);

  // About once a second: what the replicas are doing, for the health routes, /load and the stats line.
  void tick();
  // The line for people, with rates since the last one.
  [[nodiscard]] std::string stats_line();
  [[nodiscard]] bool idle() const;   // nothing ran since the last stats_line()
  [[nodiscard]] std::string render_metrics();

  // New generation requests are refused (503), open ones go on.
  void drain() { draining_ = true; }
  [[nodiscard]] bool await_drained(std::chrono::milliseconds timeout) { return loop_.await_empty(timeout); }
  // Ends what is open with an error. Repeatable.
  void stop() { loop_.stop(); }

 private:
  // One request on its way.
  struct Call {
    Route route;
    std::string method;
    std::string path;
    Instant begin;
    std::string request_id;
    std::string tenant_name;
    admission::TenantId tenant;
    std::vector<http::HttpHeader> headers;  // of the answer
    std::shared_ptr<http::HttpResponder> responder;
  };

  [[nodiscard]] std::shared_ptr<const access::ApiKeys> keys() const;
  [[nodiscard]] std::optional<openai::ApiError> refusal_of(const http::HttpRequestHead& head, Route route);
  void answer(const Call& call, int status, const char* type, std::string body);
  void answer_error(const Call& call, const openai::ApiError& error);
  void answer_health(const Call& call, int status, const char* word);
  void answer_small(const Call& call);
  [[nodiscard]] bool ready() const;
  // On the TextPool.
  void generate(const Call& call, const http::HttpRequest& request, RequestId id,
                const std::shared_ptr<std::atomic<bool>>& gone);
  [[nodiscard]] std::optional<openai::ApiError> identify(const Call& call, const http::HttpRequest& request,
                                                         GenerationRequest& generation) const;
  void name_ignored(const std::vector<std::string>& fields, std::vector<http::HttpHeader>& headers);
  [[nodiscard]] openai::ApiExpected<double> timeout_of(const http::HttpRequestHead& head) const;
  void on_job_end(const GenerationJob& job, Instant now);
  observability::ServingMetrics::Snapshot refresh();

  const ApiConfig config_;
  const RequestReader reader_;
  const access::EventIdCodec& event_ids_;
  actors::InProcessCluster& cluster_;
  observability::ServingMetrics& metrics_;
  observability::EventLog& log_;
  const AnswerHeaders headers_;
  const std::int64_t started_;  // Unix seconds
  JobEnvironment environment_;

  std::mutex refresh_mutex_;  // taken before mutex_
  mutable std::mutex mutex_;  // of the five below
  std::shared_ptr<const access::ApiKeys> keys_;
  const http::HttpServer* server_ = nullptr;
  observability::StatsSample last_line_;
  observability::StatsSample now_;
  FieldNotices notices_;
  std::atomic<bool> said_begins_twice_{false};

  std::atomic<bool> draining_{false};
  std::atomic<std::uint32_t> serving_replicas_{0};
  std::atomic<std::uint64_t> running_{0};
  std::atomic<std::uint64_t> waiting_{0};
  std::atomic<double> kv_usage_{0};
  std::atomic<std::uint64_t> next_request_{1};
  JobLoop loop_;
  TextPool pool_;  // last: its tasks use all of the above
};

// Serves GET /metrics alone, without a key: what --metrics-port opens.
class MetricsHandler final : public http::HttpHandler {
 public:
  explicit MetricsHandler(ApiGateway& gateway) : gateway_(gateway), pool_(1, 64) {}
  std::optional<http::HttpResponse> on_head(const http::HttpRequestHead& head) override;
  void on_request(http::HttpRequest request, std::shared_ptr<http::HttpResponder> responder,
                  std::function<void()>& on_gone) override;
  http::HttpResponse on_refused(int status, const std::string& why, const http::HttpRequestHead* head) override;

 private:
  ApiGateway& gateway_;
  TextPool pool_;
};

}  // namespace herd::api
