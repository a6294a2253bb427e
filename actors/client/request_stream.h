#pragma once
// RequestStream: the reader of one request. The gateway calls it on its own thread, one call at a time, and never waits
// for it; what it makes of tokens (text, frames, an answer) is its own matter.

#include <cstddef>
#include <cstdint>
#include <vector>

#include "cluster/gateway/gateway_effects.h"
#include "runtime/clock.h"
#include "runtime/step/submission.h"

namespace herd::actors {

class RequestStream {
 public:
  virtual ~RequestStream() = default;

  // The request's turn has come. One submission per choice that needs the model; gateway, sequence id and attempt are
  // filled in by the gateway. At most one call.
  virtual std::vector<step::Submission> start(Instant now) = 0;

  // What a reader answers to a delta.
  struct Taken {
    std::size_t consumed = 1;  // deltas that wait no longer, earlier ones included
    bool stop = false;         // the choice shall end here (a stop string): the rest of it is not needed
    bool gone = false;         // the reader has left: the request shall end
  };
  // A token, output rows, or the good end of one choice; `choice` counts the submissions of start().
  virtual Taken deliver(std::uint32_t choice, const step::TokenDelta& delta, Instant now) = 0;

  // What becomes of attempts, for whoever traces: one of `choice` goes to a replica; one ended before its choice did.
  virtual void on_attempt(const gateway::RunOn& /*run*/, Instant /*now*/) {}
  virtual void on_attempt_cut(const gateway::AttemptCut& /*cut*/, Instant /*now*/) {}

  // Called several times a second while the request is open. False: the reader has left.
  virtual bool tick(Instant now) = 0;

  // How the request ended. The last call, also for a request that was refused.
  virtual void end(const gateway::RequestEnd& end, Instant now) = 0;
};

}  // namespace herd::actors
