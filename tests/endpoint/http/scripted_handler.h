#pragma once
// ScriptedHandler: answers as each test says; by default "METHOD PATH BODY". Counts what it is asked.

#include <atomic>
#include <condition_variable>
#include <cstdlib>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>

#include <gtest/gtest.h>

#include "endpoint/http/http_server.h"

namespace herd::http {

inline const std::string kGet = "GET /a HTTP/1.1\r\nHost: a\r\n\r\n";

class ScriptedHandler final : public HttpHandler {
 public:
  using Answer = std::function<void(HttpRequest, std::shared_ptr<HttpResponder>, std::function<void()>&)>;

  std::function<std::optional<HttpResponse>(const HttpRequestHead&)> head = [](const HttpRequestHead&) {
    return std::optional<HttpResponse>();
  };
  Answer answer = [](HttpRequest request, std::shared_ptr<HttpResponder> responder, std::function<void()>&) {
    responder->respond({200, "text/plain", {}, request.head.method + " " + request.head.path + " " + request.body});
  };

  bool answers_over_limit(const HttpRequestHead& request) const override { return request.path == "/probe"; }
  std::optional<HttpResponse> on_head(const HttpRequestHead& request) override { return head(request); }
  void on_request(HttpRequest request, std::shared_ptr<HttpResponder> responder,
                  std::function<void()>& on_gone) override {
    ++requests;
    answer(std::move(request), std::move(responder), on_gone);
  }
  HttpResponse on_refused(int status, const std::string& why, const HttpRequestHead* refused) override {
    return {status, "text/plain", {}, "refused: " + why + (refused ? " " + refused->method + " " + refused->path : "")};
  }

  std::atomic<int> requests{0};
};

// A server on a free port.
inline std::unique_ptr<HttpServer> start(ScriptedHandler& handler, HttpServerConfig config = {}) {
  config.port = 0;
  auto server = HttpServer::start(config, handler);
  if (!server) {
    ADD_FAILURE() << server.error().message();
    std::abort();
  }
  return std::move(*server);
}

// One thing that happens on another thread.
class Event {
 public:
  void set() {
    const std::lock_guard lock(mutex_);
    ++count_;
    changed_.notify_all();
  }
  // False: it did not happen within 30 s.
  bool wait(int times = 1) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, std::chrono::seconds(30), [&] { return count_ >= times; });
  }
  int count() {
    const std::lock_guard lock(mutex_);
    return count_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  int count_ = 0;
};

}  // namespace herd::http
