#pragma once
// AdminHandler: what a process of a cluster says of itself over HTTP, without a key: GET /live, /ready, /metrics; a coordinator also
// /targets: whom Prometheus is to scrape (http_sd_configs). Until open() it lives and is not ready. Any thread.

#include <functional>
#include <mutex>
#include <optional>
#include <string>

#include "endpoint/access/allowed_hosts.h"
#include "endpoint/http/http_handler.h"

namespace herd::admin {

// Called on an I/O thread, one at a time; they must not wait for long.
struct AdminPages {
  std::function<std::optional<std::string>()> not_ready;  // why it is not ready, for a person; nullopt: it is
  std::function<std::string()> metrics;                   // Prometheus text format 0.0.4
  std::function<std::string()> targets = {};              // JSON, as Prometheus' HTTP service discovery wants it; none: no such page
};

class AdminHandler final : public http::HttpHandler {
 public:
  // `hosts`: whom a request may name, so that no web page reads this through a name of its own (AllowedHosts).
  explicit AdminHandler(access::AllowedHosts hosts) : hosts_(std::move(hosts)) {}

  void open(AdminPages pages);
  // Nothing of the pages is called any more when this returns.
  void close() { open({}); }

  bool answers_over_limit(const http::HttpRequestHead& head) const override;
  std::optional<http::HttpResponse> on_head(const http::HttpRequestHead& head) override;
  void on_request(http::HttpRequest request, std::shared_ptr<http::HttpResponder> responder,
                  std::function<void()>& on_gone) override;
  http::HttpResponse on_refused(int status, const std::string& why, const http::HttpRequestHead* head) override;

 private:
  [[nodiscard]] http::HttpResponse page(const std::string& path) const;

  const access::AllowedHosts hosts_;
  mutable std::mutex mutex_;  // of pages_, also while one of them is called
  AdminPages pages_;
};

}  // namespace herd::admin
