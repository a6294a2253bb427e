#include "commands/server_doors.h"

#include <chrono>
#include <cstdio>
#include <thread>
#include <utility>

#include "commands/random_bytes.h"
#include "commands/systemd_service.h"
#include "commands/wall_clock.h"
#include "endpoint/access/allowed_hosts.h"
#include "kernels/process_limits.h"
#include "runtime/steady_clock.h"

namespace herd::commands {
namespace {

// Scrapers are few, and what they do not need clients may have. Beyond it a scrape is answered too (HttpLimits::connections).
constexpr std::size_t kMetricsConnectionsMax = 64;

// Clients must not take the last descriptors: streams could not move to another replica then.
http::HttpLimits within_files(http::HttpLimits limits) {
  limits.connections = connections_within(limits.connections, file_limit());
  return limits;
}

}  // namespace

ServerDoors::ServerDoors(const ServeFlags& flags)
    : http_(flags.http),
      metrics_port_(flags.metrics_port),
      metrics_host_(flags.metrics_host.empty() ? flags.http.host : flags.metrics_host),
      allowed_origins_(flags.allowed_origins),
      allowed_hosts_(flags.allowed_hosts) {}

Expected<std::unique_ptr<ServerDoors>> ServerDoors::take(const ServeFlags& flags, bool with_keys) {
  std::unique_ptr<ServerDoors> doors(new ServerDoors(flags));
  if (Status status = doors->take_ports(with_keys); !status.ok()) return fail(std::move(status));
  return doors;
}

Status ServerDoors::take_ports(bool with_keys) {
  http::HttpServerConfig main = http_;
  const std::vector<int> given = inherited_sockets();
  main.unix_seconds = unix_time;
  main.limits = within_files(main.limits);
  if (!given.empty()) main.listen_fd = given.front();
  if (Status status = make_door(door_, main.host, with_keys); !status.ok()) return status;
  auto server = http::HttpServer::start(main, *door_);
  if (!server) return server.error();
  server_ = std::move(*server);
  if (!metrics_port_) return {};
  http::HttpServerConfig metrics;
  metrics.unix_seconds = unix_time;
  metrics.host = metrics_host_;
  metrics.port = *metrics_port_;
  metrics.limits.connections = kMetricsConnectionsMax;
  if (given.size() > 1) metrics.listen_fd = given[1];
  if (Status status = make_door(metrics_door_, metrics.host, with_keys); !status.ok()) return status;
  auto opened = http::HttpServer::start(metrics, *metrics_door_);
  if (!opened) return opened.error();
  metrics_server_ = std::move(*opened);
  return {};
}

Status ServerDoors::make_door(std::optional<api::FrontDoor>& door, const std::string& host, bool with_keys) const {
  std::optional<access::AllowedHosts> hosts;
  if (!with_keys) {
    auto made = access::AllowedHosts::make(allowed_hosts_, host);
    if (!made) return made.error();
    hosts = std::move(*made);
  }
  door.emplace(api::AnswerHeaders(allowed_origins_, random_bytes), std::move(hosts));
  return {};
}

void ServerDoors::open(http::HttpHandler& api, http::HttpHandler& metrics, bool pages) {
  door_->open(api);
  if (metrics_server_) {
    metrics_door_->open(metrics);
    std::fprintf(stderr, "herd: metrics on http://%s:%d/metrics\n", metrics_host_.c_str(), metrics_server_->port());
  }
  if (const std::size_t clients = within_files(http_.limits).connections; clients < http_.limits.connections)
    std::fprintf(stderr, "herd: at most %zu connections of clients, not %zu: this process may have %zu open files (ulimit -n)\n",
                 clients, http_.limits.connections, file_limit());
  if (pages) std::fprintf(stderr, "herd: pages on %s/ui\n", url().c_str());
  std::fprintf(stderr, "herd: serving on %s\n", url().c_str());
}

Status ServerDoors::set_limits(const http::HttpLimits& limits) { return server_->set_limits(within_files(limits)); }

std::string ServerDoors::url() const {
  const char* scheme = http_.tls_certificate.empty() ? "http" : "https";
  return std::string(scheme) + "://" + http_.host + ":" + std::to_string(server_->port());
}

void ServerDoors::turn(std::function<void()> done) {
  if (!metrics_server_) return server_->turn(std::move(done));
  server_->turn([this, done = std::move(done)] { metrics_server_->turn(done); });
}

void ServerDoors::close_gently(Instant end) {
  for (int i = 0; i < 100 && server_->stats().connections_open > 0 && steady_now() < end; ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  stop();
}

void ServerDoors::stop() {
  if (server_) server_->stop();
  if (metrics_server_) metrics_server_->stop();
}

}  // namespace herd::commands
