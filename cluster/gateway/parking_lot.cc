#include "cluster/gateway/parking_lot.h"

#include "kernels/check.h"

namespace herd::gateway {

void ParkingLot::park(SequenceId sequence, Parked parked) {
  by_time_.emplace(parked.ready_at, sequence);
  ++by_request_[parked.request];
  tokens_ += parked.tokens;
  HERD_CHECK(parked_.emplace(sequence, std::move(parked)).second, "a sequence is parked once");
}

void ParkingLot::remove(SequenceId sequence) {
  const auto found = parked_.find(sequence);
  if (found == parked_.end()) return;
  const Parked& parked = found->second;
  by_time_.erase({parked.ready_at, sequence});
  const auto of = by_request_.find(parked.request);
  if (--of->second == 0) by_request_.erase(of);
  tokens_ -= parked.tokens;
  parked_.erase(found);
}

std::optional<Instant> ParkingLot::next_ready(Instant now) const {
  const auto next = by_time_.lower_bound({Instant{now.ns + 1}, SequenceId{}});
  if (next == by_time_.end()) return std::nullopt;
  return next->first;
}

admission::ParkedWork ParkingLot::work() const {
  return {.requests = by_request_.size(), .sequences = parked_.size(), .tokens = tokens_};
}

void ParkingLot::check_integrity() const {
  std::uint64_t tokens = 0;
  std::map<RequestId, std::size_t> by_request;
  for (const auto& [sequence, parked] : parked_) {
    tokens += parked.tokens;
    ++by_request[parked.request];
    HERD_CHECK(by_time_.contains({parked.ready_at, sequence}), "what is parked gets ready");
  }
  HERD_CHECK(tokens == tokens_, "parked tokens are counted");
  HERD_CHECK(by_request == by_request_, "parked sequences are counted by request");
  HERD_CHECK(by_time_.size() == parked_.size(), "only what is parked gets ready");
}

}  // namespace herd::gateway
