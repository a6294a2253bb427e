#include "endpoint/http/request_body.h"

#include <algorithm>
#include <chrono>
#include <utility>

namespace herd::http {

void RequestBody::begin(const ParsedHead& head, std::size_t bytes_max, Instant now) {
  bytes_.clear();
  length_ = head.content_length;
  chunked_.reset();
  if (head.framing == BodyFraming::kChunked) chunked_.emplace(bytes_max);
  begun_ = now;
  received_ = 0;
}

ReadStep RequestBody::read(std::string_view& input) {
  if (chunked_) {
    input.remove_prefix(chunked_->feed(input, bytes_));
    return chunked_->step();
  }
  const auto size = static_cast<std::size_t>(std::min<std::uint64_t>(input.size(), length_ - bytes_.size()));
  bytes_.append(input.substr(0, size));
  input.remove_prefix(size);
  return bytes_.size() == length_ ? ReadStep::kDone : ReadStep::kMore;
}

Instant RequestBody::deadline() const {
  const auto after_begun = [this](std::chrono::nanoseconds time) { return Instant{begun_.ns + time.count()}; };
  const Instant whole = after_begun(limits_->body_time);
  if (limits_->body_bytes_per_s_min == 0) return whole;
  const double earned_s = static_cast<double>(received_) / static_cast<double>(limits_->body_bytes_per_s_min);
  const std::chrono::nanoseconds earned(static_cast<std::int64_t>(std::min(earned_s, 1e6) * 1e9));
  return std::min(whole, after_begun(limits_->body_grace + earned));
}

std::string RequestBody::take() { return std::exchange(bytes_, {}); }

}  // namespace herd::http
