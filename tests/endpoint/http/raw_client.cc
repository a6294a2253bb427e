#include "raw_client.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <gtest/gtest.h>

#include <algorithm>
#include <cerrno>
#include <utility>

namespace herd::http {

RawClient::RawClient(std::uint16_t port, int receive_bytes) : fd_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
  if (receive_bytes > 0) setsockopt(fd_, SOL_SOCKET, SO_RCVBUF, &receive_bytes, sizeof receive_bytes);
  const timeval wait{30, 0};
  setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
  setsockopt(fd_, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof wait);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) ADD_FAILURE() << "connect: " << errno;
}

RawClient::~RawClient() { close(); }

void RawClient::close() {
  if (fd_ >= 0) ::close(std::exchange(fd_, -1));
}

void RawClient::reset() {
  const linger none{1, 0};
  setsockopt(fd_, SOL_SOCKET, SO_LINGER, &none, sizeof none);
  close();
}

void RawClient::shut_down() { shutdown(fd_, SHUT_WR); }

bool RawClient::send(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t sent = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent <= 0) {
      if (errno == EAGAIN) ADD_FAILURE() << "the server reads nothing";
      return false;
    }
    bytes.remove_prefix(static_cast<std::size_t>(sent));
  }
  return true;
}

bool RawClient::receive() {
  if (ended_) return false;
  char bytes[16 * 1024];
  const ssize_t size = recv(fd_, bytes, sizeof bytes, 0);
  if (size < 0 && errno == EAGAIN) ADD_FAILURE() << "nothing came for 30 s";
  if (size <= 0) {
    ended_ = true;
    return false;
  }
  buffer_.append(bytes, static_cast<std::size_t>(size));
  return true;
}

std::optional<std::string> RawClient::read_line() {
  std::size_t end = 0;
  while ((end = buffer_.find("\r\n")) == std::string::npos) {
    if (!receive()) return {};
  }
  std::string line = buffer_.substr(0, end);
  buffer_.erase(0, end + 2);
  return line;
}

std::optional<std::string> RawClient::read_bytes(std::size_t size) {
  while (buffer_.size() < size) {
    if (!receive()) return {};
  }
  std::string bytes = buffer_.substr(0, size);
  buffer_.erase(0, size);
  return bytes;
}

std::optional<WireAnswer> RawClient::read_head() {
  WireAnswer answer;
  for (;;) {
    std::optional<std::string> line = read_line();
    if (!line) return {};
    if (line->empty()) break;
    std::ranges::transform(*line, line->begin(), [](char c) { return c >= 'A' && c <= 'Z' ? char(c + 32) : c; });
    answer.head += *line + "\n";
  }
  if (!answer.head.starts_with("http/1.1 ")) ADD_FAILURE() << "no status line: " << answer.head;
  answer.status = std::atoi(answer.head.c_str() + 9);
  answer.chunked = answer.has("\ntransfer-encoding: chunked\n");
  return answer;
}

std::optional<std::string> RawClient::read_chunk() {
  const std::optional<std::string> size = read_line();
  if (!size) return {};
  std::optional<std::string> chunk = read_bytes(std::stoul(*size, nullptr, 16));
  if (!chunk || !read_bytes(2)) return {};
  return chunk;
}

std::optional<WireAnswer> RawClient::read_answer(bool head_only) {
  std::optional<WireAnswer> answer = read_head();
  if (!answer || head_only || answer->status < 200 || answer->status == 204) return answer;
  if (answer->chunked) {
    for (;;) {
      std::optional<std::string> chunk = read_chunk();
      if (!chunk) return {};
      if (chunk->empty()) return answer;
      answer->body += *chunk;
      answer->chunks.push_back(std::move(*chunk));
    }
  }
  const std::size_t at = answer->head.find("\ncontent-length: ");
  if (at == std::string::npos) {
    answer->body = read_to_end();
    return answer;
  }
  std::optional<std::string> body = read_bytes(std::stoul(answer->head.substr(at + 17)));
  if (!body) return {};
  answer->body = std::move(*body);
  return answer;
}

std::string RawClient::read_to_end() {
  while (receive()) {
  }
  return std::exchange(buffer_, {});
}

}  // namespace herd::http
