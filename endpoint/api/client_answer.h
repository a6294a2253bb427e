#pragma once
// ClientAnswer: what the client of one request is sent: a whole answer, a stream of events with ids that count them, or an
// error. Knows no tokens. Used by one thread.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "cluster/routing/cluster_view.h"
#include "endpoint/access/event_id.h"
#include "endpoint/access/served_numerics.h"
#include "endpoint/api/generation_request.h"
#include "endpoint/http/http_server.h"
#include "endpoint/openai/api_error.h"
#include "runtime/clock.h"

namespace herd::api {

class ClientAnswer {
 public:
  // All references outlive it.
  ClientAnswer(const GenerationRequest& request, std::shared_ptr<http::HttpResponder> responder,
               const access::EventIdCodec& event_ids, const access::ServedNumerics& numerics, Instant arrived);

  // A replica of these numerics computes what comes from here on, as later ids tell; empty: one of this process, whose numerics are
  // the server's. An id names one numerics only: frames have none once two replicas of different ones have computed choices of the
  // stream, or where the text is no numerics id.
  void computed_by(const routing::NumericsId& numerics);
  // One event of a choice: `json` as a frame with its id, unless the client has it (a resumed stream). As long as the numerics
  // are not known, frames have no id: from a later one on the stream can be resumed. `asked`: as long as the request made
  // it, or once a choice (HttpResponder::send_asked); each token's own event is not.
  void event(std::size_t choice, const std::string& json, bool asked, Instant now);
  // The choice's next event is one that the client has, or one behind the end that it has.
  [[nodiscard]] bool has_next(std::size_t choice) const { return events_[choice].made < events_[choice].skip || events_[choice].had_end; }
  // The choice ends with its next event. True: the client has that event of a resumed stream or later ones, but no end of the choice,
  // as this run has less room than the one before: this end is new to it and is sent.
  [[nodiscard]] bool ends_early(std::size_t choice);
  // The client has events of the choice from before.
  [[nodiscard]] bool resumes(std::size_t choice) const { return events_[choice].skip > 0; }
  // Prompt tokens from the cache, as every later id tells.
  void set_cached_tokens(std::uint32_t tokens) { event_.cached_tokens = tokens; }
  // An event of no choice, unless the client has it.
  void usage(const std::string& json, Instant now);
  // [DONE] and the end of the stream.
  void done(Instant now);

  void whole(std::string body);
  // As the answer's status while nothing was sent, else as an error event and a connection that closes (never a made-up
  // finish reason).
  void fail(const openai::ApiError& error);
  // A comment, when nothing was sent for `silence_s`.
  void keep_alive(double silence_s, Instant now);

  // Nothing more is sent: the client left, or reads too little.
  [[nodiscard]] bool client_gone() const { return client_gone_; }
  // The status sent; 0: none.
  [[nodiscard]] int status() const { return status_; }

 private:
  void open();
  void send(std::string frame, bool asked, Instant now);
  [[nodiscard]] std::string frame_head();  // "id: …\ndata: ", or "data: "

  struct Events {
    std::uint32_t made = 0;  // sent or skipped
    std::uint32_t skip = 0;  // of a resumed stream: the client has them
    bool had_end = false;    // and the last of them was the end of the choice
    bool ends = false;       // with its next event
  };
  const GenerationRequest& request_;
  const std::shared_ptr<http::HttpResponder> responder_;
  const access::EventIdCodec& event_ids_;
  const access::ServedNumerics& numerics_;
  std::optional<access::NumericsDigits> replicas_;  // numerics of those that have computed so far
  bool one_numerics_ = true;                        // and they have no others
  access::EventId event_;
  std::vector<Events> events_;  // by choice
  bool open_ = false;
  bool client_gone_ = false;
  int status_ = 0;
  Instant last_sent_;
};

}  // namespace herd::api
