// LinkListener: a port that takes connections while few of them are on their way. On the host's thread.
#pragma once

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "actors/link/link_connection-inl.h"

namespace herd::link {

class LinkListener final : public std::enable_shared_from_this<LinkListener> {
 public:
  using Begin = std::function<void(PlainStream, const std::string& address)>;

  // kMissing: the address is in use or not this machine's.
  static Expected<std::shared_ptr<LinkListener>> open(std::shared_ptr<HostShared> shared, const asio::ip::tcp::endpoint& at, Begin begin);

  void start() { wait(); }
  void stop() {
    error_code ignored;
    acceptor_.close(ignored);
    pause_.cancel();
  }
  [[nodiscard]] std::uint16_t port() const { return port_; }

 private:
  LinkListener(std::shared_ptr<HostShared> shared, Begin begin)
      : shared_(std::move(shared)), acceptor_(shared_->context), pause_(shared_->context), begin_(std::move(begin)) {}
  void wait();
  void accept_waiting(error_code& error);

  const std::shared_ptr<HostShared> shared_;
  asio::ip::tcp::acceptor acceptor_;
  asio::steady_timer pause_;
  const Begin begin_;
  std::uint16_t port_ = 0;
};

}  // namespace herd::link
