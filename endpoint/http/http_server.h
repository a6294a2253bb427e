#pragma once
// HttpServer: HTTP/1.1 over TCP or TLS with limits on everything a client sends, and streams with credit on what it
// does not read. Knows bytes and time, not models. Boost.Asio and OpenSSL stay behind it.
//
//   accept -> head (bounded, timed) -> HttpHandler::on_head -> body (bounded, timed) -> HttpHandler::on_request
//          -> respond(), or open_stream() send()* finish_stream() -> keep-alive or close
//
// One request of a connection is worked on at a time; what a client pipelines behind it waits in a bounded buffer.

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "endpoint/http/http_handler.h"
#include "endpoint/http/http_limits.h"
#include "kernels/status.h"

namespace herd::http {

struct HttpServerConfig {
  std::string host = "127.0.0.1";
  std::uint16_t port = 8000;    // 0: any free one
  int listen_fd = -1;           // >= 0: an open, listening socket instead of host and port (systemd); owned
  std::string tls_certificate;  // PEM files; both or neither. TLS 1.2 at least
  std::string tls_key;
  int threads = 1;  // 1 to 64
  HttpLimits limits;
  std::function<std::int64_t()> unix_seconds;  // the wall clock, for Date; none: no such header (RFC 9110, 6.6.1)
};

// Counters rise only.
struct HttpServerStats {
  std::uint64_t connections_open = 0;
  std::uint64_t connections_accepted = 0;
  std::uint64_t connections_refused = 0;  // over a limit
  std::uint64_t requests = 0;             // reached on_request or were refused by on_head
  std::uint64_t refused = 0;              // on_refused
  std::uint64_t frames_sent = 0;
  std::uint64_t bytes_sent = 0;
  std::uint64_t streams_cut = 0;   // no credit, or a write that stalled
  std::uint64_t clients_gone = 0;  // left before the end of their answer
};

class HttpServer {
 public:
  // kMissing: address in use (says which), certificate or key unreadable; kUsage: bad host or limits.
  // `handler` outlives the server.
  static Expected<std::unique_ptr<HttpServer>> start(HttpServerConfig config, HttpHandler& handler);
  virtual ~HttpServer() = default;  // stop()

  [[nodiscard]] virtual std::uint16_t port() const = 0;
  [[nodiscard]] virtual HttpServerStats stats() const = 0;
  // connections, connections_per_ip and body_bytes of these: for whoever comes, and requests that begin, from now on. Any thread.
  // kUsage: as at the start; nothing changes.
  virtual Status set_limits(const HttpLimits& limits) = 0;
  // Reads the files of certificate and key again, for connections that come from now on; without TLS nothing. Any thread.
  // kMissing: as at the start; the old ones stay.
  virtual Status reload_certificate() = 0;
  // What reload_certificate() would say of these files.
  [[nodiscard]] static Status check_certificate(const std::string& certificate, const std::string& key);
  // `done` once every thread of it has come by since, on the last one. Not of a server that stops meanwhile. Any thread.
  virtual void turn(std::function<void()> done) = 0;
  // No new connections; idle ones close, others close after their present answer. Returns at once.
  virtual void drain() = 0;
  // Closes every connection and ends the threads. Repeatable.
  virtual void stop() = 0;
};

}  // namespace herd::http
