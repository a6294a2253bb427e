#pragma once
// HttpSession: what one connection does with the bytes and the time it is given. Knows HTTP, limits and the handler;
// knows no socket and no clock, so that the shell around it (http_connection-inl.h) only moves bytes.
//
//   opening (TLS) -> head -> body -> answer -> head ...      -> linger -> closed
//
// The end of the client's bytes counts as its leaving, also while an answer is under way: no client of this API sends
// half a connection's end and reads on, and a handler must learn at once that nobody waits.
// Lingering (RFC 9112, 9.6): after the last answer our side is shut and what still comes is thrown away for a while, so
// that the client sees the answer, not a reset.

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "endpoint/http/http_handler.h"
#include "endpoint/http/http_head.h"
#include "endpoint/http/http_limits.h"
#include "endpoint/http/request_body.h"
#include "endpoint/http/response_outbox.h"
#include "endpoint/http/session_output.h"
#include "runtime/clock.h"

namespace herd::http {

// HttpServerStats while it is counted. Relaxed: nothing is ordered by it.
struct HttpCounters {
  std::atomic<std::uint64_t> connections_open{0}, connections_accepted{0}, connections_refused{0}, requests{0},
      refused{0}, frames_sent{0}, bytes_sent{0}, streams_cut{0}, clients_gone{0};
};

inline void count(std::atomic<std::uint64_t>& counter, std::uint64_t n = 1) {
  counter.fetch_add(n, std::memory_order_relaxed);
}

// What all connections of a server share.
struct SessionShared {
  HttpHandler* handler = nullptr;
  HttpLimits limits;
  std::atomic<std::size_t> body_bytes_now{0};  // of requests from now on, instead of limits.body_bytes; 0: as it stands there
  std::function<std::int64_t()> unix_seconds;
  std::string listener;  // HttpRequestHead::listener
  std::atomic<bool> draining{false};
  HttpCounters counters;

  [[nodiscard]] std::size_t body_bytes_max() const {
    const std::size_t now = body_bytes_now.load(std::memory_order_relaxed);
    return now > 0 ? now : limits.body_bytes;
  }
};

class HttpSession {
 public:
  // What the shell has to do with the connection once output() is empty (kReset: at once).
  enum class Fate { kOpen, kLinger, kClose, kReset };

  // Refers to `shared` and `owner`. `now` starts the time for opening.
  HttpSession(SessionShared& shared, std::shared_ptr<OutboxWaker> waker, OutboxOwner& owner, std::string peer,
              Instant now);
  ~HttpSession();
  HttpSession(const HttpSession&) = delete;
  HttpSession& operator=(const HttpSession&) = delete;

  void on_open(Instant now);        // bytes may come (TLS: the handshake is done)
  void on_over_limit(Instant now);  // instead of on_open: one request is answered, and only if the handler answers such ones
  void on_bytes(std::string_view bytes, Instant now);
  void on_end();                // the client's side ended or failed
  void on_outbox(Instant now);  // the answer has news: takes it, if nothing is being written
  void on_written(std::size_t bytes, Instant now);
  void on_full();  // the socket takes no more for now
  void on_time(Instant now);
  void on_drain();
  void on_closed();  // by the shell: nothing more will happen

  [[nodiscard]] bool wants_bytes() const;                        // false: enough is pipelined
  [[nodiscard]] std::array<std::string_view, 2> output() const { return out_.pieces(); }
  [[nodiscard]] bool has_output() const { return !out_.empty(); }
  [[nodiscard]] Fate fate() const { return fate_; }
  [[nodiscard]] Instant deadline() const;  // when on_time() is due; may move either way with each call

 private:
  enum class State { kOpening, kHead, kBody, kAnswer, kLinger, kClosed };

  void advance(Instant now);  // uses up input_; never ends an answer, so it does not nest
  void advance_pipelined(Instant now);
  bool advance_head(Instant now);  // false: no more can be done now
  bool advance_body(Instant now);
  bool begin_body(Instant now);
  void begin_answer(Instant now);
  void begin_head(Instant now);
  void begin_linger(Instant now);
  void reset();
  void leave();  // the client is gone, or is made to be

  void refuse(int status, const char* why, Instant now);
  HttpResponse refusal_answer(int status, const char* why);
  void answer(HttpResponse response, bool close, Instant now);  // without the handler
  void write_head(HttpResponse response, bool stream);
  void on_output_done(Instant now);
  void end_answer(Instant now);

  SessionShared& shared_;
  const std::shared_ptr<OutboxWaker> waker_;
  OutboxOwner& owner_;
  const std::string peer_;

  State state_ = State::kOpening;
  Fate fate_ = Fate::kOpen;
  Instant deadline_;  // of the state

  std::string in_;          // received, not used yet
  std::string_view input_;  // during advance(): what is left of in_ or of the bytes that just came
  bool head_begun_ = false;
  bool head_only_ = false;  // HEAD
  HeadReader head_reader_;
  bool head_read_ = false;  // parsed_ is the present request's
  ParsedHead parsed_;
  RequestBody body_;

  std::shared_ptr<ResponseOutbox> outbox_;  // of the answer; null for our own
  std::function<void()> on_gone_;
  bool over_limit_ = false, close_after_ = false;
  bool discard_input_ = false;  // the connection ends with this answer
  bool answer_ended_ = false;   // nothing will follow what is in out_
  ResponseOutbox::Batch batch_;
  SessionOutput out_;
  std::size_t out_frames_ = 0;
};

}  // namespace herd::http
