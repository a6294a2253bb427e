#include "actors/link/link_listener-inl.h"

#include <unistd.h>

#include "kernels/process_limits.h"
#include "runtime/text/address_text.h"

namespace herd::link {
namespace {

using tcp = asio::ip::tcp;

constexpr int kBacklog = 256;
constexpr int kAcceptedTogether = 64;  // before others on the thread have their turn
constexpr std::chrono::milliseconds kPause{100};

std::string text_of(const tcp::endpoint& endpoint) {
  return text::address_text(endpoint.address().to_string(), endpoint.port());
}

void close_hard(int fd) {
  constexpr linger kAtOnce{1, 0};
  setsockopt(fd, SOL_SOCKET, SO_LINGER, &kAtOnce, sizeof kAtOnce);
  ::close(fd);
}

}  // namespace

Expected<std::shared_ptr<LinkListener>> LinkListener::open(std::shared_ptr<HostShared> shared, const tcp::endpoint& at, Begin begin) {
  std::shared_ptr<LinkListener> listener(new LinkListener(std::move(shared), std::move(begin)));
  tcp::acceptor& acceptor = listener->acceptor_;
  error_code error;
  const int fd = ::socket(at.protocol().family(), SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_TCP);
  if (fd < 0) return fail(missing("no socket: " + system_error_text(errno)));
  acceptor.assign(at.protocol(), fd, error);
  if (!error) acceptor.set_option(tcp::acceptor::reuse_address(true), error);
  if (!error) acceptor.bind(at, error);
  if (!error) acceptor.listen(kBacklog, error);
  if (!error) listener->port_ = acceptor.local_endpoint(error).port();
  if (error) return fail(missing("cannot listen on " + text_of(at) + ": " + system_error_text(error.value())));
  return listener;
}

void LinkListener::wait() {
  acceptor_.async_wait(tcp::acceptor::wait_read, [self = shared_from_this()](error_code error) {
    for (int i = 0; !error && i < kAcceptedTogether; ++i) self->accept_waiting(error);
    if (!self->acceptor_.is_open()) return;
    if (error != boost::system::errc::too_many_files_open && error != boost::system::errc::too_many_files_open_in_system &&
        error != boost::system::errc::no_buffer_space && error != boost::system::errc::not_enough_memory)
      return self->wait();
    // Those who connect wait in the backlog meanwhile.
    self->pause_.expires_after(kPause);
    self->pause_.async_wait([self](error_code cancelled) {
      if (!cancelled) self->wait();
    });
  });
}

void LinkListener::accept_waiting(error_code& error) {
  tcp::endpoint peer;
  auto size = static_cast<socklen_t>(peer.capacity());
  const int fd = accept4(acceptor_.native_handle(), peer.data(), &size, SOCK_CLOEXEC | SOCK_NONBLOCK);
  if (fd < 0) {
    error.assign(errno, boost::system::system_category());
    return;
  }
  peer.resize(size);
  ++shared_->accepted;
  if (shared_->half_open >= shared_->config.half_open_max || shared_->accepted_now >= shared_->config.accepted_max) {
    ++shared_->turned_away;
    return close_hard(fd);
  }
  begin_(PlainStream(shared_->context, asio::generic::stream_protocol(peer.protocol().family(), IPPROTO_TCP), fd), text_of(peer));
}

}  // namespace herd::link
