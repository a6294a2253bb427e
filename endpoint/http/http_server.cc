#include "endpoint/http/http_server.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <boost/asio/ssl/stream.hpp>
#include <csignal>
#include <deque>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "endpoint/http/connection_counts.h"
#include "endpoint/http/http_connection-inl.h"
#include "endpoint/http/io_thread-inl.h"
#include "endpoint/http/listen_socket-inl.h"
#include "endpoint/http/tls_context-inl.h"

namespace herd::http {
namespace {

using TlsStream = asio::ssl::stream<tcp::socket>;

constexpr int kThreadsMax = 64;
constexpr std::size_t kBodyBytesMax = 32 * 1024 * 1024;
constexpr std::chrono::milliseconds kAcceptPause{100};
constexpr std::size_t kAcceptedTogether = 64;  // before others on that thread have their turn
// Bytes the kernel holds unsent: what waits beyond it waits in the outbox, where it counts as credit.
constexpr int kKernelUnsentBytes = 64 * 1024;

Status check_limits(const HttpLimits& limits) {
  if (limits.body_bytes > kBodyBytesMax) return usage_error("the body limit is at most 32 MiB");
  if (limits.request_line_bytes == 0 || limits.head_bytes == 0 || limits.header_bytes == 0 ||
      limits.pipelined_bytes_max == 0 || limits.stream_frames_max == 0 || limits.stream_bytes_max == 0 ||
      limits.connections == 0 || limits.connections_per_ip == 0) {
    return usage_error("an HTTP limit is 0");
  }
  for (const auto time : {limits.head_time, limits.body_time, limits.idle_time, limits.write_stall, limits.answer_grace}) {
    if (time.count() <= 0) return usage_error("an HTTP time limit is 0");
  }
  return {};
}

Status check_config(const HttpServerConfig& config) {
  if (config.threads < 1 || config.threads > kThreadsMax) return usage_error("HTTP threads: 1 to 64");
  if (config.tls_certificate.empty() != config.tls_key.empty()) {
    return usage_error("TLS needs both a certificate and a key");
  }
  return check_limits(config.limits);
}

// Null for loopback.
std::optional<AddressKey> address_key(const asio::ip::address& address) {
  if (address.is_loopback()) return {};
  AddressKey key{};
  const bool mapped = address.is_v6() && address.to_v6().is_v4_mapped();
  if (address.is_v4() || mapped) {
    const auto v4 = mapped ? asio::ip::make_address_v4(asio::ip::v4_mapped, address.to_v6()) : address.to_v4();
    if (v4.is_loopback()) return {};
    const auto bytes = v4.to_bytes();
    key[0] = 4;
    std::copy(bytes.begin(), bytes.end(), key.begin() + 1);
  } else {
    const auto bytes = address.to_v6().to_bytes();
    key[0] = 6;
    std::copy_n(bytes.begin(), 8, key.begin() + 1);
  }
  return key;
}

class Server final : public HttpServer {
 public:
  Server(HttpServerConfig config, HttpHandler& handler)
      : counts_(config.limits.connections, config.limits.connections_per_ip),
        certificate_(config.tls_certificate),
        key_(config.tls_key),
        over_limit_max_(std::clamp<std::size_t>(config.limits.connections / 8, 8, 128)) {
    shared_.handler = &handler;
    shared_.limits = config.limits;
    shared_.unix_seconds = std::move(config.unix_seconds);
    for (int i = 0; i < config.threads; ++i) threads_.push_back(std::make_shared<IoThread>());
  }
  ~Server() override { stop(); }
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  Status listen(const HttpServerConfig& config) {
    if (!certificate_.empty()) {
      auto tls = make_tls_context(certificate_, key_);
      if (!tls) return tls.error();
      tls_.emplace(std::move(*tls));
    }
    auto acceptor = open_listen_socket(threads_[0]->context, config);
    if (!acceptor) return acceptor.error();
    acceptor_.emplace(std::move(*acceptor));
    error_code error;
    const tcp::endpoint listener = acceptor_->local_endpoint(error);
    port_ = listener.port();
    shared_.listener = address_text(listener);
    return error ? missing("cannot listen: " + error.message()) : Status{};
  }

