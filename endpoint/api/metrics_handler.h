#pragma once
// MetricsHandler: serves GET /metrics alone, without a key: what --metrics-port opens.

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "endpoint/api/api_gateway.h"
#include "endpoint/api/text_pool.h"
#include "endpoint/http/http_server.h"

namespace herd::api {

class MetricsHandler final : public http::HttpHandler {
 public:
  explicit MetricsHandler(ApiGateway& gateway) : gateway_(gateway), pool_(1, kScrapeBounds) {}
  bool answers_over_limit(const http::HttpRequestHead& head) const override;
  std::optional<http::HttpResponse> on_head(const http::HttpRequestHead& head) override;
  void on_request(http::HttpRequest request, std::shared_ptr<http::HttpResponder> responder,
                  std::function<void()>& on_gone) override;
  http::HttpResponse on_refused(int status, const std::string& why, const http::HttpRequestHead* head) override;

 private:
  ApiGateway& gateway_;
  TextPool pool_;
};

}  // namespace herd::api
