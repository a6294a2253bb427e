#pragma once
// RequestBody: the body of one request while it comes: its framing, its bounds, and how long it may take. Knows no
// socket and no clock. The session's part of it: to refuse what announces more than the limit, before a byte of it came.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "endpoint/http/chunked_body.h"
#include "endpoint/http/http_head.h"
#include "endpoint/http/http_limits.h"
#include "runtime/clock.h"

namespace herd::http {

class RequestBody {
 public:
  // Refers to `limits`.
  explicit RequestBody(const HttpLimits& limits) : limits_(&limits) {}

  // A new body of at most `bytes_max`, which begins now; `head` announced it.
  void begin(const ParsedHead& head, std::size_t bytes_max, Instant now);
  // Bytes that came, as sent: with the framing, used or not.
  void on_received(std::size_t bytes) { received_ += bytes; }
  // Takes what belongs to the body off the front of `input`. kRefused: refusal() says why.
  ReadStep read(std::string_view& input);

  [[nodiscard]] const Refusal& refusal() const { return chunked_->refusal(); }
  // The whole body's time, or the moment at which what has come would be too little: grace + received / rate.
  [[nodiscard]] Instant deadline() const;
  [[nodiscard]] std::string take();  // once read() says kDone

 private:
  const HttpLimits* limits_;
  std::string bytes_;
  std::uint64_t length_ = 0;  // announced, without chunks
  std::optional<ChunkedBody> chunked_;
  Instant begun_;
  std::uint64_t received_ = 0;
};

}  // namespace herd::http