  void run() {
    asio::co_spawn(threads_[0]->context, accept_loop(), asio::detached);
    // Signals are for the threads that wait for them.
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    for (const auto& thread : threads_) thread->start();
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
    started_ = true;
  }

  [[nodiscard]] std::uint16_t port() const override { return port_; }

  [[nodiscard]] HttpServerStats stats() const override {
    const HttpCounters& counters = shared_.counters;
    const auto read = [](const std::atomic<std::uint64_t>& counter) { return counter.load(std::memory_order_relaxed); };
    return {read(counters.connections_open),
            read(counters.connections_accepted),
            read(counters.connections_refused),
            read(counters.requests),
            read(counters.refused),
            read(counters.frames_sent),
            read(counters.bytes_sent),
            read(counters.streams_cut),
            read(counters.clients_gone)};
  }

  Status set_limits(const HttpLimits& limits) override {
    if (Status status = check_limits(limits); !status.ok()) return status;
    counts_.set_limits(limits.connections, limits.connections_per_ip);
    shared_.body_bytes_now = limits.body_bytes;
    return {};
  }

  Status reload_certificate() override {
    if (certificate_.empty()) return {};
    auto tls = make_tls_context(certificate_, key_);
    if (!tls) return tls.error();
    const std::lock_guard lock(life_mutex_);
    if (!started_ || stopped_) return {};
    // Connections that are open keep the old context alive as long as they need it.
    asio::post(threads_[0]->context, [this, fresh = std::move(*tls)]() mutable { tls_ = std::move(fresh); });
    return {};
  }

  void turn(std::function<void()> done) override {
    const std::lock_guard lock(life_mutex_);
    if (!started_ || stopped_) return;
    auto left = std::make_shared<std::atomic<std::size_t>>(threads_.size());
    for (const auto& thread : threads_)
      asio::post(thread->context, [left, done] {
        if (--*left == 0) done();
      });
  }

  void drain() override {
    const std::lock_guard lock(life_mutex_);
    if (!started_ || stopped_ || shared_.draining.exchange(true)) return;
    stop_accepting();
    for (const auto& thread : threads_) asio::post(thread->context, [raw = thread.get()] { raw->drain_connections(); });
  }

  void stop() override {
    const std::lock_guard lock(life_mutex_);
    if (std::exchange(stopped_, true) || !started_) return;
    shared_.draining = true;
    stop_accepting();
    for (const auto& thread : threads_) asio::post(thread->context, [raw = thread.get()] { raw->stop_connections(); });
    for (const auto& thread : threads_) thread->join();
  }

 private:
  void stop_accepting() {
    asio::post(threads_[0]->context, [this] {
      error_code ignored;
      acceptor_->close(ignored);
      if (accept_pause_) accept_pause_->cancel();
    });
  }

  asio::awaitable<void> accept_loop() {
    accept_pause_.emplace(threads_[0]->context);
    while (acceptor_->is_open()) {
      error_code error;
      co_await acceptor_->async_wait(tcp::acceptor::wait_read, asio::redirect_error(asio::use_awaitable, error));
      for (std::size_t i = 0; !error && i < kAcceptedTogether; ++i) accept_one(error);
      if (!error || comes_again(error) || !acceptor_->is_open()) continue;
      // Out of descriptors or memory: those who connect wait in the backlog meanwhile.
      accept_pause_->expires_after(kAcceptPause);
      co_await accept_pause_->async_wait(asio::redirect_error(asio::use_awaitable, error));
    }
  }

  // Nothing to take, or a connection that went before it was taken.
  static bool comes_again(const error_code& error) {
    return error == asio::error::would_block || error == asio::error::try_again ||
           error == asio::error::connection_aborted || error == asio::error::interrupted ||
           error == boost::system::errc::protocol_error;
  }

  void accept_one(error_code& error) {
    tcp::endpoint peer;
    const int fd = accept_waiting(*acceptor_, peer, error);
    if (fd < 0) return;
    const std::shared_ptr<IoThread>& thread = threads_[next_thread_];
    tcp::socket socket(thread->context);
    socket.assign(peer.protocol(), fd, error);
    if (error) {
      ::close(fd);
      return;
    }
    next_thread_ = (next_thread_ + 1) % threads_.size();
    admit(thread, std::move(socket), peer);
  }

