#pragma once
// ChunkedBody: decodes "Transfer-Encoding: chunked" (RFC 9112, 7.1). Pure and incremental, with bounds on everything
// that is not payload: extensions are skipped, trailers are checked and dropped. The verdict does not depend on the
// pieces.

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "endpoint/http/http_head.h"

namespace herd::http {

class ChunkedBody {
 public:
  // `payload_max`: bytes of the decoded body; more is a 413.
  explicit ChunkedBody(std::size_t payload_max) : payload_max_(payload_max) {}

  // Appends the payload found to `body`; returns how many bytes of `bytes` belong to the body: all of them, unless the
  // body ended or was refused within them.
  std::size_t feed(std::string_view bytes, std::string& body);

  [[nodiscard]] ReadStep step() const { return step_; }
  [[nodiscard]] const Refusal& refusal() const { return refusal_; }

 private:
  enum class State { kSize, kSizeBlank, kExtension, kSizeEnd, kData, kDataCr, kDataLf, kTrailer, kTrailerEnd };

  void refuse(int status, const char* why);
  void on_byte(unsigned char byte);
  void on_size_byte(unsigned char byte);
  void on_size_end();
  void on_trailer_byte(unsigned char byte);
  void on_trailer_line();
  void count_overhead(int status, const char* why);

  std::size_t payload_max_;
  State state_ = State::kSize;
  ReadStep step_ = ReadStep::kMore;
  Refusal refusal_;
  int size_digits_ = 0;
  std::uint64_t chunk_left_ = 0;
  std::size_t payload_ = 0;   // announced so far
  std::size_t overhead_ = 0;  // bytes of extensions and trailers
  std::string trailer_line_;
};

}  // namespace herd::http
