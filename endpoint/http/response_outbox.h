#pragma once
// ResponseOutbox: where one answer waits between the threads that make it and the I/O thread that writes it, with
// credit: what a client does not read piles up here to a bound and no further. Knows framing, no sockets.
//
// A burst of frames wakes the I/O thread once; the frames it finds then leave in one write: the batch in hand.
//
// Credit measures what the reader has not taken, not what was made at one time. Frames count only while the socket has
// refused a part of the batch in hand, those alone that come after it did, and not those that were asked for
// (send_asked): what one step makes together, or what the I/O thread has not yet tried, is nobody's lateness. The
// reader is late when more waits behind the batch in hand than the bounds, or than that batch where frames that were asked
// for made it longer: it reads more slowly than the answer is made. A batch that only lateness made long gives no more
// credit than the one before it had, or a slow reader's batches would grow from one to the next. The bounds are for 32
// choices; a stream of more has them as many times, because one step makes a frame for each. So a reader that does not
// read costs twice its bounds, and twice what its request made long; a whole answer to it would take as much.

#include <cstddef>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "endpoint/http/http_handler.h"

namespace herd::http {

class ResponseOutbox;

// The connection, as seen from the wake-up. Called on its I/O thread.
class OutboxOwner {
 public:
  virtual ~OutboxOwner() = default;
  virtual void on_outbox_ready() = 0;
};

// Brings an outbox to the I/O thread of its owner. Any thread; may outlive every connection.
class OutboxWaker {
 public:
  virtual ~OutboxWaker() = default;
  virtual void wake(std::shared_ptr<ResponseOutbox> outbox) = 0;
};

enum class FrameStyle {
  kChunks,  // HTTP/1.1
  kRaw,     // HTTP/1.0: the bytes themselves, to the end of the connection
  kNone,    // an answer to HEAD
};

class ResponseOutbox : public std::enable_shared_from_this<ResponseOutbox> {
 public:
  enum class Phase {
    kUnanswered,
    kStreaming,
    kFinished,  // respond() or finish_stream()
    kCut,       // cut_stream(), or dropped in the middle of a stream
    kDropped,   // dropped without an answer: 500
    kOverrun,   // out of credit
    kClosed,    // by the I/O thread: the client is gone
  };

  // What the I/O thread takes at a time.
  struct Batch {
    std::optional<HttpResponse> head;  // with the first one
    bool stream = false;               // head.body is the whole body if false
    std::string bytes;                 // framed
    std::size_t frames = 0;
    Phase phase = Phase::kUnanswered;
  };

  ResponseOutbox(FrameStyle style, std::size_t frames_max, std::size_t bytes_max, std::shared_ptr<OutboxWaker> waker)
      : style_(style), frames_max_(frames_max), bytes_max_(bytes_max), waker_(std::move(waker)) {}

  // Any thread. The first answer counts, a later one is ignored.
  void respond(HttpResponse response);
  void open_stream(HttpResponse head, std::size_t voices);
  bool send(std::string frame, bool asked);
  void finish_stream();
  void cut_stream();
  void drop();  // no more calls will come

  // The I/O thread of the connection only. take() reuses batch.bytes' memory. While an earlier batch is being written
  // (`busy`) it tells only the phase.
  void take(Batch& batch, bool busy);
  void on_full();  // the socket did not take all of the batch in hand
  void close();    // from now on send() answers false

  OutboxOwner* owner = nullptr;  // I/O thread only; null once the answer is over

 private:
  void wake_if(bool needed);

  const FrameStyle style_;
  const std::size_t frames_max_;
  const std::size_t bytes_max_;
  const std::shared_ptr<OutboxWaker> waker_;

  std::mutex mutex_;
  Phase phase_ = Phase::kUnanswered;
  bool stream_ = false;
  bool wake_pending_ = true;  // whoever hands the request out takes right after, without a wake-up
  std::optional<HttpResponse> head_;
  std::string bytes_;
  std::size_t frames_ = 0;       // in bytes_
  std::size_t credits_min_ = 1;  // for its voices
  std::size_t credits_ = 1;      // how many times the bounds may wait behind the batch in hand
  bool asked_ = false;           // a frame in bytes_ was asked for
  bool full_ = false;            // the socket refused a part of the batch in hand
  std::size_t late_bytes_ = 0, late_frames_ = 0;  // that came since
};

// The handler's end of an outbox; drops it with its last reference.
std::shared_ptr<HttpResponder> make_responder(std::shared_ptr<ResponseOutbox> outbox);

}  // namespace herd::http
