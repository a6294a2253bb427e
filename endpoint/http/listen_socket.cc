#include "endpoint/http/listen_socket-inl.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <boost/asio/ip/v6_only.hpp>
#include <cerrno>
#include <optional>
#include <string>

#include "kernels/process_limits.h"

namespace herd::http {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;

constexpr int kBacklog = 4096;

// An IPv4 address that came in over an IPv6 socket, as itself.
asio::ip::address unmapped(const asio::ip::address& address) {
  if (!address.is_v6() || !address.to_v6().is_v4_mapped()) return address;
  return asio::ip::make_address_v4(asio::ip::v4_mapped, address.to_v6());
}

Expected<tcp::endpoint> resolve(asio::io_context& context, const std::string& host, std::uint16_t port) {
  std::string name = host;
  if (name.size() > 2 && name.front() == '[' && name.back() == ']') name = name.substr(1, name.size() - 2);
  if (name.empty()) return fail(usage_error("the host to listen on is empty"));
  error_code error;
  const asio::ip::address address = asio::ip::make_address(name, error);
  if (!error) return tcp::endpoint(address, port);
  tcp::resolver resolver(context);
  const auto found = resolver.resolve(name, std::to_string(port), tcp::resolver::passive, error);
  if (error || found.empty()) {
    return fail(usage_error("cannot listen on host '" + host + "': " + (error ? error.message() : "no address")));
  }
  for (const auto& entry : found) {
    if (entry.endpoint().address().is_v4()) return entry.endpoint();
  }
  return found.begin()->endpoint();
}

Expected<tcp::acceptor> adopt(asio::io_context& context, int fd) {
  int listening = 0;
  socklen_t size = sizeof listening;
  sockaddr_storage name{};
  socklen_t name_size = sizeof name;
  if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &size) != 0 || listening == 0 ||
      getsockname(fd, reinterpret_cast<sockaddr*>(&name), &name_size) != 0 ||
      (name.ss_family != AF_INET && name.ss_family != AF_INET6)) {
    return fail(usage_error("descriptor " + std::to_string(fd) + " is no listening TCP socket"));
  }
  tcp::acceptor acceptor(context);
  error_code error;
  acceptor.assign(name.ss_family == AF_INET ? tcp::v4() : tcp::v6(), fd, error);
  if (!error) acceptor.native_non_blocking(true, error);
  if (error || fcntl(fd, F_SETFD, FD_CLOEXEC) != 0)
    return fail(missing("descriptor " + std::to_string(fd) + ": " + error.message()));
  return acceptor;
}

// As acceptor.open(), close-on-exec from the first moment.
void open_cloexec(tcp::acceptor& acceptor, const tcp& protocol, error_code& error) {
  const int fd = socket(protocol.family(), SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, protocol.protocol());
  if (fd < 0) {
    error.assign(errno, boost::system::system_category());
    return;
  }
  acceptor.assign(protocol, fd, error);
  if (error) close(fd);
}

}  // namespace

std::string address_text(const tcp::endpoint& endpoint) {
  const asio::ip::address address = unmapped(endpoint.address());
  const std::string text = address.to_string();
  return (address.is_v6() ? "[" + text + "]" : text) + ":" + std::to_string(endpoint.port());
}

Expected<tcp::acceptor> open_listen_socket(asio::io_context& context, const HttpServerConfig& config) {
  if (config.listen_fd >= 0) return adopt(context, config.listen_fd);
  const auto endpoint = resolve(context, config.host, config.port);
  if (!endpoint) return fail(endpoint.error());
  tcp::acceptor acceptor(context);
  error_code error;
  open_cloexec(acceptor, endpoint->protocol(), error);
  if (!error) acceptor.set_option(tcp::acceptor::reuse_address(true), error);
  if (!error && endpoint->address().is_v6() && endpoint->address().is_unspecified()) {
    acceptor.set_option(asio::ip::v6_only(false), error);  // "::" is every address
  }
  if (!error) acceptor.bind(*endpoint, error);
  if (!error) acceptor.listen(kBacklog, error);
  if (error == asio::error::address_in_use) {
    return fail(missing("address " + address_text(*endpoint) + " is already in use"));
  }
  if (error) return fail(missing("cannot listen on " + address_text(*endpoint) + ": " + system_error_text(error.value())));
  return acceptor;
}

int accept_waiting(tcp::acceptor& acceptor, tcp::endpoint& peer, error_code& error) {
  socklen_t size = static_cast<socklen_t>(peer.capacity());
  const int fd = accept4(acceptor.native_handle(), peer.data(), &size, SOCK_CLOEXEC | SOCK_NONBLOCK);
  if (fd < 0) {
    error.assign(errno, boost::system::system_category());
    return -1;
  }
  peer.resize(size);
  error = {};
  return fd;
}

}  // namespace herd::http
