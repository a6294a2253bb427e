#include "endpoint/http/chunked_body.h"

#include <algorithm>

#include "runtime/text/hex.h"

namespace herd::http {
namespace {

constexpr int kSizeDigitsMax = 8;
constexpr std::size_t kOverheadBytesMax = 8 * 1024;  // of a whole body: no work for bytes that carry nothing

}  // namespace

void ChunkedBody::refuse(int status, const char* why) {
  refusal_ = {status, why};
  step_ = ReadStep::kRefused;
}

std::size_t ChunkedBody::feed(std::string_view bytes, std::string& body) {
  std::size_t used = 0;
  while (step_ == ReadStep::kMore && used < bytes.size()) {
    if (state_ == State::kData) {
      const auto run = static_cast<std::size_t>(std::min<std::uint64_t>(chunk_left_, bytes.size() - used));
      body.append(bytes.substr(used, run));
      used += run;
      chunk_left_ -= run;
      if (chunk_left_ == 0) state_ = State::kDataCr;
    } else {
      on_byte(static_cast<unsigned char>(bytes[used]));
      ++used;
    }
  }
  return used;
}

void ChunkedBody::on_byte(unsigned char byte) {
  switch (state_) {
    case State::kSize:
      return on_size_byte(byte);
    case State::kSizeBlank:
      if (byte == ';') state_ = State::kExtension;
      else if (byte != ' ' && byte != '\t') return refuse(400, "a chunk's size is not hexadecimal");
      return count_overhead(400, "the chunk extensions are too long");
    case State::kExtension:
      if (byte == '\r') {
        state_ = State::kSizeEnd;
      } else if (is_control(byte) && byte != '\t') {
        refuse(400, "a control character in a chunk's extension");
      } else {
        count_overhead(400, "the chunk extensions are too long");
      }
      return;
    case State::kSizeEnd:
      return byte == '\n' ? on_size_end() : refuse(400, "a chunk's size does not end in CRLF");
    case State::kDataCr:
      if (byte != '\r') return refuse(400, "a chunk is longer than its size");
      state_ = State::kDataLf;
      return;
    case State::kDataLf:
      if (byte != '\n') return refuse(400, "a chunk does not end in CRLF");
      state_ = State::kSize;
      return;
    case State::kTrailer:
      return on_trailer_byte(byte);
    case State::kTrailerEnd:
      return byte == '\n' ? on_trailer_line() : refuse(400, "a trailer does not end in CRLF");
    case State::kData:
      return;  // feed() takes it in runs
  }
}

void ChunkedBody::on_size_byte(unsigned char byte) {
  const int digit = text::hex_value(static_cast<char>(byte));
  if (digit >= 0) {
    if (++size_digits_ > kSizeDigitsMax) return refuse(400, "a chunk's size has more than 8 digits");
    chunk_left_ = chunk_left_ * 16 + static_cast<std::uint64_t>(digit);
  } else if (size_digits_ > 0 && byte == '\r') {
    state_ = State::kSizeEnd;
  } else if (size_digits_ > 0 && byte == ';') {
    state_ = State::kExtension;
  } else if (size_digits_ > 0 && (byte == ' ' || byte == '\t')) {
    state_ = State::kSizeBlank;  // RFC 9112, 7.1.1: blanks may stand before an extension, nowhere else
  } else {
    refuse(400, "a chunk's size is not hexadecimal");
  }
}

void ChunkedBody::on_size_end() {
  size_digits_ = 0;
  if (chunk_left_ == 0) {
    state_ = State::kTrailer;
    return;
  }
  if (chunk_left_ > payload_max_ - payload_) return refuse(413, "the body is too long");
  payload_ += static_cast<std::size_t>(chunk_left_);
  state_ = State::kData;
}

void ChunkedBody::on_trailer_byte(unsigned char byte) {
  if (byte == '\r') {
    state_ = State::kTrailerEnd;
  } else if (is_control(byte) && byte != '\t') {
    refuse(400, "a control character in a trailer");
  } else {
    trailer_line_.push_back(static_cast<char>(byte));
    count_overhead(431, "the trailers are too long");
  }
}

void ChunkedBody::on_trailer_line() {
  if (trailer_line_.empty()) {
    step_ = ReadStep::kDone;
    return;
  }
  const std::size_t colon = trailer_line_.find(':');
  if (colon == std::string::npos || !is_token(std::string_view(trailer_line_).substr(0, colon))) {
    return refuse(400, "a trailer is not NAME: VALUE");
  }
  trailer_line_.clear();
  state_ = State::kTrailer;
}

void ChunkedBody::count_overhead(int status, const char* why) {
  if (++overhead_ > kOverheadBytesMax) refuse(status, why);
}

}  // namespace herd::http
