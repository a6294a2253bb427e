// A small HTTP/1.1 server on 127.0.0.1 for tests; see the header.

#include "tests/commands/load/fake_endpoint.h"

#include <cstdlib>
#include <cstring>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include "kernels/check.h"

namespace herd::load {

void FakeExchange::send(std::string_view bytes) const {
  while (!bytes.empty()) {
    const ssize_t sent = ::send(socket, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent <= 0) return;  // the client has gone: what the tests of interruption want
    bytes.remove_prefix(static_cast<std::size_t>(sent));
  }
}

void FakeExchange::chunk(std::string_view bytes) const {
  char size[32];
  std::snprintf(size, sizeof size, "%zx\r\n", bytes.size());
  send(std::string(size).append(bytes).append("\r\n"));
}

void FakeExchange::stream_head() const {
  send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n");
}

void FakeExchange::answer(int status, const std::string& extra_head, const std::string& text) const {
  send("HTTP/1.1 " + std::to_string(status) + " Said\r\nContent-Length: " + std::to_string(text.size()) + "\r\n" +
       extra_head + "\r\n" + text);
}

FakeEndpoint::FakeEndpoint(Handler handler) : handler_(std::move(handler)) {
  listener_ = ::socket(AF_INET, SOCK_STREAM, 0);
  HERD_CHECK(listener_ >= 0, "no socket");
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  HERD_CHECK(::bind(listener_, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0, "no port");
  socklen_t size = sizeof address;
  HERD_CHECK(::getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size) == 0, "no name");
  port_ = ntohs(address.sin_port);
  HERD_CHECK(::listen(listener_, 128) == 0, "cannot listen");
  acceptor_ = std::thread([this] { accept_all(); });
}

FakeEndpoint::~FakeEndpoint() {
  ::shutdown(listener_, SHUT_RDWR);
  acceptor_.join();
  ::close(listener_);
  {
    const std::lock_guard lock(mutex_);
    for (const int socket : sockets_) ::shutdown(socket, SHUT_RDWR);
  }
  for (std::thread& thread : threads_) thread.join();
  for (const int socket : sockets_) ::close(socket);
}

std::vector<std::string> FakeEndpoint::bodies() {
  const std::lock_guard lock(mutex_);
  return bodies_;
}

void FakeEndpoint::accept_all() {
  for (;;) {
    const int socket = ::accept(listener_, nullptr, nullptr);
    if (socket < 0) return;
    const int on = 1;
    ::setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    const std::lock_guard lock(mutex_);
    sockets_.push_back(socket);
    threads_.emplace_back([this, socket, connection = connections_++] { serve(socket, connection); });
  }
}

void FakeEndpoint::serve(int socket, int connection) {
  std::string bytes;
  for (int nth = 0;; ++nth) {
    std::size_t end = 0;
    std::size_t need = std::string::npos;
    while (bytes.size() < need) {
      if (need == std::string::npos && (end = bytes.find("\r\n\r\n")) != std::string::npos) {
        const std::size_t at = bytes.find("Content-Length: ");
        need = end + 4 + (at < end ? std::strtoul(bytes.c_str() + at + 16, nullptr, 10) : 0);
        continue;
      }
      char piece[4096];
      const ssize_t got = ::recv(socket, piece, sizeof piece, 0);
      if (got <= 0) return;
      bytes.append(piece, static_cast<std::size_t>(got));
    }
    FakeExchange exchange;
    exchange.line = bytes.substr(0, bytes.find("\r\n"));
    exchange.head = bytes.substr(0, end + 2);
    exchange.body = bytes.substr(end + 4, need - end - 4);
    exchange.connection = connection;
    exchange.nth = nth;
    exchange.socket = socket;
    bytes.erase(0, need);
    {
      const std::lock_guard lock(mutex_);
      bodies_.push_back(exchange.body);
    }
    if (!handler_(exchange)) {
      ::shutdown(socket, SHUT_RDWR);
      return;
    }
  }
}

std::string token_event(const std::string& text) {
  return "data: {\"choices\":[{\"index\":0,\"text\":\"" + text + "\",\"finish_reason\":null}]}\n\n";
}

std::string chat_event(const std::string& delta) {
  return "data: {\"choices\":[{\"index\":0,\"delta\":" + delta + ",\"finish_reason\":null}]}\n\n";
}

std::string usage_event(int prompt_tokens, int completion_tokens) {
  return "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":" + std::to_string(prompt_tokens) +
         ",\"completion_tokens\":" + std::to_string(completion_tokens) + "}}\n\n";
}

}  // namespace herd::load
