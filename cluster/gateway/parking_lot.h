#pragma once
// ParkingLot: accepted sequences that no replica runs at the moment, oldest first. Pure.

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include "cluster/admission/admission_queue.h"
#include "cluster/routing/prompt_prefix.h"
#include "runtime/clock.h"
#include "runtime/ids.h"

namespace herd::gateway {

class ParkingLot {
 public:
  struct Parked {
    RequestId request;
    std::uint64_t tokens = 0;  // that a replica has to compute
    Instant ready_at;          // it is not routed before
    routing::PromptPrefix prefix{};  // of what is to be computed
  };

  void park(SequenceId sequence, Parked parked);  // not parked before
  // Forgets one; nothing happens when it is not parked.
  void remove(SequenceId sequence);

  // A gateway's numbers rise, so the oldest come first.
  [[nodiscard]] const std::map<SequenceId, Parked>& parked() const { return parked_; }
  // When the next one gets ready that is not so at `now`.
  [[nodiscard]] std::optional<Instant> next_ready(Instant now) const;
  [[nodiscard]] admission::ParkedWork work() const;
  void check_integrity() const;

 private:
  std::map<SequenceId, Parked> parked_;
  std::set<std::pair<Instant, SequenceId>> by_time_;
  std::map<RequestId, std::size_t> by_request_;  // how many of its sequences
  std::uint64_t tokens_ = 0;
};

}  // namespace herd::gateway
