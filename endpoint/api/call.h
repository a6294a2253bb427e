#pragma once
// Call: one HTTP request on its way through the endpoint, and CallAnswers: its answer, counted.

#include <string>
#include <utility>
#include <vector>

#include "cluster/admission/admission_queue.h"
#include "endpoint/api/answers.h"
#include "endpoint/api/routes.h"
#include "endpoint/http/http_server.h"
#include "observability/serving_metrics.h"
#include "runtime/clock.h"

namespace herd::api {

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

// Any thread.
class CallAnswers {
 public:
  // `metrics` outlives it.
  explicit CallAnswers(observability::ServingMetrics& metrics) : metrics_(metrics) {}

  void answer(const Call& call, int status, const char* type, std::string body) const;
  void error(const Call& call, const openai::ApiError& error) const;
  void health(const Call& call, const Health& health) const;
  void respond(const Call& call, http::HttpResponse response) const;

 private:
  observability::ServingMetrics& metrics_;
};

}  // namespace herd::api
