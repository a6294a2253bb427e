// Connection: a socket (plain or TLS) around an HttpSession. Moves bytes and keeps the one timer; decides nothing.
// Reading is a coroutine that always waits for the next bytes, so that a client that leaves is noticed at once,
// whatever the session is doing; only where enough is pipelined already it looks once a second.
// Writing tries the socket first and waits only for a full one.
#pragma once

#include <poll.h>

#include <array>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include "endpoint/http/http_session.h"
#include "endpoint/http/io_thread-inl.h"

namespace herd::http {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;

template <class Stream>
class Connection final : public ThreadConnection, public std::enable_shared_from_this<Connection<Stream>> {
 public:
  static constexpr bool kTls = !std::is_same_v<Stream, tcp::socket>;

  // `on_closed` is called once, on the thread.
  Connection(std::shared_ptr<IoThread> thread, Stream stream, SessionShared& shared, std::string peer, bool over_limit,
             std::function<void()> on_closed)
      : thread_(std::move(thread)),
        stream_(std::move(stream)),
        timer_(thread_->context),
        room_(thread_->context),
        session_(shared, thread_, *this, std::move(peer), steady_now()),
        over_limit_(over_limit),
        on_closed_(std::move(on_closed)) {}

  // On the thread.
  void start() {
    thread_->add(*this);
    if (thread_->stopping()) return close(true);
    asio::co_spawn(thread_->context, read_loop(), asio::detached);
    arm();
  }

  void on_outbox_ready() override {
    const Instant now = steady_now();
    session_.on_outbox(now);
    pump(now);
  }
  void drain() override {
    session_.on_drain();
    pump(steady_now());
  }
  void stop() override { close(true); }
  std::shared_ptr<ThreadConnection> self() override { return this->shared_from_this(); }

 private:
  tcp::socket& socket() {
    if constexpr (kTls) {
      return stream_.next_layer();
    } else {
      return stream_;
    }
  }

  asio::awaitable<void> read_loop() {
    const auto self = this->shared_from_this();  // until nothing is read any more
    if (!co_await open()) co_return;
    while (!closed_) {
      if (!session_.wants_bytes()) {
        if (has_left()) {
          session_.on_end();
          pump(steady_now());
          continue;
        }
        room_.expires_after(kLookAfter);
        waits_for_room_ = true;
        error_code cancelled;
        co_await room_.async_wait(asio::redirect_error(asio::use_awaitable, cancelled));
        waits_for_room_ = false;
        continue;
      }
      error_code error;
      std::string_view bytes;
      if constexpr (kTls) {
        const std::size_t size = co_await stream_.async_read_some(asio::buffer(*tls_input_),
                                                                  asio::redirect_error(asio::use_awaitable, error));
        bytes = {tls_input_->data(), size};
      } else {
        co_await stream_.async_wait(tcp::socket::wait_read, asio::redirect_error(asio::use_awaitable, error));
        if (!error && !closed_) bytes = read_now(error);
      }
      if (closed_) break;
      if (error) {
        session_.on_end();
        pump(steady_now());
      } else if (!bytes.empty()) {
        const Instant now = steady_now();
        session_.on_bytes(bytes, now);
        pump(now);
      }
    }
  }

  asio::awaitable<bool> open() {
    if constexpr (kTls) {
      error_code error;
      co_await stream_.async_handshake(asio::ssl::stream_base::server,
                                       asio::redirect_error(asio::use_awaitable, error));
      if (closed_) co_return false;
      if (error) {
        close(false);
        co_return false;
      }
      tls_input_ = std::make_unique<std::array<char, 8 * 1024>>();
    }
    const Instant now = steady_now();
    if (over_limit_) {
      session_.on_over_limit(now);
    } else {
      session_.on_open(now);
    }
    pump(now);
    co_return !closed_;
  }

  // The client has ended its side, or reset the connection, behind bytes that are not read yet.
  bool has_left() {
    pollfd end{.fd = socket().native_handle(), .events = POLLRDHUP, .revents = 0};
    return ::poll(&end, 1, 0) > 0;
  }

  // Some bytes, none after a false alarm.
  std::string_view read_now(error_code& error) {
    char* scratch = thread_->scratch.get();
    const std::size_t size = stream_.read_some(asio::buffer(scratch, IoThread::kScratchBytes), error);
    if (error == asio::error::would_block || error == asio::error::try_again) error = {};
    return {scratch, size};
  }

