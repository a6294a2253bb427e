#include "commands/up/held_port.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstring>
#include <string>

#include "kernels/process_limits.h"

namespace herd::up {
namespace {

constexpr int kTriesMax = 100;  // of any free port, when others hold the one that the kernel gave

}  // namespace

Expected<HeldPort> HeldPort::take(std::uint16_t port) {
  for (int tries = 1;; ++tries) {
    HeldPort held;
    if (held.bind(port) && held.take_name()) return held;
    if (port != 0 || errno != EADDRINUSE || tries == kTriesMax)
      return fail(missing("port " + std::to_string(port) + " of 127.0.0.1: " + system_error_text(errno)));
  }
}

bool HeldPort::bind(std::uint16_t port) {
  fd_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(port);
  socklen_t size = sizeof address;
  const int yes = 1;
  if (fd_ < 0 || ::setsockopt(fd_, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes) != 0 ||
      ::bind(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 ||
      ::getsockname(fd_, reinterpret_cast<sockaddr*>(&address), &size) != 0)
    return false;
  port_ = ntohs(address.sin_port);
  return true;
}

bool HeldPort::take_name() {
  const std::string name = "herd-held-port-" + std::to_string(port_);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path + 1, name.data(), name.size());  // a first byte of 0: no file
  name_ = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + name.size());
  return name_ >= 0 && ::bind(name_, reinterpret_cast<sockaddr*>(&address), size) == 0;
}

HeldPort::~HeldPort() {
  if (fd_ >= 0) ::close(fd_);
  if (name_ >= 0) ::close(name_);
}

}  // namespace herd::up
