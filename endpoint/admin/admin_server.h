#pragma once
// AdminServer: the port on which a process of a cluster answers /live, /ready and /metrics. It is taken before the process does
// anything else, so that a port in use is known at once and the process can say where its metrics are.

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "endpoint/admin/admin_handler.h"
#include "endpoint/http/http_server.h"
#include "kernels/status.h"

namespace herd::admin {

struct AdminConfig {
  std::string host = "127.0.0.1";
  std::uint16_t port = 0;                       // 0: any free one
  std::function<std::int64_t()> unix_seconds;   // the wall clock, for Date; none: no such header
};

class AdminServer {
 public:
  // kMissing: the port is in use; kUsage: no such host on this machine.
  static Expected<std::unique_ptr<AdminServer>> start(const AdminConfig& config);
  ~AdminServer() { close(); }
  AdminServer(const AdminServer&) = delete;
  AdminServer& operator=(const AdminServer&) = delete;

  void open(AdminPages pages) { handler_.open(std::move(pages)); }
  // It answers nobody any more, and nothing of the pages is called when this returns. Repeatable.
  void close();

  [[nodiscard]] std::string address() const;      // "127.0.0.1:9100", "[::1]:9100"
  [[nodiscard]] std::string metrics_url() const;  // "http://127.0.0.1:9100/metrics"

 private:
  AdminServer(std::string host, access::AllowedHosts hosts) : host_(std::move(host)), handler_(std::move(hosts)) {}

  const std::string host_;
  AdminHandler handler_;
  std::unique_ptr<http::HttpServer> server_;
};

}  // namespace herd::admin