  // After every event: writes what there is, then does what the session has decided. Each write may end an answer, and the next
  // pipelined request is worked on then: after kWritesTogether of them the thread's other connections have their turn.
  void pump(Instant now) {
    for (int writes = 0; !closed_ && !writing_ && session_.has_output(); ++writes) {
      if (writes == kWritesTogether) {
        pump_later();
        break;
      }
      if constexpr (kTls) {
        write_tls();
      } else {
        write_plain(now);
      }
    }
    if (closed_) return;
    switch (session_.fate()) {
      case HttpSession::Fate::kOpen:
        break;
      case HttpSession::Fate::kLinger:
        shut_down();
        break;
      case HttpSession::Fate::kClose:
        return close(false);
      case HttpSession::Fate::kReset:
        return close(true);
    }
    if (waits_for_room_ && session_.wants_bytes()) room_.cancel();
    arm();
  }

  void pump_later() {
    writing_ = true;
    asio::post(thread_->context, [self = this->shared_from_this()] {
      self->writing_ = false;
      if (!self->closed_) self->pump(steady_now());
    });
  }

  void write_plain(Instant now) {
    const auto output = session_.output();
    error_code error;
    const std::size_t size = stream_.write_some(
        std::array{asio::buffer(output[0].data(), output[0].size()), asio::buffer(output[1].data(), output[1].size())},
        error);
    if (!error) return session_.on_written(size, now);
    if (error != asio::error::would_block && error != asio::error::try_again) return session_.on_end();
    session_.on_full();
    writing_ = true;
    stream_.async_wait(tcp::socket::wait_write, [self = this->shared_from_this()](error_code waited) {
      self->writing_ = false;
      if (self->closed_) return;
      if (waited) self->session_.on_end();
      self->pump(steady_now());
    });
  }

  void write_tls() {
    const auto output = session_.output();
    const std::string_view bytes = output[0].empty() ? output[1] : output[0];
    writing_ = true;
    stream_.async_write_some(asio::buffer(bytes.data(), bytes.size()),
                             [self = this->shared_from_this()](error_code error, std::size_t size) {
                               self->writing_ = false;
                               if (self->closed_) return;
                               const Instant now = steady_now();
                               if (error) {
                                 self->session_.on_end();
                               } else {
                                 self->session_.on_written(size, now);
                               }
                               self->pump(now);
                             });
    // The record is on its way, or as much of it as the socket takes.
    pollfd room{.fd = socket().native_handle(), .events = POLLOUT, .revents = 0};
    if (::poll(&room, 1, 0) == 0) session_.on_full();
  }

  // Our side ends; the reading goes on until the client's side does.
  void shut_down() {
    if (std::exchange(shut_down_, true)) return;
    if constexpr (kTls) {
      stream_.async_shutdown([self = this->shared_from_this()](error_code) {
        error_code ignored;
        if (!self->closed_) self->socket().shutdown(tcp::socket::shutdown_send, ignored);
      });
    } else {
      error_code ignored;
      stream_.shutdown(tcp::socket::shutdown_send, ignored);
    }
  }

  // `reset`: what is still unsent in the kernel goes nowhere either.
  void close(bool reset) {
    if (std::exchange(closed_, true)) return;
    const auto self = this->shared_from_this();
    error_code ignored;
    if (reset) socket().set_option(asio::socket_base::linger(true, 0), ignored);
    socket().close(ignored);
    timer_.cancel();
    room_.cancel();
    session_.on_closed();
    thread_->remove(*this);
    if (on_closed_) std::exchange(on_closed_, nullptr)();
  }

  // The timer is moved only to fire earlier; one that fires too early looks again. Most deadlines move later.
  void arm() {
    const Instant deadline = session_.deadline();
    if (deadline >= armed_) return;
    armed_ = deadline;
    timer_.expires_at(std::chrono::steady_clock::time_point(std::chrono::nanoseconds(deadline.ns)));
    timer_.async_wait([self = this->shared_from_this()](error_code error) {
      if (error || self->closed_) return;
      self->armed_ = kUnarmed;
      const Instant now = steady_now();
      if (now >= self->session_.deadline()) self->session_.on_time(now);
      self->pump(now);
    });
  }

  static constexpr Instant kUnarmed{INT64_MAX};
  static constexpr int kWritesTogether = 16;
  static constexpr std::chrono::seconds kLookAfter{1};

  const std::shared_ptr<IoThread> thread_;
  Stream stream_;
  asio::steady_timer timer_;
  asio::steady_timer room_;  // cancelled when the session wants bytes again; else a look whether the client is still there
  HttpSession session_;
  const bool over_limit_;
  std::function<void()> on_closed_;
  std::unique_ptr<std::array<char, 8 * 1024>> tls_input_;
  Instant armed_ = kUnarmed;
  bool waits_for_room_ = false;
  bool writing_ = false;
  bool shut_down_ = false;
  bool closed_ = false;
};

}  // namespace herd::http
