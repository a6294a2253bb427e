#pragma once
// ServerDoors: the ports of `herd serve`: the API's and, when asked for, one for metrics alone. They are taken before the
// model is loaded, so that a port in use is known at once and whoever calls meanwhile is told to come back.

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "commands/serve_flags.h"
#include "endpoint/api/front_door.h"
#include "endpoint/http/http_server.h"
#include "kernels/status.h"
#include "runtime/clock.h"

namespace herd::commands {

class ServerDoors {
 public:
  // `with_keys`: keys are asked for, so any name of this host will do. Handlers given to open() end after this.
  static Expected<std::unique_ptr<ServerDoors>> take(const ServeFlags& flags, bool with_keys);
  ~ServerDoors() { stop(); }
  ServerDoors(const ServerDoors&) = delete;
  ServerDoors& operator=(const ServerDoors&) = delete;

  // Of the API; it is there from the start to the end.
  [[nodiscard]] const http::HttpServer& server() const { return *server_; }
  // "https://HOST:PORT", where the API is.
  [[nodiscard]] std::string url() const;
  // Requests reach the handlers from here on. Says where, for people; `pages`: where those are too.
  void open(http::HttpHandler& api, http::HttpHandler& metrics, bool pages);
  // Of the API's port (HttpServer::set_limits).
  Status set_limits(const http::HttpLimits& limits);
  // Of the API's port (HttpServer::reload_certificate).
  Status reload_certificate() { return server_->reload_certificate(); }
  // HttpServer::turn of all doors, one after the other.
  void turn(std::function<void()> done);
  // The API's port takes nobody new.
  void drain() { server_->drain(); }
  // Waits a moment for the last frames to reach their sockets, not beyond `end`, then closes everything.
  void close_gently(Instant end);
  void stop();

 private:
  explicit ServerDoors(const ServeFlags& flags);
  Status take_ports(bool with_keys);
  Status make_door(std::optional<api::FrontDoor>& door, const std::string& host, bool with_keys) const;

  const http::HttpServerConfig http_;
  const std::optional<std::uint16_t> metrics_port_;
  const std::string metrics_host_;
  const std::vector<std::string> allowed_origins_;
  const std::vector<std::string> allowed_hosts_;
  std::optional<api::FrontDoor> door_;
  std::optional<api::FrontDoor> metrics_door_;
  std::unique_ptr<http::HttpServer> server_;
  std::unique_ptr<http::HttpServer> metrics_server_;
};

}  // namespace herd::commands