  void admit(const std::shared_ptr<IoThread>& thread, tcp::socket socket, const tcp::endpoint& peer) {
    count(shared_.counters.connections_accepted);
    const std::optional<AddressKey> key = address_key(peer.address());
    const bool admitted = counts_.enter(key ? &*key : nullptr);
    if (!admitted) {
      count(shared_.counters.connections_refused);
      // Those that are to make room end when this loop has had its turn.
      if (over_limit_open_.load() >= over_limit_max_ + kAcceptedTogether) return;
      ++over_limit_open_;
    }
    error_code ignored;
    socket.non_blocking(true, ignored);
    socket.set_option(tcp::no_delay(true), ignored);
    socket.set_option(asio::socket_base::keep_alive(true), ignored);
    setsockopt(socket.native_handle(), IPPROTO_TCP, TCP_NOTSENT_LOWAT, &kKernelUnsentBytes, sizeof kKernelUnsentBytes);
    count(shared_.counters.connections_open);
    auto on_closed = [this, key, admitted] {
      shared_.counters.connections_open.fetch_sub(1, std::memory_order_relaxed);
      if (admitted) {
        counts_.leave(key ? &*key : nullptr);
      } else {
        --over_limit_open_;
      }
    };
    if (tls_) {
      begin(thread, TlsStream(std::move(socket), *tls_), peer, !admitted, std::move(on_closed));
    } else {
      begin(thread, std::move(socket), peer, !admitted, std::move(on_closed));
    }
  }

  template <class Stream>
  void begin(const std::shared_ptr<IoThread>& thread, Stream stream, const tcp::endpoint& peer, bool over_limit,
             std::function<void()> on_closed) {
    auto connection = std::make_shared<Connection<Stream>>(thread, std::move(stream), shared_, address_text(peer),
                                                           over_limit, std::move(on_closed));
    if (over_limit) make_room_for(thread, connection);
    asio::dispatch(thread->context, [connection] { connection->start(); });
  }

  // A connection over the limit is the newest of them: the oldest one goes where there are too many.
  void make_room_for(const std::shared_ptr<IoThread>& thread, const std::shared_ptr<ThreadConnection>& newest) {
    std::erase_if(over_limit_, [](const OverLimit& one) { return one.connection.expired(); });
    over_limit_.push_back({thread, newest});
    if (over_limit_.size() <= over_limit_max_) return;
    const OverLimit oldest = std::move(over_limit_.front());
    over_limit_.pop_front();
    asio::post(oldest.thread->context, [weak = oldest.connection] {
      if (const auto connection = weak.lock()) connection->stop();
    });
  }

  struct OverLimit {
    std::shared_ptr<IoThread> thread;
    std::weak_ptr<ThreadConnection> connection;
  };

  SessionShared shared_;
  ConnectionCounts counts_;
  const std::string certificate_;  // PEM files; empty: no TLS
  const std::string key_;
  const std::size_t over_limit_max_;  // connections over the limit, of which the first makes room for the next one
  std::atomic<std::size_t> over_limit_open_{0};
  std::vector<std::shared_ptr<IoThread>> threads_;
  std::optional<asio::ssl::context> tls_;  // on threads_[0], as what follows
  std::optional<tcp::acceptor> acceptor_;
  std::optional<asio::steady_timer> accept_pause_;
  std::deque<OverLimit> over_limit_;  // in the order they came; some may have ended
  std::size_t next_thread_ = 0;
  std::uint16_t port_ = 0;

  std::mutex life_mutex_;
  bool started_ = false;
  bool stopped_ = false;
};

}  // namespace

Expected<std::unique_ptr<HttpServer>> HttpServer::start(HttpServerConfig config, HttpHandler& handler) {
  Status status = check_config(config);
  if (!status.ok()) return fail(std::move(status));
  auto server = std::make_unique<Server>(config, handler);
  status = server->listen(config);
  if (!status.ok()) return fail(std::move(status));
  server->run();
  return server;
}

}  // namespace herd::http
