// Dialer: one address that is connected to, and again with a delay that doubles and is random whenever a connection has ended.
// On the host's thread.
#pragma once

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "actors/link/link_connection-inl.h"
#include "cluster/gateway/retry_delay.h"

namespace herd::link {

class Dialer final : public std::enable_shared_from_this<Dialer> {
 public:
  // A socket that is connected; `on_gone` as LinkConnection's. What it returns is cut when the dialer stops.
  using Begin =
      std::function<std::shared_ptr<HostedConnection>(PlainStream, const std::string& address, std::function<void(bool)> on_gone)>;

  Dialer(std::shared_ptr<HostShared> shared, std::string host, std::uint16_t port, Begin begin)
      : shared_(std::move(shared)),
        host_(std::move(host)),
        port_(port),
        begin_(std::move(begin)),
        resolver_(shared_->context),
        socket_(shared_->context),
        timer_(shared_->context),
        delay_(shared_->config.retry_min_s, shared_->config.retry_max_s, shared_->config.seed ^ std::hash<std::string>{}(host_) ^ port) {}

  void start() {
    if (stopped_ || shared_->stopping) return;
    // Whoever takes no connection is given up after as long as a Hello may take.
    wait(shared_->config.limits.hello_s, [this] {
      resolver_.cancel();
      error_code ignored;
      socket_.close(ignored);
    });
    resolver_.async_resolve(host_, std::to_string(port_), [self = shared_from_this()](error_code error, const auto& found) {
      self->on_resolved(error, found);
    });
  }

  void stop() {
    stopped_ = true;
    resolver_.cancel();
    timer_.cancel();
    error_code ignored;
    socket_.close(ignored);
    if (const auto connection = connection_.lock()) connection->cut("no longer wanted here");
  }

 private:
  using tcp = asio::ip::tcp;

  void on_resolved(error_code error, const tcp::resolver::results_type& found) {
    if (stopped_) return;
    if (error || found.empty()) return on_failed(error ? error.message() : "no such host");
    const tcp::endpoint endpoint = *found.begin();
    if (!shared_->config.tls && !endpoint.address().is_loopback())
      return on_failed("without TLS only loopback addresses are connected to, not " + endpoint.address().to_string());
    const int fd = ::socket(endpoint.protocol().family(), SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_TCP);
    if (fd < 0) return on_failed(error_code(errno, boost::system::system_category()).message());
    socket_ = PlainStream(shared_->context, asio::generic::stream_protocol(endpoint.protocol().family(), IPPROTO_TCP), fd);
    socket_.async_connect(asio::generic::stream_protocol::endpoint(endpoint), [self = shared_from_this()](error_code failed) {
      self->on_connected(failed);
    });
  }

  void on_connected(error_code error) {
    if (stopped_) return;
    if (error) return on_failed(error == asio::error::operation_aborted ? "it takes no connection" : error.message());
    timer_.cancel();
    connected_at_ = steady_now();
    connection_ = begin_(std::move(socket_), text(), [self = shared_from_this()](bool opened) { self->on_gone(opened); });
  }

  void on_failed(const std::string& cause) {
    if (stopped_) return;
    ++shared_->refused;
    shared_->trouble({StatusCode::kAborted, text() + ": cannot connect: " + cause});
    on_gone(false);
  }

  // A peer that opens a connection and closes it at once refuses us in its own words: that is tried ever more rarely, too.
  void on_gone(bool opened) {
    if (stopped_ || shared_->stopping) return;
    const Instant now = steady_now();
    const bool lasted = opened && seconds_between(connected_at_, now) >= shared_->config.limits.ping_s;
    failures_ = lasted ? 1 : failures_ + 1;
    wait(seconds_between(now, delay_.after(now, failures_)), [this] { start(); });
  }

  template <class Then>
  void wait(double seconds, Then then) {
    timer_.expires_after(std::chrono::nanoseconds(static_cast<std::int64_t>(seconds * 1e9)));
    timer_.async_wait([self = shared_from_this(), then](error_code error) {
      if (!error && !self->stopped_) then();
    });
  }

  [[nodiscard]] std::string text() const { return host_ + ":" + std::to_string(port_); }

  const std::shared_ptr<HostShared> shared_;
  const std::string host_;
  const std::uint16_t port_;
  const Begin begin_;
  asio::ip::tcp::resolver resolver_;
  PlainStream socket_;
  asio::steady_timer timer_;
  gateway::RetryDelay delay_;
  std::uint32_t failures_ = 0;
  Instant connected_at_{};
  std::weak_ptr<HostedConnection> connection_;
  bool stopped_ = false;
};

}  // namespace herd::link
