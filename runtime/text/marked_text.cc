#include "runtime/text/marked_text.h"

#include <algorithm>

#include "runtime/text/utf8.h"

namespace herd::text {

std::vector<ByteRange> within(std::span<const ByteRange> ranges, std::size_t begin, std::size_t end) {
  std::vector<ByteRange> inside;
  auto range = std::partition_point(ranges.begin(), ranges.end(), [begin](const ByteRange& r) { return r.end <= begin; });
  for (; range != ranges.end() && range->begin < end; ++range) {
    inside.push_back({std::max(range->begin, begin) - begin, std::min(range->end, end) - begin});
  }
  return inside;
}

MarkedText repair(std::string_view bytes, std::span<const ByteRange> foreign) {
  MarkedText text;
  std::size_t next = 0;
  for (std::size_t i = 0; i < bytes.size();) {
    const CodePoint point = first_code_point(bytes.substr(i));
    const std::size_t begin = text.bytes.size();
    text.bytes.append(point.valid ? bytes.substr(i, point.size) : kReplacementUtf8);
    while (next < foreign.size() && foreign[next].end <= i) ++next;
    if (next < foreign.size() && foreign[next].begin < i + point.size) {
      if (!text.foreign.empty() && text.foreign.back().end == begin) {
        text.foreign.back().end = text.bytes.size();
      } else {
        text.foreign.push_back({begin, text.bytes.size()});
      }
    }
    i += point.size;
  }
  return text;
}

}  // namespace herd::text
