#include "commands/systemd_service.h"

#include <charconv>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <string>

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "runtime/steady_clock.h"

namespace herd::commands {
namespace {

constexpr int kFirstSocket = 3;  // SD_LISTEN_FDS_START
constexpr int kSocketsMax = 16;

// 0: it is not set, or no number.
template <class Number>
Number number_in(const char* name) {
  const char* text = std::getenv(name);
  if (text == nullptr) return 0;
  Number number = 0;
  const auto [end, error] = std::from_chars(text, text + std::strlen(text), number);
  return error == std::errc{} && *end == 0 ? number : 0;
}

// Of the manager's socket; nullptr: there is none.
const char* notify_path() {
  const char* path = std::getenv("NOTIFY_SOCKET");
  return path != nullptr && (path[0] == '/' || path[0] == '@') ? path : nullptr;
}

void send_to_manager(std::string_view state, int flags) {
  const char* path = notify_path();
  if (path == nullptr) return;
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::size_t length = std::strlen(path);
  if (length >= sizeof address.sun_path) return;
  std::memcpy(address.sun_path, path, length);
  if (path[0] == '@') address.sun_path[0] = 0;  // an abstract socket
  const int fd = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return;
  (void)::sendto(fd, state.data(), state.size(), MSG_NOSIGNAL | flags, reinterpret_cast<const sockaddr*>(&address),
                 static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + length));
  ::close(fd);
}

}  // namespace

std::vector<int> inherited_sockets() {
  if (number_in<pid_t>("LISTEN_PID") != ::getpid()) return {};
  std::vector<int> sockets;
  const int count = number_in<int>("LISTEN_FDS");
  for (int fd = kFirstSocket; fd < kFirstSocket + count && count <= kSocketsMax; ++fd) {
    int listening = 0;
    socklen_t size = sizeof listening;
    if (::getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &size) != 0 || listening == 0) continue;
    (void)::fcntl(fd, F_SETFD, FD_CLOEXEC);
    sockets.push_back(fd);
  }
  return sockets;
}

bool has_service_manager() { return notify_path() != nullptr; }

void notify_service_manager(std::string_view state) { send_to_manager(state, 0); }

void notify_reloading() {
  notify_service_manager("RELOADING=1\nMONOTONIC_USEC=" + std::to_string(steady_now().ns / 1000));
}

void notify_alive() { send_to_manager("WATCHDOG=1", MSG_DONTWAIT); }

std::optional<std::int64_t> watchdog_interval_us() {
  if (std::getenv("WATCHDOG_PID") != nullptr && number_in<pid_t>("WATCHDOG_PID") != ::getpid()) return std::nullopt;
  const auto interval_us = number_in<std::int64_t>("WATCHDOG_USEC");
  return interval_us > 0 ? std::optional(interval_us) : std::nullopt;
}

}  // namespace herd::commands
