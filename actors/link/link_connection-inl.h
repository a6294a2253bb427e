// LinkConnection: a socket (plain or TLS) around a LinkSession. Moves bytes, keeps the one timer, hands events to the owner; decides
// nothing. Its socket lives on the host's thread; the session is behind a mutex, so that any thread may send.
#pragma once

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <array>
#include <atomic>
#include <boost/asio/buffer.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/steady_timer.hpp>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <type_traits>
#include <unordered_set>
#include <utility>

#include "actors/link/link_host.h"
#include "actors/link/tls_identity-inl.h"
#include "cluster/wire/spoken.h"
#include "runtime/steady_clock.h"

namespace herd::link {

namespace asio = boost::asio;
using boost::system::error_code;
using PlainStream = asio::generic::stream_protocol::socket;
using TlsStream = asio::ssl::stream<PlainStream>;

// A connection as its host sees it: on its thread.
class HostedConnection {
 public:
  virtual ~HostedConnection() = default;
  virtual void cut(const std::string& cause) = 0;
};

// What the connections of a host share. On its thread, except for the counters.
struct HostShared {
  explicit HostShared(LinkHostConfig given) : config(std::move(given)) {}
  LinkHostConfig config;
  asio::io_context context{1};
  std::unordered_set<std::shared_ptr<HostedConnection>> connections;
  std::atomic<std::uint64_t> accepted{0}, turned_away{0}, opened{0}, refused{0}, lost{0}, half_open{0};
  std::size_t accepted_now = 0;
  bool stopping = false;
  std::atomic<bool> ended{false};  // nobody runs what is posted any more

  void trouble(const Status& status) const {
    if (config.on_trouble) config.on_trouble(status);
  }
};

template <class Stream>
class LinkConnection final : public Link, public HostedConnection, public std::enable_shared_from_this<LinkConnection<Stream>> {
 public:
  static constexpr bool kTls = std::is_same_v<Stream, TlsStream>;
  static constexpr std::size_t kReadBytes = 32 * 1024;

  // `on_gone`: called once, when it has ended; whether it had opened.
  LinkConnection(std::shared_ptr<HostShared> host, Stream stream, std::shared_ptr<TlsIdentity::Context> tls, LinkRules rules, OpenLink open,
                 std::function<void(bool)> on_gone)
      : host_(std::move(host)),
        shared_(*host_),
        tls_(std::move(tls)),
        stream_(std::move(stream)),
        timer_(shared_.context),
        session_(std::move(rules), steady_now()),
        open_(std::move(open)),
        on_gone_(std::move(on_gone)) {}

  void start(asio::ssl::stream_base::handshake_type side) {
    shared_.connections.insert(this->shared_from_this());
    set_options();
    arm(session_.deadline());
    if constexpr (kTls) {
      stream_.async_handshake(side, [self = this->shared_from_this()](error_code error) { self->on_handshake(error); });
    } else {
      begin();
    }
  }

  [[nodiscard]] Status send(const wire::Frame& frame, Epoch cluster_epoch, routing::ReplicaGeneration replica) override {
    const std::optional<wire::Frame> spoken = wire::as_spoken(frame, protocol_);
    auto sealed = wire::seal(spoken ? *spoken : frame, cluster_epoch, replica);  // here, so that nobody waits for a long one
    if (!sealed) return sealed.error();
    return with_session([&](LinkSession& session) { return session.send(frame.kind, std::move(*sealed), steady_now()); });
  }
  void consumed(std::size_t bytes) override {
    with_session([&](LinkSession& session) { session.on_consumed(bytes, steady_now()); });
  }
  void finish(const Status& why) override {
    with_session([&](LinkSession& session) { session.finish(why, steady_now()); });
  }
  [[nodiscard]] std::size_t queued_bytes() const override {
    const std::lock_guard lock(mutex_);
    return session_.queued_bytes();
  }
  void cut(const std::string& cause) override {
    {
      const std::lock_guard lock(mutex_);
      session_.on_end(cause);
    }
    pump();
  }

 private:
  // An owner's call: then the thread looks what follows from it.
  template <class Call>
  auto with_session(Call call) {
    const std::lock_guard lock(mutex_);
    if (!gone_ && !std::exchange(pump_posted_, true)) {
      asio::post(shared_.context, [self = this->shared_from_this()] {
        {
          const std::lock_guard inner(self->mutex_);
          self->pump_posted_ = false;
        }
        self->pump();
      });
    }
    return call(session_);
  }

  PlainStream& socket() {
    if constexpr (kTls) {
      return stream_.next_layer();
    } else {
      return stream_;
    }
  }

