#include "endpoint/http/response_outbox.h"

#include <algorithm>
#include <charconv>
#include <utility>

namespace herd::http {
namespace {

constexpr std::size_t kVoicesPerCredit = 32;  // 8 KiB and 32 frames each: a frame with 20 logprobs takes 2.5 KiB

constexpr std::size_t times(std::size_t count, std::size_t unit) { return (count + unit - 1) / unit; }

class Responder final : public HttpResponder {
 public:
  explicit Responder(std::shared_ptr<ResponseOutbox> outbox) : outbox_(std::move(outbox)) {}
  ~Responder() override { outbox_->drop(); }
  Responder(const Responder&) = delete;
  Responder& operator=(const Responder&) = delete;

  void respond(HttpResponse response) override { outbox_->respond(std::move(response)); }
  void open_stream(HttpResponse head, std::size_t voices) override { outbox_->open_stream(std::move(head), voices); }
  bool send(std::string frame) override { return outbox_->send(std::move(frame), false); }
  bool send_asked(std::string frame) override { return outbox_->send(std::move(frame), true); }
  void finish_stream() override { outbox_->finish_stream(); }
  void cut_stream() override { outbox_->cut_stream(); }

 private:
  std::shared_ptr<ResponseOutbox> outbox_;
};

void append_chunk(std::string& out, const std::string& frame) {
  char size[16];
  const auto end = std::to_chars(size, size + sizeof size, frame.size(), 16).ptr;
  out.append(size, end).append("\r\n").append(frame).append("\r\n");
}

}  // namespace

std::shared_ptr<HttpResponder> make_responder(std::shared_ptr<ResponseOutbox> outbox) {
  return std::make_shared<Responder>(std::move(outbox));
}

void ResponseOutbox::wake_if(bool needed) {
  if (needed) waker_->wake(shared_from_this());
}

void ResponseOutbox::respond(HttpResponse response) {
  bool wake = false;
  {
    const std::lock_guard lock(mutex_);
    if (phase_ != Phase::kUnanswered) return;
    head_ = std::move(response);
    phase_ = Phase::kFinished;
    wake = !std::exchange(wake_pending_, true);
  }
  wake_if(wake);
}

void ResponseOutbox::open_stream(HttpResponse head, std::size_t voices) {
  bool wake = false;
  {
    const std::lock_guard lock(mutex_);
    if (phase_ != Phase::kUnanswered) return;
    head_ = std::move(head);
    stream_ = true;
    credits_ = credits_min_ = std::max<std::size_t>(1, times(voices, kVoicesPerCredit));
    phase_ = Phase::kStreaming;
    wake = !std::exchange(wake_pending_, true);
  }
  wake_if(wake);
}

bool ResponseOutbox::send(std::string frame, bool asked) {
  bool wake = false;
  bool taken = false;
  {
    const std::lock_guard lock(mutex_);
    if (phase_ != Phase::kStreaming) return false;
    if (style_ == FrameStyle::kNone || frame.empty()) return true;  // an empty chunk would end the body
    const bool counts = full_ && !asked;
    const bool too_much = counts && late_frames_ > 0 &&
                          (late_frames_ >= credits_ * frames_max_ || late_bytes_ + frame.size() > credits_ * bytes_max_);
    if (too_much) {
      phase_ = Phase::kOverrun;
      wake = true;  // even while a write is under way
    } else {
      const std::size_t before = bytes_.size();
      if (style_ == FrameStyle::kChunks) {
        append_chunk(bytes_, frame);
      } else {
        bytes_.append(frame);
      }
      ++frames_;
      asked_ = asked_ || asked;
      if (counts) {
        late_bytes_ += bytes_.size() - before;
        ++late_frames_;
      }
      taken = true;
      wake = !std::exchange(wake_pending_, true);
    }
  }
  wake_if(wake);
  return taken;
}

void ResponseOutbox::finish_stream() {
  bool wake = false;
  {
    const std::lock_guard lock(mutex_);
    if (phase_ != Phase::kStreaming) return;
    if (style_ == FrameStyle::kChunks) bytes_.append("0\r\n\r\n");
    phase_ = Phase::kFinished;
    wake = !std::exchange(wake_pending_, true);
  }
  wake_if(wake);
}

void ResponseOutbox::cut_stream() {
  bool wake = false;
  {
    const std::lock_guard lock(mutex_);
    if (phase_ != Phase::kStreaming) return;
    phase_ = Phase::kCut;
    wake = !std::exchange(wake_pending_, true);
  }
  wake_if(wake);
}

void ResponseOutbox::drop() {
  bool wake = false;
  {
    const std::lock_guard lock(mutex_);
    if (phase_ == Phase::kUnanswered) {
      phase_ = Phase::kDropped;
    } else if (phase_ == Phase::kStreaming) {
      phase_ = Phase::kCut;
    } else {
      return;
    }
    wake = !std::exchange(wake_pending_, true);
  }
  wake_if(wake);
}

void ResponseOutbox::take(Batch& batch, bool busy) {
  batch.bytes.clear();
  batch.head.reset();
  batch.frames = 0;
  const std::lock_guard lock(mutex_);
  batch.phase = phase_;
  batch.stream = stream_;
  if (busy) return;  // wake_pending_ stays: whoever ends the write takes again
  wake_pending_ = false;
  batch.bytes.swap(bytes_);
  batch.head.swap(head_);
  batch.frames = std::exchange(frames_, 0);
  const std::size_t in_hand = std::max(times(batch.bytes.size(), bytes_max_), times(batch.frames, frames_max_));
  const bool only_late = late_frames_ > 0 && !asked_;
  credits_ = std::max(credits_min_, only_late ? std::min(in_hand, credits_) : in_hand);
  asked_ = full_ = false;
  late_bytes_ = late_frames_ = 0;
}

void ResponseOutbox::on_full() {
  const std::lock_guard lock(mutex_);
  full_ = true;
}

void ResponseOutbox::close() {
  const std::lock_guard lock(mutex_);
  phase_ = Phase::kClosed;
  bytes_ = {};
  head_.reset();
}

}  // namespace herd::http
