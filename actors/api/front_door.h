#pragma once
// FrontDoor: what an HTTP server talks to from its first moment on. The port is taken before the model is loaded, so that a
// port in use is known at once; until open(), /health says that the process lives and everything else is told to come
// back (503), rather than meeting a closed port.

#include <atomic>

#include "actors/http/http_server.h"

namespace herd::api {

class FrontDoor final : public http::HttpHandler {
 public:
  // From now on `handler` answers. It outlives the server.
  void open(http::HttpHandler& handler) { handler_ = &handler; }

  std::optional<http::HttpResponse> on_head(const http::HttpRequestHead& head) override;
  void on_request(http::HttpRequest request, std::shared_ptr<http::HttpResponder> responder,
                  std::function<void()>& on_gone) override;
  http::HttpResponse on_refused(int status, const std::string& why) override;

 private:
  std::atomic<http::HttpHandler*> handler_{nullptr};
};

}  // namespace herd::api
