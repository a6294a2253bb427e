#pragma once
// SessionOutput: what an HTTP session is writing, and until when: each write must move some of it within HttpLimits::write_stall, and all
// of it must have gone at the lowest rate that a reader may have. Pure.

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "endpoint/http/http_limits.h"
#include "runtime/clock.h"

namespace herd::http {

constexpr Instant kNever{INT64_MAX};
constexpr Instant after(Instant from, std::chrono::nanoseconds time) { return {from.ns + time.count()}; }

class SessionOutput {
 public:
  // What is written first, and may get longer until it begins.
  std::string& head() { return head_; }
  // Behind that. Where there is nothing yet, `text` gets the memory of what was written before.
  void append(std::string& text) { head_.empty() ? head_.swap(text) : static_cast<void>(head_.append(text)); }
  void set_body(std::string body) { body_ = std::move(body); }  // behind everything else

  // From now on it is written.
  void begin(const HttpLimits& limits, Instant now) {
    on_progress(limits, now);
    const auto bytes = pieces()[0].size() + pieces()[1].size();
    end_by_ = limits.answer_bytes_per_s_min == 0
                  ? kNever
                  : after(now, limits.answer_grace + std::chrono::milliseconds(bytes * 1000 / limits.answer_bytes_per_s_min));
  }
  void on_written(std::size_t bytes, const HttpLimits& limits, Instant now) {
    on_progress(limits, now);
    const std::size_t of_head = std::min(bytes, head_.size() - head_written_);
    head_written_ += of_head;
    body_written_ += bytes - of_head;
  }
  void clear() {
    head_.clear();
    body_ = {};
    head_written_ = body_written_ = 0;
  }

  [[nodiscard]] bool empty() const { return head_written_ == head_.size() && body_written_ == body_.size(); }
  // To be written in order; either may be empty.
  [[nodiscard]] std::array<std::string_view, 2> pieces() const {
    return {std::string_view(head_).substr(head_written_), std::string_view(body_).substr(body_written_)};
  }
  // Of what is not written: its reader is given up then.
  [[nodiscard]] Instant deadline() const { return std::min(progress_by_, end_by_); }

 private:
  void on_progress(const HttpLimits& limits, Instant now) { progress_by_ = after(now, limits.write_stall); }

  std::string head_;
  std::string body_;
  std::size_t head_written_ = 0;
  std::size_t body_written_ = 0;
  Instant progress_by_;  // some of it must have gone
  Instant end_by_;       // all of it must have
};

}  // namespace herd::http
