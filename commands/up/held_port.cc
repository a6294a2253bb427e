#include "commands/up/held_port.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>

namespace herd::up {

Expected<HeldPort> HeldPort::take(std::uint16_t port) {
  HeldPort held(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), port);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(port);
  socklen_t size = sizeof address;
  const int yes = 1;
  if (held.fd_ < 0 || ::setsockopt(held.fd_, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes) != 0 ||
      ::bind(held.fd_, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 ||
      ::getsockname(held.fd_, reinterpret_cast<sockaddr*>(&address), &size) != 0)
    return fail(missing("port " + std::to_string(port) + " of 127.0.0.1: " + std::strerror(errno)));
  held.port_ = ntohs(address.sin_port);
  return held;
}

HeldPort::~HeldPort() {
  if (fd_ >= 0) ::close(fd_);
}

}  // namespace herd::up
