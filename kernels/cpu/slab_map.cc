#include "kernels/cpu/slab_map.h"

#include <algorithm>
#include <iterator>

#include "kernels/check.h"

namespace herd {
namespace {

std::size_t place_bytes(std::size_t bytes) {
  return std::max(kSlabAlignment, (bytes + kSlabAlignment - 1) / kSlabAlignment * kSlabAlignment);
}

}  // namespace

SlabMap::SlabMap(std::size_t bytes) { gaps_.emplace(0, bytes); }

std::optional<SlabMap::Place> SlabMap::take(std::size_t bytes) {
  const std::size_t wanted = place_bytes(bytes);
  const auto gap = std::find_if(gaps_.begin(), gaps_.end(), [&](const auto& each) { return each.second >= wanted; });
  if (gap == gaps_.end()) return std::nullopt;
  const auto [offset, room] = *gap;
  gaps_.erase(gap);
  if (room > wanted) gaps_.emplace(offset + wanted, room - wanted);
  ++taken_;
  const Place place{offset, std::min(wanted, used_ - std::min(used_, offset))};
  used_ = std::max(used_, offset + wanted);
  return place;
}

void SlabMap::give_back(std::size_t offset, std::size_t bytes) {
  HERD_CHECK(taken_ > 0, "a place is given back once");
  --taken_;
  std::size_t size = place_bytes(bytes);
  auto next = gaps_.lower_bound(offset);
  HERD_CHECK(next == gaps_.end() || offset + size <= next->first, "a place that is given back was taken");
  if (next != gaps_.end() && next->first == offset + size) {
    size += next->second;
    next = gaps_.erase(next);
  }
  if (next != gaps_.begin()) {
    const auto before = std::prev(next);
    HERD_CHECK(before->first + before->second <= offset, "a place that is given back was taken");
    if (before->first + before->second == offset) {
      before->second += size;
      return;
    }
  }
  gaps_.emplace(offset, size);
}

}  // namespace herd
