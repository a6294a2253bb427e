#include "actors/children/descriptor_channel.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <condition_variable>
#include <csignal>
#include <cstring>
#include <deque>
#include <mutex>
#include <optional>
#include <system_error>
#include <thread>

#include "kernels/check.h"
#include "kernels/process_limits.h"

namespace herd::children {
namespace {

Expected<std::pair<OwnedFd, OwnedFd>> socket_pair(int type, const char* what) {
  int ends[2] = {-1, -1};
  if (socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, ends) != 0)
    return fail(missing(std::string("a socket pair for ") + what + ": " + system_error_text(errno)));
  return std::pair{OwnedFd(ends[0]), OwnedFd(ends[1])};
}

// Of one descriptor.
union Control {
  cmsghdr align;
  char bytes[CMSG_SPACE(sizeof(int))];
};

// All descriptors of a message are taken, so that none of them is left open without an owner.
OwnedFd first_descriptor(msghdr& message) {
  OwnedFd first;
  for (cmsghdr* part = CMSG_FIRSTHDR(&message); part != nullptr; part = CMSG_NXTHDR(&message, part)) {
    if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS) continue;
    const std::size_t count = (part->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (std::size_t i = 0; i < count; ++i) {
      int fd = -1;
      std::memcpy(&fd, CMSG_DATA(part) + i * sizeof(int), sizeof fd);
      OwnedFd owned(fd);
      if (!first) first = std::move(owned);
    }
  }
  return first;
}

struct Named {
  std::string name;
  OwnedFd fd;
};
struct Received {
  bool ended = false;          // the sender is gone
  std::optional<Named> named;  // none: the message was no such thing
};

Received receive(int socket) {
  std::array<char, kDescriptorNameBytesMax> name{};
  Control control{};
  iovec data{name.data(), name.size()};
  msghdr message{};
  message.msg_iov = &data;
  message.msg_iovlen = 1;
  message.msg_control = control.bytes;
  message.msg_controllen = sizeof control.bytes;
  const ssize_t bytes = recvmsg(socket, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
  if (bytes < 0) return {.ended = errno != EAGAIN && errno != EINTR && errno != EMFILE && errno != ENFILE, .named = {}};
  OwnedFd fd = first_descriptor(message);
  if (bytes == 0) return {.ended = true, .named = {}};
  if (!fd || (message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0) return {};
  return {.ended = false, .named = Named{std::string(name.data(), static_cast<std::size_t>(bytes)), std::move(fd)}};
}

}  // namespace

void OwnedFd::reset() {
  if (fd_ >= 0) ::close(std::exchange(fd_, -1));
}

Expected<std::pair<OwnedFd, OwnedFd>> descriptor_socket_pair() { return socket_pair(SOCK_SEQPACKET, "descriptors"); }
Expected<std::pair<OwnedFd, OwnedFd>> link_socket_pair() { return socket_pair(SOCK_STREAM, "a connection"); }

Status send_descriptor(int socket, const std::string& name, int fd) {
  HERD_CHECK(!name.empty() && name.size() <= kDescriptorNameBytesMax, "a descriptor's name has 1 to 200 bytes");
  Control control{};
  iovec data{const_cast<char*>(name.data()), name.size()};
  msghdr message{};
  message.msg_iov = &data;
  message.msg_iovlen = 1;
  message.msg_control = control.bytes;
  message.msg_controllen = sizeof control.bytes;
  cmsghdr* const part = CMSG_FIRSTHDR(&message);
  part->cmsg_level = SOL_SOCKET;
  part->cmsg_type = SCM_RIGHTS;
  part->cmsg_len = CMSG_LEN(sizeof fd);
  std::memcpy(CMSG_DATA(part), &fd, sizeof fd);
  ssize_t sent = -1;
  do {
    sent = sendmsg(socket, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
  } while (sent < 0 && errno == EINTR);
  if (sent >= 0) return {};
  const bool full = errno == EAGAIN || errno == ETOOMANYREFS || errno == ENOBUFS || errno == ENOMEM;
  return {full ? StatusCode::kOverloaded : StatusCode::kAborted, "descriptor \"" + name + "\": " + system_error_text(errno)};
}

struct DescriptorInbox::Impl {
  Impl(OwnedFd given, OnCame told) : socket(std::move(given)), on_came(std::move(told)), stop(eventfd(0, EFD_CLOEXEC)) {
    HERD_CHECK(stop, "a descriptor to stop the inbox with");
    // Signals are for the threads that wait for them.
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    thread = std::thread([this] { run(); });
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
  }
  ~Impl() { finish(); }
  void finish() {
    if (!thread.joinable()) return;
    end();
    const std::uint64_t one = 1;
    HERD_CHECK(::write(stop.get(), &one, sizeof one) == sizeof one, "an event is counted");
    thread.join();
  }
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

  void run() {
    pollfd waiting[2] = {{socket.get(), POLLIN, 0}, {stop.get(), POLLIN, 0}};
    for (;;) {
      if (::poll(waiting, 2, -1) < 0) continue;
      if (waiting[1].revents != 0) return;
      Received received = receive(socket.get());
      if (received.named) put(std::move(*received.named));
      if (received.ended) return end();
    }
  }

  void put(Named named) {
    const std::string name = named.name;
    {
      const std::scoped_lock lock(mutex);
      waiting.push_back(std::move(named));
      if (waiting.size() > kDescriptorsWaitingMax) waiting.pop_front();
      changed.notify_all();
    }
    if (on_came) on_came(name);
  }

  void end() {
    const std::scoped_lock lock(mutex);
    ended = true;
    changed.notify_all();
  }

  const OwnedFd socket;
  const OnCame on_came;
  const OwnedFd stop;
  std::mutex mutex;  // of the below
  std::condition_variable changed;
  std::deque<Named> waiting;  // oldest first
  bool ended = false;
  std::thread thread;
};

DescriptorInbox::DescriptorInbox(OwnedFd socket, OnCame on_came)
    : impl_(std::make_unique<Impl>(std::move(socket), std::move(on_came))) {}
DescriptorInbox::~DescriptorInbox() = default;
void DescriptorInbox::stop() { impl_->finish(); }

Expected<OwnedFd> DescriptorInbox::take(const std::string& name, std::chrono::milliseconds patience) {
  std::unique_lock lock(impl_->mutex);
  auto found = impl_->waiting.end();
  const auto is_there = [&] {
    found = std::ranges::find(impl_->waiting, name, &Named::name);
    return found != impl_->waiting.end();
  };
  if (!impl_->changed.wait_for(lock, patience, [&] { return is_there() || impl_->ended; }))
    return fail({StatusCode::kAborted, "descriptor \"" + name + "\" did not come within " + std::to_string(patience.count()) + " ms"});
  if (!is_there()) return fail({StatusCode::kAborted, "descriptor \"" + name + "\": who would send it is gone"});
  OwnedFd fd = std::move(found->fd);
  impl_->waiting.erase(found);
  return fd;
}

}  // namespace herd::children
