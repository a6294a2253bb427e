#include "tests/sim/shrink.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace herd::sim {

EventNumbers shrink(const EventNumbers& events, const StillFails& fails) {
  std::vector<std::uint32_t> left(events.begin(), events.end());
  std::size_t length = std::max<std::size_t>(1, left.size() / 2);
  for (bool shorter = false;; shorter = false) {
    for (std::size_t at = 0; at < left.size();) {
      const std::size_t end = std::min(at + length, left.size());
      EventNumbers without(left.begin(), left.begin() + static_cast<std::ptrdiff_t>(at));
      without.insert(left.begin() + static_cast<std::ptrdiff_t>(end), left.end());
      if (!fails(without)) {
        at = end;
        continue;
      }
      shorter = true;
      left.assign(without.begin(), without.end());
    }
    if (length == 1 && !shorter) return {left.begin(), left.end()};
    length = std::max<std::size_t>(1, length / 2);
  }
}

}  // namespace herd::sim
