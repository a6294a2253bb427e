#include "endpoint/api/metrics_handler.h"

#include <utility>

#include "endpoint/api/answers.h"

namespace herd::api {

using http::HttpHeader;
using http::HttpRequest;
using http::HttpRequestHead;
using http::HttpResponder;
using http::HttpResponse;

// It is all that this port is for, and the pool bounds how many are made at once.
bool MetricsHandler::answers_over_limit(const HttpRequestHead& head) const { return head.path == "/metrics"; }

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
    responder->respond({200, ServingState::kMetricsType, headers, gateway_.state().render_metrics()});
  };
  if (!pool_.post({.run = answer, .tenant = {}}))
    responder->respond(error_answer(openai::overloaded("too many scrapes at once", 1), gateway_.headers().of(request.head)));
}

HttpResponse MetricsHandler::on_refused(int status, const std::string& why, const HttpRequestHead* head) {
  return gateway_.on_refused(status, why, head);
}

}  // namespace herd::api