  // Of TCP; a socket pair has none of them.
  void set_options() {
    constexpr int kOn = 1, kUnackedMs = 5000;
    // What the kernel holds unsent waits in its queue, where nothing overtakes it.
    constexpr int kUnsentBytes = 64 * 1024;
    const int fd = socket().native_handle();
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &kOn, sizeof kOn);
    setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &kUnackedMs, sizeof kUnackedMs);
    setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &kUnsentBytes, sizeof kUnsentBytes);
  }

  void on_handshake(error_code error) {
    if (closed_) return;
    if constexpr (kTls) {
      std::string cause = refused_certificate(stream_.native_handle());
      if (error && cause.empty()) cause = error.message();
      const auto name = error ? Expected<PeerName>(fail(bad_input("TLS: " + cause))) : peer_name_of(stream_.native_handle());
      if (!name) {
        polite_ = true;  // the alert that says why is still on its way
        return cut(name.error().message());
      }
      const std::lock_guard lock(mutex_);
      session_.on_secured(*name);
    }
    begin();
  }

  void begin() {
    secured_ = true;
    pump();
  }

  void read() {
    reading_ = true;
    stream_.async_read_some(asio::buffer(input_), [self = this->shared_from_this()](error_code error, std::size_t size) {
      self->reading_ = false;
      if (self->closed_) return;
      {
        const std::lock_guard lock(self->mutex_);
        if (size > 0) self->session_.on_bytes(std::as_bytes(std::span(self->input_.data(), size)), steady_now());
        if (error) self->session_.on_end(error.message());
      }
      self->pump();
    });
  }

  void write(std::span<const std::byte> bytes) {
    writing_ = true;
    stream_.async_write_some(asio::buffer(bytes.data(), bytes.size()),
                             [self = this->shared_from_this()](error_code error, std::size_t size) {
                               self->writing_ = false;
                               if (self->closed_) return;
                               {
                                 const std::lock_guard lock(self->mutex_);
                                 self->session_.on_written(size, steady_now());
                                 // What it still had to say may lie unread: the reader finds that and the end.
                                 if (error && !self->reading_) self->session_.on_end(error.message());
                                 if (error) self->write_failed_ = true;
                               }
                               self->pump();
                             });
  }

  // After every event: hands out what has happened, then does what the session has decided.
  void pump() {
    if (closed_) return;
    std::vector<LinkEvent> events;
    std::span<const std::byte> output;
    LinkSession::Fate fate;
    Status why;
    Instant deadline;
    bool wants_bytes, hangs;
    {
      const std::lock_guard lock(mutex_);
      events = session_.take_events();
      if (secured_ && !writing_ && !write_failed_) output = session_.output();
      fate = session_.fate();
      why = session_.why();
      deadline = session_.deadline();
      wants_bytes = session_.wants_bytes();
      hangs = session_.peer_hangs();
    }
    for (LinkEvent& event : events) hand_out(event);
    if (closed_) return;
    polite_ |= fate == LinkSession::Fate::kFarewell;
    if (fate == LinkSession::Fate::kClosed) {
      if (hangs && owner_) owner_->on_hung();
      return close(why);
    }
    if (!output.empty()) write(output);
    if (secured_ && !reading_ && wants_bytes) read();
    arm(deadline);
  }

  void hand_out(LinkEvent& event) {
    if (auto* opened = std::get_if<PeerOpened>(&event)) {
      opened_ = true;
      protocol_ = opened->agreement.protocol;
      ++shared_.opened;
      owner_ = std::exchange(open_, nullptr)(this->shared_from_this(), *opened);
      if (!owner_) finish({StatusCode::kAborted, "not wanted"});
    } else if (owner_) {
      owner_->on_frame(std::move(std::get<wire::OpenedFrame>(event)));
    }
  }

  // Hard, unless both know: what the kernel still holds goes nowhere then.
  void close(const Status& why) {
    closed_ = true;
    {
      const std::lock_guard lock(mutex_);
      gone_ = true;
    }
    const auto self = this->shared_from_this();
    error_code ignored;
    if (!polite_) socket().set_option(asio::socket_base::linger(true, 0), ignored);
    if (polite_) socket().shutdown(asio::socket_base::shutdown_send, ignored);
    socket().close(ignored);
    timer_.cancel();
    shared_.connections.erase(self);
    ++(opened_ ? shared_.lost : shared_.refused);
    if (owner_) {
      std::exchange(owner_, nullptr)->on_closed(why);
    } else if (!shared_.stopping) {
      shared_.trouble(why);
    }
    std::exchange(on_gone_, nullptr)(opened_);
  }

  // The timer is moved only to fire earlier; one that fires too early looks again.
  void arm(Instant deadline) {
    if (deadline >= armed_) return;
    armed_ = deadline;
    timer_.expires_at(std::chrono::steady_clock::time_point(std::chrono::nanoseconds(deadline.ns)));
    timer_.async_wait([self = this->shared_from_this()](error_code error) {
      if (error || self->closed_) return;
      self->armed_ = kUnarmed;
      {
        const std::lock_guard lock(self->mutex_);
        self->session_.on_time(steady_now());
      }
      self->pump();
    });
  }

  static constexpr Instant kUnarmed{INT64_MAX};

  const std::shared_ptr<HostShared> host_;  // an owner may keep its Link for longer than the host lives
  HostShared& shared_;
  const std::shared_ptr<TlsIdentity::Context> tls_;  // outlives the stream
  Stream stream_;
  asio::steady_timer timer_;
  std::array<char, kReadBytes> input_;

  mutable std::mutex mutex_;
  LinkSession session_;
  bool pump_posted_ = false;
  bool gone_ = false;  // nothing is posted any more

  std::uint32_t protocol_ = 0;  // as both ends agreed, before anybody can send
  OpenLink open_;
  std::shared_ptr<LinkOwner> owner_;
  std::function<void(bool)> on_gone_;
  Instant armed_ = kUnarmed;
  bool secured_ = false;
  bool reading_ = false;
  bool writing_ = false;
  bool write_failed_ = false;
  bool opened_ = false;
  bool polite_ = false;
  bool closed_ = false;
};

}  // namespace herd::link
