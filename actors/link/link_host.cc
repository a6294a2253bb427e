#include "actors/link/link_host.h"

#include <pthread.h>
#include <sys/un.h>
#include <unistd.h>

#include <boost/asio/executor_work_guard.hpp>
#include <csignal>
#include <future>
#include <thread>
#include <utility>

#include "actors/link/dialer-inl.h"
#include "actors/link/link_connection-inl.h"
#include "actors/link/link_listener-inl.h"
#include "actors/link/tls_identity-inl.h"

namespace herd::link {
namespace {

using Side = asio::ssl::stream_base;

// Stops its dialer on the host's thread.
class DialHandle final : public Dial {
 public:
  DialHandle(std::shared_ptr<HostShared> shared, std::shared_ptr<Dialer> dialer)
      : shared_(std::move(shared)), dialer_(std::move(dialer)) {}
  ~DialHandle() override {
    // A host that has stopped has stopped its dialers.
    if (!shared_->ended) asio::post(shared_->context, [dialer = dialer_] { dialer->stop(); });
  }
  DialHandle(const DialHandle&) = delete;
  DialHandle& operator=(const DialHandle&) = delete;

 private:
  const std::shared_ptr<HostShared> shared_;
  const std::shared_ptr<Dialer> dialer_;
};

class Host final : public LinkHost {
 public:
  Host(LinkHostConfig config, std::unique_ptr<TlsIdentity> identity)
      : shared_(std::make_shared<HostShared>(std::move(config))),
        identity_(std::move(identity)),
        guard_(asio::make_work_guard(shared_->context)),
        look_(shared_->context) {}
  ~Host() override { stop(); }
  Host(const Host&) = delete;
  Host& operator=(const Host&) = delete;

  void run() {
    if (identity_) look_at_files();
    // Signals are for the threads that wait for them.
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    thread_ = std::thread([this] { shared_->context.run(); });
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
  }

  Expected<std::uint16_t> listen(const std::string& address, std::uint16_t port, std::vector<PeerName> accepts, OpenLink open) override {
    error_code error;
    const auto ip = asio::ip::make_address(address, error);
    if (error) return fail(usage_error("'" + address + "' is no address to listen on: it is to be numeric, such as 127.0.0.1"));
    if (!identity_ && !ip.is_loopback())
      return fail(usage_error("without TLS only loopback addresses are listened on, not " + address + ": give certificates"));
    auto begin = [this, accepts, open](PlainStream socket, const std::string& peer) { take(std::move(socket), peer, accepts, open); };
    auto listener = LinkListener::open(shared_, {ip, port}, std::move(begin));
    if (!listener) return fail(listener.error());
    asio::post(shared_->context, [this, added = *listener] {
      if (shared_->stopping) return added->stop();
      listeners_.push_back(added);
      added->start();
    });
    return (*listener)->port();
  }

  std::unique_ptr<Dial> dial(const std::string& host, std::uint16_t port, std::vector<PeerName> accepts, OpenLink open) override {
    auto begin = [this, accepts, open](PlainStream socket, const std::string& address, std::function<void(bool)> on_gone) {
      return connection(std::move(socket), address, accepts, open, Side::client, identity_ != nullptr, std::move(on_gone));
    };
    auto dialer = std::make_shared<Dialer>(shared_, host, port, std::move(begin));
    asio::post(shared_->context, [this, dialer] {
      // A weak pointer keeps the memory of a dialer that is gone, so those go first.
      std::erase_if(dialers_, [](const std::weak_ptr<Dialer>& one) { return one.expired(); });
      dialers_.push_back(dialer);
      dialer->start();
    });
    return std::make_unique<DialHandle>(shared_, std::move(dialer));
  }

  Status adopt(int fd, std::vector<PeerName> accepts, OpenLink open) override {
    sockaddr_storage name{};
    socklen_t size = sizeof name;
    if (getsockname(fd, reinterpret_cast<sockaddr*>(&name), &size) != 0 || name.ss_family != AF_UNIX) {
      ::close(fd);
      return usage_error("descriptor " + std::to_string(fd) + " is no end of a socket pair");
    }
    asio::post(shared_->context, [this, fd, accepts = std::move(accepts), open = std::move(open)] {
      if (shared_->stopping) {
        ::close(fd);
        return;
      }
      PlainStream socket(shared_->context, asio::generic::stream_protocol(AF_UNIX, 0), fd);
      error_code ignored;
      socket.non_blocking(true, ignored);
      connection(std::move(socket), "the other end of a socket pair", accepts, open, Side::client, false, [](bool) {});
    });
    return {};
  }

