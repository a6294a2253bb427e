#pragma once
// Sealed frames that wait, a queue a lane, and the fragments they are cut into. Pure.

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <vector>

#include "cluster/link/fragment.h"

namespace herd::link {

class SendQueue {
 public:
  void push(Lane lane, std::vector<std::byte> sealed);

  // Appends whole fragments until nothing waits or the next one would make `record` longer than kRecordBytesMax. Earlier lanes
  // first; but of eight fragments in a row one goes to the last lane that waits, so that none waits for ever.
  void fill(std::vector<std::byte>& record);

  [[nodiscard]] bool empty() const { return bytes_ == 0; }
  [[nodiscard]] bool empty(Lane lane) const { return lanes_[static_cast<std::size_t>(lane)].empty(); }
  [[nodiscard]] std::size_t bytes() const { return bytes_; }  // of frames, as far as they wait
  // Forgets all that waits.
  void clear();

 private:
  struct Waiting {
    std::vector<std::byte> sealed;
    std::size_t sent = 0;
  };
  [[nodiscard]] std::size_t next_lane() const;

  std::array<std::deque<Waiting>, kLanes> lanes_;
  std::size_t bytes_ = 0;
  std::uint64_t sequence_ = 0;  // of the last fragment
};

}  // namespace herd::link
