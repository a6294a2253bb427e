#pragma once
// HeldPort: a port of 127.0.0.1 that is kept for a process which will listen on it, now and whenever it is started again: bound
// here, but not listened on, so that nobody else is given it meanwhile (socket(7), SO_REUSEADDR).

#include <cstdint>
#include <utility>

#include "kernels/status.h"

namespace herd::up {

class HeldPort {
 public:
  // `port` 0: any free one. kMissing: it is in use.
  static Expected<HeldPort> take(std::uint16_t port);
  ~HeldPort();
  HeldPort(HeldPort&& other) noexcept : fd_(std::exchange(other.fd_, -1)), port_(other.port_) {}
  HeldPort& operator=(HeldPort&&) = delete;

  [[nodiscard]] std::uint16_t port() const { return port_; }

 private:
  HeldPort(int fd, std::uint16_t port) : fd_(fd), port_(port) {}
  int fd_;
  std::uint16_t port_;
};

}  // namespace herd::up
