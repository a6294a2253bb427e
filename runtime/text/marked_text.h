#pragma once
// A text that remembers which of its bytes somebody else wrote: a chat prompt is partly the checkpoint's template and
// partly what users sent, and only the former may spell control tokens.

#include <cstddef>
#include <string>
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

}  // namespace herd::text
