#pragma once
// Descriptors from one process of a machine to another, each under a name, over a socket pair of their own (SCM_RIGHTS). No CAF.

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "kernels/status.h"

namespace herd::children {

inline constexpr std::size_t kDescriptorNameBytesMax = 200;
inline constexpr std::size_t kDescriptorsWaitingMax = 64;  // that came and nobody took: the oldest is closed beyond it

// A descriptor, closed with its owner.
class OwnedFd {
 public:
  OwnedFd() = default;
  explicit OwnedFd(int fd) : fd_(fd) {}
  ~OwnedFd() { reset(); }
  OwnedFd(OwnedFd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  OwnedFd& operator=(OwnedFd&& other) noexcept {
    if (this != &other) {
      reset();
      fd_ = std::exchange(other.fd_, -1);
    }
    return *this;
  }
  [[nodiscard]] int get() const { return fd_; }
  [[nodiscard]] int release() { return std::exchange(fd_, -1); }
  [[nodiscard]] explicit operator bool() const { return fd_ >= 0; }
  void reset();

 private:
  int fd_ = -1;
};

// Both ends close-on-exec. SOCK_SEQPACKET for descriptors, SOCK_STREAM for a link (LinkHost::adopt). kMissing: no descriptors left.
[[nodiscard]] Expected<std::pair<OwnedFd, OwnedFd>> descriptor_socket_pair();
[[nodiscard]] Expected<std::pair<OwnedFd, OwnedFd>> link_socket_pair();

// Gives a copy of `fd` to the other end, without waiting. kAborted: the other end is gone; kOverloaded: it does not read.
[[nodiscard]] Status send_descriptor(int socket, const std::string& name, int fd);

// The other end: takes what comes, on a thread of its own, and keeps it until somebody asks. Any thread.
class DescriptorInbox {
 public:
  // Called on the inbox's thread when one of that name has come and can be taken; short, and not the inbox's end.
  using OnCame = std::function<void(const std::string& name)>;

  explicit DescriptorInbox(OwnedFd socket, OnCame on_came = {});
  ~DescriptorInbox();
  DescriptorInbox(const DescriptorInbox&) = delete;
  DescriptorInbox& operator=(const DescriptorInbox&) = delete;

  // The descriptor of that name, once it is there. kAborted: it did not come in `patience`, or the sender is gone.
  [[nodiscard]] Expected<OwnedFd> take(const std::string& name, std::chrono::milliseconds patience);
  // Nothing comes any more, OnCame is not called after this returns, and nobody waits for a descriptor. Its owner's thread; repeatable.
  void stop();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace herd::children
