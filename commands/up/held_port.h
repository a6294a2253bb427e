#pragma once
// HeldPort: a port of 127.0.0.1 that is kept for a process which will listen on it, now and whenever it is started again: bound
// here, but not listened on, so that nobody else is given it meanwhile (socket(7), SO_REUSEADDR). Two that hold one port would not
// notice each other: a name of this machine's sockets tells them apart (unix(7), abstract sockets).

#include <cstdint>
#include <utility>

#include "kernels/status.h"

namespace herd::up {

class HeldPort {
 public:
  // `port` 0: any free one. kMissing: it is in use.
  static Expected<HeldPort> take(std::uint16_t port);
  ~HeldPort();
  HeldPort(HeldPort&& other) noexcept
      : fd_(std::exchange(other.fd_, -1)), name_(std::exchange(other.name_, -1)), port_(other.port_) {}
  HeldPort& operator=(HeldPort&&) = delete;

  [[nodiscard]] std::uint16_t port() const { return port_; }

 private:
  HeldPort() = default;
  [[nodiscard]] bool bind(std::uint16_t port);
  [[nodiscard]] bool take_name();

  int fd_ = -1;
  int name_ = -1;
  std::uint16_t port_ = 0;
};

}  // namespace herd::up
