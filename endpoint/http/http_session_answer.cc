// HttpSession's other half: from the handler's answer to the bytes that leave. http_session.cc has what comes in.
#include <algorithm>
#include <utility>

#include "endpoint/http/http_session.h"
#include "endpoint/http/response_head.h"

namespace herd::http {
namespace {

constexpr std::size_t kSmallBodyBytes = 16 * 1024;  // copied behind its head: one write

}  // namespace

void HttpSession::begin_answer(Instant now) {
  count(shared_.counters.requests);
  state_ = State::kAnswer;
  deadline_ = kNever;
  const FrameStyle style = head_only_ ? FrameStyle::kNone : parsed_.http_1_0 ? FrameStyle::kRaw : FrameStyle::kChunks;
  outbox_ = std::make_shared<ResponseOutbox>(style, shared_.limits.stream_frames_max, shared_.limits.stream_bytes_max,
                                             waker_);
  outbox_->owner = &owner_;
  try {
    // A copy of the head: a handler that fails is refused with it.
    shared_.handler->on_request({parsed_.head, body_.take()}, make_responder(outbox_), on_gone_);
  } catch (...) {
    outbox_->drop();  // 500, unless an answer has begun
  }
  on_outbox(now);
}

void HttpSession::on_outbox(Instant now) {
  if (state_ != State::kAnswer || !outbox_) return;
  const bool busy = has_output();
  outbox_->take(batch_, busy);
  if (batch_.phase == ResponseOutbox::Phase::kOverrun) {
    count(shared_.counters.streams_cut);
    return reset();
  }
  if (busy) return;
  using Phase = ResponseOutbox::Phase;
  answer_ended_ = batch_.phase != Phase::kUnanswered && batch_.phase != Phase::kStreaming;
  if (batch_.phase == Phase::kDropped) {
    batch_.head = refusal_answer(500, "internal error");
    batch_.stream = false;
  }
  if (batch_.phase == Phase::kCut) close_after_ = true;
  if (batch_.head) write_head(std::move(*batch_.head), batch_.stream);
  out_frames_ = batch_.frames;
  out_.append(batch_.bytes);
  if (has_output()) {
    out_.begin(shared_.limits, now);
  } else if (answer_ended_) {
    end_answer(now);
  }
}

void HttpSession::write_head(HttpResponse response, bool stream) {
  ResponseFraming framing;
  framing.http_1_0 = parsed_.http_1_0;
  framing.stream = stream;
  framing.keep_alive = parsed_.keep_alive && !close_after_ && !(stream && parsed_.http_1_0) &&
                       !shared_.draining.load(std::memory_order_relaxed);
  if (shared_.unix_seconds) framing.unix_seconds = shared_.unix_seconds();
  if (!framing.keep_alive) {
    close_after_ = true;
    discard_input_ = true;
  }
  append_response_head(out_.head(), response, framing);
  if (stream || head_only_ || !has_body(response.status)) return;
  if (response.body.size() <= kSmallBodyBytes) {
    out_.head().append(response.body);
  } else {
    out_.set_body(std::move(response.body));
  }
}

void HttpSession::refuse(int status, const char* why, Instant now) { answer(refusal_answer(status, why), true, now); }

HttpResponse HttpSession::refusal_answer(int status, const char* why) {
  count(shared_.counters.refused);
  HttpResponse response;
  try {
    response = shared_.handler->on_refused(status, why, head_read_ ? &parsed_.head : nullptr);
  } catch (...) {
    response = {status, "text/plain", {}, std::string(why) + "\n"};
  }
  return response;
}

void HttpSession::answer(HttpResponse response, bool close, Instant now) {
  state_ = State::kAnswer;
  deadline_ = kNever;
  close_after_ = close;
  answer_ended_ = true;
  write_head(std::move(response), false);
  out_.begin(shared_.limits, now);
}

// --- output ---

void HttpSession::on_written(std::size_t bytes, Instant now) {
  if (bytes == 0 || state_ == State::kClosed) return;
  count(shared_.counters.bytes_sent, bytes);
  out_.on_written(bytes, shared_.limits, now);
  if (!has_output()) on_output_done(now);
}

void HttpSession::on_full() {
  if (outbox_) outbox_->on_full();
}

void HttpSession::on_output_done(Instant now) {
  count(shared_.counters.frames_sent, std::exchange(out_frames_, 0));
  out_.clear();
  if (state_ != State::kAnswer) return;  // "100 Continue"
  if (answer_ended_) {
    end_answer(now);
  } else {
    on_outbox(now);
  }
}

void HttpSession::end_answer(Instant now) {
  if (outbox_) {
    outbox_->close();
    outbox_->owner = nullptr;
    outbox_.reset();
  }
  on_gone_ = nullptr;
  if (close_after_ || shared_.draining.load(std::memory_order_relaxed)) return begin_linger(now);
  begin_head(now);
  if (!in_.empty()) advance_pipelined(now);
}

}  // namespace herd::http
