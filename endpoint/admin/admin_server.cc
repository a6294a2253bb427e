#include "endpoint/admin/admin_server.h"

#include <utility>

namespace herd::admin {
namespace {

// Probes and scrapers are few. Beyond this many a connection is for one request (HttpLimits::connections).
constexpr std::size_t kConnectionsMax = 64;
constexpr std::size_t kBodyBytesMax = 1024;

http::HttpServerConfig server_config(const AdminConfig& config) {
  http::HttpServerConfig server;
  server.host = config.host;
  server.port = config.port;
  server.limits.connections = kConnectionsMax;
  server.limits.connections_per_ip = kConnectionsMax;
  server.limits.body_bytes = kBodyBytesMax;
  server.unix_seconds = config.unix_seconds;
  return server;
}

}  // namespace

Expected<std::unique_ptr<AdminServer>> AdminServer::start(const AdminConfig& config) {
  auto hosts = access::AllowedHosts::make({}, config.host);
  if (!hosts) return fail(hosts.error());
  std::unique_ptr<AdminServer> admin(new AdminServer(config.host, std::move(*hosts)));
  auto server = http::HttpServer::start(server_config(config), admin->handler_);
  if (!server) return fail(server.error());
  admin->server_ = std::move(*server);
  return admin;
}

void AdminServer::close() {
  if (server_) server_->stop();
  handler_.close();
}

std::string AdminServer::address() const {
  const bool v6 = host_.find(':') != std::string::npos && !host_.starts_with('[');
  return (v6 ? "[" + host_ + "]" : host_) + ":" + std::to_string(server_->port());
}

std::string AdminServer::metrics_url() const { return "http://" + address() + "/metrics"; }

}  // namespace herd::admin
