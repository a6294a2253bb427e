#pragma once
// DeltaQueue: requests of one sequence each for a caller that waits for what comes (`herd generate`, score, bench). Bounded
// by credit: a request whose caller reads too little ends as kSlow.

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <variant>

#include "actors/client/cluster_client.h"
#include "runtime/step/submission.h"

namespace herd::actors {

class DeltaQueue {
 public:
  // `client` outlives it. `credit`: deltas of one request that may wait here; at least 1.
  DeltaQueue(ClusterClient& client, std::size_t credit);

  // Runs `submission` as the one sequence of the request `id`, without a deadline.
  void submit(RequestId id, step::Submission submission);

  struct Heard {
    RequestId request;
    std::variant<step::TokenDelta, gateway::RequestEnd> what;
    [[nodiscard]] const step::TokenDelta* delta() const { return std::get_if<step::TokenDelta>(&what); }
    [[nodiscard]] const gateway::RequestEnd* end() const { return std::get_if<gateway::RequestEnd>(&what); }
  };
  // The next delta or end, or nothing when none came within `timeout`. A request's end is the last of it.
  [[nodiscard]] std::optional<Heard> next(std::chrono::milliseconds timeout);

 private:
  // Shared with the streams, which the gateway may hold a little longer than the queue lives.
  struct Waiting;
  class Stream;

  ClusterClient& client_;
  const std::size_t credit_;
  const std::shared_ptr<Waiting> waiting_;
};

}  // namespace herd::actors
