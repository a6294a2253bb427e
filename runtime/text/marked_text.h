#pragma once
// A text that remembers which of its bytes somebody else wrote: a chat prompt is partly the checkpoint's template and
// partly what users sent, and only the former may spell control tokens.

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace herd::text {

// Bytes [begin, end) of a text.
struct ByteRange {
  std::size_t begin = 0;
  std::size_t end = 0;
  bool operator==(const ByteRange&) const = default;
};

// Value.
struct MarkedText {
  std::string bytes;              // UTF-8
  std::vector<ByteRange> foreign;  // ascending, none empty, none touching the next; whole characters
  bool operator==(const MarkedText&) const = default;
};

// The parts of ascending, disjoint `ranges` that lie in bytes [begin, end), counted from `begin`.
[[nodiscard]] std::vector<ByteRange> within(std::span<const ByteRange> ranges, std::size_t begin, std::size_t end);

// `bytes` with every maximal invalid part as one U+FFFD, which is foreign where any byte of the part is.
[[nodiscard]] MarkedText repair(std::string_view bytes, std::span<const ByteRange> foreign);

}  // namespace herd::text
