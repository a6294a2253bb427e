#pragma once
// RawClient: a client that sends the bytes it is told to and reads an answer chunk by chunk, so that tests see what is
// on the wire. Blocking; every wait ends after 30 s as a failed test.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace herd::http {

struct WireAnswer {
  int status = 0;
  std::string head;  // status line and headers, lower case
  std::string body;
  std::vector<std::string> chunks;
  bool chunked = false;

  [[nodiscard]] bool has(std::string_view text) const { return head.find(text) != std::string::npos; }
};

class RawClient {
 public:
  // receive_bytes > 0: SO_RCVBUF, for readers that are meant to be slow.
  explicit RawClient(std::uint16_t port, int receive_bytes = 0);
  ~RawClient();
  RawClient(RawClient&& other) noexcept : fd_(std::exchange(other.fd_, -1)), buffer_(std::move(other.buffer_)) {}
  RawClient(const RawClient&) = delete;

  // False: the server closed (some bytes may have gone).
  bool send(std::string_view bytes);
  // Nothing: the connection ended before the answer was whole. "100 Continue" is an answer of its own.
  std::optional<WireAnswer> read_answer(bool head_only = false);
  // The next chunk of a stream whose head was read.
  std::optional<std::string> read_chunk();
  std::optional<WireAnswer> read_head();
  // Everything up to the end of the connection, orderly or not.
  std::string read_to_end();
  [[nodiscard]] int descriptor() const { return fd_; }
  void shut_down();  // our side only
  void close();
  void reset();  // RST

 private:
  bool receive();
  std::optional<std::string> read_line();
  std::optional<std::string> read_bytes(std::size_t size);

  int fd_ = -1;
  std::string buffer_;
  bool ended_ = false;
};

}  // namespace herd::http
