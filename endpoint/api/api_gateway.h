#pragma once
// ApiGateway: the endpoint. Takes HTTP requests, checks who asks for what, and passes them on; answers the small routes
// itself. Nothing here waits: I/O threads only decide.
//
//   I/O thread        on_head: route, key, content type, quick refusal     on_request: small routes, pages
//   TextPool          RequestReader, event ids (GenerationIntake)       another one: /metrics, /ui/status.json
//   gateway's thread  tokens to text, frames (GenerationJob)

#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "actors/client/cluster_client.h"
#include "endpoint/access/api_keys.h"
#include "endpoint/access/event_id.h"
#include "endpoint/api/answers.h"
#include "endpoint/api/call.h"
#include "endpoint/api/generation_intake.h"
#include "endpoint/api/page_status.h"
#include "endpoint/api/request_reader.h"
#include "endpoint/api/routes.h"
#include "endpoint/api/serving_state.h"
#include "endpoint/api/text_pool.h"
#include "endpoint/http/http_server.h"
#include "observability/event_log.h"
#include "observability/serving_metrics.h"

namespace herd::api {

struct ApiConfig {
  IntakeConfig intake;
  double stalled_s = 30;                     // work, but no step finished for so long: not ready
  std::vector<std::string> allowed_origins;  // CORS; "*": any. Empty: no CORS headers
  int text_threads = 1;
  TextBounds text_bounds;
  std::string version;
  std::optional<PageConfig> pages;  // --ui
};

class ApiGateway final : public http::HttpHandler {
 public:
  // All references outlive it. `server`: whose counters /metrics shows; may be null. Servers that call this have stopped, and
  // so has the client's gateway, before it goes.
  ApiGateway(ApiConfig config, RequestReader reader, const access::EventIdCodec& event_ids,
             const access::ServedNumerics& numerics, actors::ClusterClient& client,
             observability::ServingMetrics& metrics, observability::EventLog& log,
             const http::HttpServer* server = nullptr);
  ~ApiGateway() override;  // stop()

  bool answers_over_limit(const http::HttpRequestHead& head) const override;
  std::optional<http::HttpResponse> on_head(const http::HttpRequestHead& head) override;
  void on_request(http::HttpRequest request, std::shared_ptr<http::HttpResponder> responder,
                  std::function<void()>& on_gone) override;
  http::HttpResponse on_refused(int status, const std::string& why, const http::HttpRequestHead* head) override;

  [[nodiscard]] const AnswerHeaders& headers() const { return headers_; }
  [[nodiscard]] ServingState& state() { return state_; }

  // What may change while requests are open. Any thread.
  void set(const IntakeSettings& settings, double stalled_s);
  // Null: no key is asked for.
  void set_keys(std::shared_ptr<const access::ApiKeys> keys);

  // Waits until no request is open, those that wait to be read included; false when `timeout` passed first.
  [[nodiscard]] bool await_drained(std::chrono::milliseconds timeout);
  // Ends what is open with an error. Repeatable.
  void stop();

 private:
  [[nodiscard]] std::shared_ptr<const access::ApiKeys> keys() const;
  [[nodiscard]] std::optional<openai::ApiError> refusal_of(const http::HttpRequestHead& head, Route route);
  // As find_route, but without --ui there are no pages.
  [[nodiscard]] std::variant<Route, NoSuchRoute, WrongMethod> route_of(const http::HttpRequestHead& head) const;
  void answer_small(const Call& call);
  // Hands a request to a pool, or refuses it. `on_gone` drops what waits there when its client leaves.
  void post(TextPool& pool, const Call& call, TextTask task, std::function<void()>& on_gone);
  // On the TextPool: /tokenize, /detokenize.
  void answer_text(const Call& call, const std::string& body);

  const std::string version_;
  const RequestReader reader_;
  actors::ClusterClient& client_;
  observability::ServingMetrics& metrics_;
  const AnswerHeaders headers_;
  const std::int64_t started_;  // Unix seconds
  mutable std::mutex mutex_;    // of keys_
  std::shared_ptr<const access::ApiKeys> keys_;
  ServingState state_;
  const CallAnswers answers_;
  GenerationIntake intake_;
  std::unique_ptr<PageStatus> page_status_;  // null: no pages
  // Last: their tasks use all of the above. Scrapes have a thread of their own, so that a server whose texts wait can be watched.
  TextPool texts_;
  TextPool scrapes_;
};

}  // namespace herd::api
