#include "endpoint/http/http_session.h"

#include <algorithm>
#include <optional>
#include <utility>

namespace herd::http {
namespace {

constexpr std::chrono::seconds kLingerTime{5};
constexpr std::size_t kKeptBytes = 16 * 1024;  // of a buffer's memory, between requests

void give_back_memory(std::string& buffer) {
  buffer.clear();
  if (buffer.capacity() > kKeptBytes) std::string().swap(buffer);
}

}  // namespace

HttpSession::HttpSession(SessionShared& shared, std::shared_ptr<OutboxWaker> waker, OutboxOwner& owner,
                         std::string peer, Instant now)
    : shared_(shared),
      waker_(std::move(waker)),
      owner_(owner),
      peer_(std::move(peer)),
      deadline_(after(now, shared.limits.head_time)),
      head_reader_(shared.limits),
      body_(shared.limits) {}

HttpSession::~HttpSession() { on_closed(); }

void HttpSession::on_open(Instant now) {
  begin_head(now);
  if (shared_.draining.load(std::memory_order_relaxed)) fate_ = Fate::kClose;
}

void HttpSession::on_over_limit(Instant now) {
  over_limit_ = close_after_ = true;
  on_open(now);
  deadline_ = after(now, shared_.limits.head_time);
}

// --- input ---

void HttpSession::on_bytes(std::string_view bytes, Instant now) {
  if (discard_input_ || state_ == State::kClosed || state_ == State::kOpening) return;
  if (state_ == State::kBody) body_.on_received(bytes.size());
  if (in_.empty()) {  // the usual case: nothing is copied that is used now
    input_ = bytes;
    advance(now);
    if (!discard_input_) in_.assign(input_);
  } else {
    in_.append(bytes);
    advance_pipelined(now);
  }
}

void HttpSession::advance_pipelined(Instant now) {
  input_ = in_;
  advance(now);
  in_.erase(0, discard_input_ ? in_.size() : in_.size() - input_.size());
}

bool HttpSession::wants_bytes() const {
  return state_ != State::kAnswer || discard_input_ || in_.size() < shared_.limits.pipelined_bytes_max;
}

void HttpSession::on_end() {
  if (fate_ == Fate::kReset) return;
  leave();
  fate_ = Fate::kClose;
}

void HttpSession::advance(Instant now) {
  bool more = true;
  while (more) {
    switch (state_) {
      case State::kHead:
        more = advance_head(now);
        break;
      case State::kBody:
        more = advance_body(now);
        break;
      default:
        more = false;
    }
  }
}

bool HttpSession::advance_head(Instant now) {
  if (input_.empty()) return false;
  if (!std::exchange(head_begun_, true)) deadline_ = after(now, shared_.limits.head_time);
  switch (head_reader_.read(input_)) {
    case ReadStep::kMore:
      return false;
    case ReadStep::kRefused:
      refuse(head_reader_.refusal().status, head_reader_.refusal().why, now);
      return false;
    case ReadStep::kDone:
      break;
  }
  input_.remove_prefix(head_reader_.size());
  parsed_ = head_reader_.take();
  parsed_.head.peer = peer_;
  parsed_.head.listener = shared_.listener;
  head_read_ = true;
  head_only_ = parsed_.head.method == "HEAD";
  return begin_body(now);
}

bool HttpSession::begin_body(Instant now) {
  if (over_limit_ && (parsed_.has_body() || !shared_.handler->answers_over_limit(parsed_.head))) {
    refuse(503, "too many connections", now);
    return false;
  }
  std::optional<HttpResponse> refusal;
  try {
    refusal = shared_.handler->on_head(parsed_.head);
  } catch (...) {
    refuse(500, "internal error", now);
    return false;
  }
  if (refusal) {
    count(shared_.counters.requests);
    answer(std::move(*refusal), over_limit_ || parsed_.has_body(), now);
    return false;
  }
  const std::size_t bytes_max = shared_.body_bytes_max();
  if (parsed_.content_length > bytes_max) {
    refuse(413, "the body is too long", now);
    return false;
  }
  body_.begin(parsed_, bytes_max, now);
  body_.on_received(input_.size());
  if (parsed_.expect_continue && parsed_.has_body() && input_.empty()) {
    out_.head().append("HTTP/1.1 100 Continue\r\n\r\n");
    out_.begin(shared_.limits, now);
  }
  state_ = State::kBody;
  deadline_ = body_.deadline();
  return true;
}

bool HttpSession::advance_body(Instant now) {
  switch (body_.read(input_)) {
    case ReadStep::kMore:
      deadline_ = body_.deadline();
      return false;
    case ReadStep::kRefused:
      refuse(body_.refusal().status, body_.refusal().why, now);
      return false;
    case ReadStep::kDone:
      break;
  }
  begin_answer(now);
  return true;
}

// --- between requests, and ends ---

void HttpSession::begin_head(Instant now) {
  state_ = State::kHead;
  deadline_ = after(now, shared_.limits.idle_time);
  head_begun_ = false;
  head_read_ = false;
  head_only_ = false;
  answer_ended_ = false;
  parsed_ = {};
  head_reader_ = HeadReader(shared_.limits);
  give_back_memory(out_.head());
  give_back_memory(batch_.bytes);
  if (in_.empty() && in_.capacity() > kKeptBytes) std::string().swap(in_);
}

void HttpSession::begin_linger(Instant now) {
  state_ = State::kLinger;
  fate_ = Fate::kLinger;
  discard_input_ = true;
  std::string().swap(in_);
  deadline_ = after(now, kLingerTime);
}

Instant HttpSession::deadline() const { return has_output() ? std::min(deadline_, out_.deadline()) : deadline_; }

void HttpSession::on_time(Instant now) {
  if (has_output() && now >= out_.deadline()) {
    if (state_ == State::kAnswer) count(shared_.counters.streams_cut);
    return reset();
  }
  if (now < deadline_) return;
  const bool waits_for_request = state_ == State::kBody || (state_ == State::kHead && head_begun_);
  if (!waits_for_request) {
    leave();
    fate_ = Fate::kClose;
  } else if (state_ == State::kHead) {
    refuse(408, "the request's head took too long", now);
  } else {
    refuse(408, "the body took too long", now);
  }
}

void HttpSession::on_drain() {
  if (state_ == State::kHead && !head_begun_) fate_ = Fate::kClose;
}

// Unsent bytes are thrown away: the client learns from the reset that its answer is not whole.
void HttpSession::reset() {
  leave();
  fate_ = Fate::kReset;
}

void HttpSession::leave() {
  const bool answering = state_ == State::kAnswer;
  state_ = State::kClosed;
  deadline_ = kNever;
  out_.clear();
  if (!answering) return;
  count(shared_.counters.clients_gone);
  if (outbox_) {
    outbox_->close();
    outbox_->owner = nullptr;
    outbox_.reset();
  }
  const std::function<void()> gone = std::exchange(on_gone_, nullptr);
  if (!gone) return;
  try {
    gone();
  } catch (...) {  // the handler's own trouble: there is nobody left to tell
  }
}

void HttpSession::on_closed() {
  if (state_ != State::kClosed) leave();
}

}  // namespace herd::http
