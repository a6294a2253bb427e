#include "commands/up/held_port.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <gtest/gtest.h>

namespace herd::up {
namespace {

// As our servers do it.
int listening_socket(std::uint16_t port) {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const int yes = 1;
  ::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(port);
  if (::bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0 && ::listen(fd, 8) == 0) return fd;
  ::close(fd);
  return -1;
}

TEST(HeldPort, IsThereForAServerNowAndAgain) {
  const auto held = HeldPort::take(0);
  ASSERT_TRUE(held) << held.error().message();
  ASSERT_NE(held->port(), 0);
  for (int i = 0; i < 2; ++i) {
    const int server = listening_socket(held->port());
    ASSERT_GE(server, 0);
    ::close(server);
  }
}

TEST(HeldPort, OneInUseIsRefused) {
  const auto held = HeldPort::take(0);
  ASSERT_TRUE(held);
  const int server = listening_socket(held->port());
  const auto again = HeldPort::take(held->port());
  ::close(server);
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error(), missing("port " + std::to_string(held->port()) + " of 127.0.0.1: Address already in use"));
}

// Neither listens: sockets alone would let both have it.
TEST(HeldPort, IsHeldOnce) {
  const auto held = HeldPort::take(0);
  ASSERT_TRUE(held);
  const auto again = HeldPort::take(held->port());
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().code(), StatusCode::kMissing);
}

}  // namespace
}  // namespace herd::up
