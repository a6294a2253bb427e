#pragma once
// HttpHandler: what stands behind the server and answers its requests, and HttpResponder, which the server hands it for
// each of them. Interfaces; sockets and time are the server's.

#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "endpoint/http/http_message.h"

namespace herd::http {

// Answers one request. Methods may be called from any thread and never wait. Exactly one of respond() or
// open_stream() is called; dropping the last reference without either answers 500.
class HttpResponder {
 public:
  virtual ~HttpResponder() = default;
  virtual void respond(HttpResponse response) = 0;
  // Status line and headers now; the body follows in chunks. head.body is not used. `voices`: of how many things at one
  // time it tells (the choices of a request): a step makes a frame for each, and the credit grows with them.
  virtual void open_stream(HttpResponse head, std::size_t voices) = 0;
  void open_stream(HttpResponse head) { open_stream(std::move(head), 1); }
  // One frame: a chunk of its own, sent at once (together with others only when they wait for the same socket).
  // False: the client is gone, or it reads too little (response_outbox.h says when) and the connection was cut. Then
  // every later frame is refused too.
  virtual bool send(std::string frame) = 0;
  // The same for a frame whose size the request itself set (the echo of a prompt, its ids, its logprobs) or that comes
  // once a choice: it goes out whole and never counts as the reader's lateness. The caller answers for its size.
  virtual bool send_asked(std::string frame) = 0;
  // The body ends after the frames sent.
  virtual void finish_stream() = 0;
  // The frames sent so far go out, then the connection closes without the end of the body (a failure mid-stream).
  virtual void cut_stream() = 0;
};

class HttpHandler {
 public:
  virtual ~HttpHandler() = default;
  // Whether a request without a body is answered on a connection beyond the server's limits too, where others are told to go: what
  // probes ask, so that a crowd does not make a process look dead. On an I/O thread, before on_head(); must not wait.
  [[nodiscard]] virtual bool answers_over_limit(const HttpRequestHead& /*head*/) const { return false; }
  // On an I/O thread, before the body is read; must not wait. A response refuses the request and the body is not
  // waited for (the connection closes after the answer when a body was announced).
  virtual std::optional<HttpResponse> on_head(const HttpRequestHead& head) = 0;
  // On an I/O thread; must not wait. `on_gone` may be set here, before it returns: it is called at most once, on an
  // I/O thread, when the client left or was cut before the answer was complete. The server drops it afterwards.
  virtual void on_request(HttpRequest request, std::shared_ptr<HttpResponder> responder,
                          std::function<void()>& on_gone) = 0;
  // The answer to bytes that are no acceptable request (status 400, 408, 413, 414, 417, 431, 501, 505, 503), and to one
  // that the handler failed on (500). `why` is for the client: fixed text, nothing of ours. `head`: of the request, so
  // that the refusal can carry what any answer carries; null when none was read to its end.
  virtual HttpResponse on_refused(int status, const std::string& why, const HttpRequestHead* head) = 0;
};

}  // namespace herd::http
