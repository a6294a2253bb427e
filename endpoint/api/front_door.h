#pragma once
// FrontDoor: what an HTTP server talks to from its first moment on. The port is taken before the model is loaded, so that a
// port in use is known at once; until open(), /live says that the process lives and everything else is told to come
// back (503), rather than meeting a closed port. Before and after, it turns away requests that name another host.

#include <atomic>
#include <optional>

#include "endpoint/access/allowed_hosts.h"
#include "endpoint/api/answers.h"
#include "endpoint/http/http_server.h"

namespace herd::api {

class FrontDoor final : public http::HttpHandler {
 public:
  // `hosts`: nullopt where keys are asked for: whoever has one may call under any name.
  FrontDoor(AnswerHeaders headers, std::optional<access::AllowedHosts> hosts)
      : headers_(std::move(headers)), hosts_(std::move(hosts)) {}

  // From now on `handler` answers. It outlives the server.
  void open(http::HttpHandler& handler) { handler_ = &handler; }

  bool answers_over_limit(const http::HttpRequestHead& head) const override;
  std::optional<http::HttpResponse> on_head(const http::HttpRequestHead& head) override;
  void on_request(http::HttpRequest request, std::shared_ptr<http::HttpResponder> responder,
                  std::function<void()>& on_gone) override;
  http::HttpResponse on_refused(int status, const std::string& why, const http::HttpRequestHead* head) override;

 private:
  [[nodiscard]] bool is_for_another(const http::HttpRequestHead& head) const;
  [[nodiscard]] http::HttpResponse loading(const http::HttpRequestHead& head) const;

  const AnswerHeaders headers_;
  const std::optional<access::AllowedHosts> hosts_;
  std::atomic<http::HttpHandler*> handler_{nullptr};
};

}  // namespace herd::api
