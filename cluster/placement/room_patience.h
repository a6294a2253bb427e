#pragma once
// RoomPatience: whether a node that finds too little memory for its replicas looks again: the ranks of the node that was here before it
// may have been killed with it a moment ago, and give back what they hold by and by. Pure.

#include <cstdint>
#include <optional>

#include "runtime/clock.h"

namespace herd::placement {

class RoomPatience {
 public:
  static constexpr double kAtMost_s = 10.0;
  static constexpr double kStill_s = 1.0;                         // memory that has not risen for so long rises no more
  static constexpr std::int64_t kRise_bytes = std::int64_t{16} << 20;  // less is what any machine's memory does

  // After each look that found too little, with the memory that was free. False: it is what there is.
  [[nodiscard]] bool looks_again(std::int64_t free_bytes, Instant now) {
    if (!begin_) begin_ = now;
    if (!risen_at_ || free_bytes >= most_ + kRise_bytes) {
      risen_at_ = now;
      most_ = free_bytes;
    }
    return seconds_between(*begin_, now) < kAtMost_s && seconds_between(*risen_at_, now) < kStill_s;
  }

 private:
  std::optional<Instant> begin_, risen_at_;
  std::int64_t most_ = 0;
};

}  // namespace herd::placement
