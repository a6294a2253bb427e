#include "cluster/link/send_queue.h"

#include <algorithm>
#include <utility>

namespace herd::link {
namespace {

constexpr std::uint64_t kLastLaneEvery = 8;

}  // namespace

void SendQueue::push(Lane lane, std::vector<std::byte> sealed) {
  bytes_ += sealed.size();
  lanes_[static_cast<std::size_t>(lane)].push_back({std::move(sealed), 0});
}

std::size_t SendQueue::next_lane() const {
  std::size_t first = kLanes, last = 0;
  for (std::size_t lane = 0; lane < kLanes; ++lane) {
    if (lanes_[lane].empty()) continue;
    first = std::min(first, lane);
    last = lane;
  }
  return (sequence_ + 1) % kLastLaneEvery == 0 ? last : first;
}

void SendQueue::fill(std::vector<std::byte>& record) {
  while (bytes_ > 0) {
    auto& lane = lanes_[next_lane()];
    Waiting& frame = lane.front();
    const std::size_t payload = std::min(frame.sealed.size() - frame.sent, kPayloadBytesMax);
    if (record.size() + kFragmentHeaderBytes + payload > kRecordBytesMax) return;
    const std::size_t at = record.size();
    record.resize(at + kFragmentHeaderBytes);
    write_fragment_header(std::span<std::byte, kFragmentHeaderBytes>(record.data() + at, kFragmentHeaderBytes),
                          {static_cast<Lane>(&lane - lanes_.data()), static_cast<std::uint32_t>(payload), ++sequence_});
    const auto begin = frame.sealed.begin() + static_cast<std::ptrdiff_t>(frame.sent);
    record.insert(record.end(), begin, begin + static_cast<std::ptrdiff_t>(payload));
    frame.sent += payload;
    bytes_ -= payload;
    if (frame.sent == frame.sealed.size()) lane.pop_front();
  }
}

void SendQueue::clear() {
  for (auto& lane : lanes_) lane.clear();
  bytes_ = 0;
}

}  // namespace herd::link
