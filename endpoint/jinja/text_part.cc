#include "endpoint/jinja/text_part.h"

namespace herd::jinja {

std::span<const text::ByteRange> TextPart::touching() const {
  if (bytes_.empty()) return {};
  const auto first = std::ranges::upper_bound(marks_, offset_, {}, &text::ByteRange::end);
  const auto last = std::ranges::lower_bound(marks_, offset_ + bytes_.size(), {}, &text::ByteRange::begin);
  return {first, last};
}

void append(text::MarkedText& out, const TextPart& part) {
  part.each_run([&out](std::string_view bytes, bool foreign) { append(out, bytes, foreign); });
}

void append(text::MarkedText& out, std::string_view bytes, bool foreign) {
  if (foreign && !bytes.empty()) {
    const std::size_t begin = out.bytes.size();
    if (out.foreign.empty() || out.foreign.back().end < begin) out.foreign.push_back({begin, begin});
    out.foreign.back().end = begin + bytes.size();
  }
  out.bytes += bytes;
}

}  // namespace herd::jinja
