#include "cluster/link/fragment.h"

#include <algorithm>
#include <cstring>
#include <string>

namespace herd::link {
namespace {

template <class Number>
Number get(const std::byte* at) {
  Number number;
  std::memcpy(&number, at, sizeof number);
  return number;
}

}  // namespace

void write_fragment_header(std::span<std::byte, kFragmentHeaderBytes> to, const FragmentHeader& header) {
  std::memcpy(to.data(), &header.bytes, 4);
  to[4] = static_cast<std::byte>(header.lane);
  to[5] = std::byte{0};
  std::memcpy(to.data() + 6, &kFragmentMagic, 2);
  std::memcpy(to.data() + 8, &header.sequence, 8);
}

Expected<FragmentHeader> parse_fragment_header(std::span<const std::byte, kFragmentHeaderBytes> bytes) {
  if (get<std::uint16_t>(bytes.data() + 6) != kFragmentMagic || bytes[5] != std::byte{0})
    return fail(bad_input("what it sent is no fragment of a herd connection"));
  const auto lane = std::to_integer<std::uint8_t>(bytes[4]);
  if (lane >= kLanes) return fail(bad_input("fragment of an unknown lane " + std::to_string(lane)));
  const FragmentHeader header{static_cast<Lane>(lane), get<std::uint32_t>(bytes.data()), get<std::uint64_t>(bytes.data() + 8)};
  if (header.bytes == 0 || header.bytes > kPayloadBytesMax || header.bytes % 8 != 0)
    return fail(bad_input("fragment of " + std::to_string(header.bytes) + " bytes, a multiple of 8 up to " +
                          std::to_string(kPayloadBytesMax) + " is right"));
  return header;
}

bool FragmentReader::hold(std::span<const std::byte>& bytes, std::size_t size) {
  if (held_.size() < size) {
    const auto taken = bytes.first(std::min(bytes.size(), size - held_.size()));
    held_.insert(held_.end(), taken.begin(), taken.end());
    bytes = bytes.subspan(taken.size());
  }
  return held_.size() >= size;
}

Expected<std::optional<FragmentReader::Fragment>> FragmentReader::next(std::span<const std::byte>& bytes) {
  if (handed_out_) held_.clear();
  handed_out_ = false;
  const bool direct = held_.empty() && bytes.size() >= kFragmentHeaderBytes;
  if (!direct && !hold(bytes, kFragmentHeaderBytes)) return std::nullopt;
  const std::byte* head = direct ? bytes.data() : held_.data();
  const auto header = parse_fragment_header(std::span<const std::byte, kFragmentHeaderBytes>(head, kFragmentHeaderBytes));
  if (!header) return fail(header.error());
  if (header->sequence != sequence_ + 1)
    return fail(bad_input("fragment " + std::to_string(header->sequence) + " after fragment " + std::to_string(sequence_) +
                          ": one is missing, repeated or out of order"));
  const std::size_t size = kFragmentHeaderBytes + header->bytes;
  std::span<const std::byte> whole;
  if (direct && bytes.size() >= size) {
    whole = bytes.first(size);
    bytes = bytes.subspan(size);
  } else {
    if (!hold(bytes, size)) return std::nullopt;
    whole = held_;
    handed_out_ = true;
  }
  sequence_ = header->sequence;
  return Fragment{*header, whole.subspan(kFragmentHeaderBytes)};
}

}  // namespace herd::link