  Status reload() override { return identity_ ? identity_->reload() : Status{}; }
  void set_config_digest(const std::string& digest) override {
    asio::post(shared_->context, [shared = shared_, digest] { shared->config.mine.config_digest = digest; });
  }
  [[nodiscard]] std::int64_t certificate_expires_unix_seconds() const override {
    return identity_ ? identity_->expires_unix_seconds() : 0;
  }

  [[nodiscard]] LinkHostStats stats() const override {
    return {shared_->accepted, shared_->turned_away, shared_->opened, shared_->refused, shared_->lost, shared_->half_open};
  }

  void stop() override {
    if (!thread_.joinable()) return;
    asio::post(shared_->context, [this] {
      shared_->stopping = true;
      for (const auto& listener : listeners_) listener->stop();
      for (const auto& weak : dialers_)
        if (const auto dialer = weak.lock()) dialer->stop();
      for (const auto& open : std::unordered_set(shared_->connections)) open->cut("this process stops");
      look_.cancel();
    });
    guard_.reset();
    thread_.join();
    shared_->ended = true;
  }

 private:
  void take(PlainStream socket, const std::string& peer, const std::vector<PeerName>& accepts, const OpenLink& open) {
    ++shared_->half_open;
    ++shared_->accepted_now;
    // Half open until it opens or ends, whichever comes first.
    const auto counted = std::make_shared<bool>(true);
    const auto no_longer = [shared = shared_, counted] {
      if (std::exchange(*counted, false)) --shared->half_open;
    };
    auto opened = [open, no_longer](std::shared_ptr<Link> link, const PeerOpened& hello) {
      no_longer();
      return open(std::move(link), hello);
    };
    connection(std::move(socket), peer, accepts, std::move(opened), Side::server, identity_ != nullptr,
               [shared = shared_, no_longer](bool) {
                 no_longer();
                 --shared->accepted_now;
               });
  }

  std::shared_ptr<HostedConnection> connection(PlainStream socket, const std::string& address, const std::vector<PeerName>& accepts,
                                               OpenLink open, Side::handshake_type side, bool tls, std::function<void(bool)> on_gone) {
    LinkRules rules{shared_->config.mine, accepts, address, shared_->config.limits};
    if (!tls) {
      auto plain = std::make_shared<LinkConnection<PlainStream>>(shared_, std::move(socket), nullptr, std::move(rules),
                                                                 std::move(open), std::move(on_gone));
      plain->start(side);
      return plain;
    }
    const auto context = identity_->context();
    auto secured = std::make_shared<LinkConnection<TlsStream>>(shared_, TlsStream(std::move(socket), *context), context,
                                                               std::move(rules), std::move(open), std::move(on_gone));
    secured->start(side);
    return secured;
  }

  void look_at_files() {
    look_.expires_after(std::chrono::nanoseconds(static_cast<std::int64_t>(shared_->config.look_at_files_s * 1e9)));
    look_.async_wait([this](error_code error) {
      if (error || shared_->stopping) return;
      if (identity_->files_changed())
        if (Status status = identity_->reload(); !status.ok()) shared_->trouble(status);
      look_at_files();
    });
  }

  const std::shared_ptr<HostShared> shared_;
  const std::unique_ptr<TlsIdentity> identity_;  // null: no TLS
  asio::executor_work_guard<asio::io_context::executor_type> guard_;
  asio::steady_timer look_;
  std::vector<std::shared_ptr<LinkListener>> listeners_;  // on the thread, as dialers_
  std::vector<std::weak_ptr<Dialer>> dialers_;
  std::thread thread_;
};

Status check_config(const LinkHostConfig& config) {
  if (Status status = handshake::validate(config.mine); !status.ok()) return usage_error("hello: " + status.message());
  return check_name(config.mine.node);
}

}  // namespace

Expected<std::unique_ptr<LinkHost>> LinkHost::start(LinkHostConfig config) {
  if (Status status = check_config(config); !status.ok()) return fail(std::move(status));
  std::unique_ptr<TlsIdentity> identity;
  if (config.tls) {
    auto loaded = TlsIdentity::load(*config.tls);
    if (!loaded) return fail(loaded.error());
    identity = std::move(*loaded);
    if (Status status = check_speaker(identity->name(), config.mine); !status.ok())
      return fail(usage_error("this process: " + status.message() + " (" + config.tls->certificate + ")"));
  }
  auto host = std::make_unique<Host>(std::move(config), std::move(identity));
  host->run();
  return host;
}

}  // namespace herd::link
