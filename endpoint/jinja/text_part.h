#pragma once
// A part of a text together with its marks: which of its bytes somebody else wrote (runtime/text/marked_text.h).
// Whatever cuts texts or puts them together does it with these, so that no mark is lost.

#include <algorithm>
#include <cstddef>
#include <span>
#include <string_view>

#include "runtime/text/marked_text.h"

namespace herd::jinja {

// Value; refers to the text that it is a part of.
class TextPart {
 public:
  TextPart(const text::MarkedText& whole) : bytes_(whole.bytes), marks_(whole.foreign) {}
  TextPart(text::MarkedText&&) = delete;
  // A text that nobody else wrote: of the template, or of herd.
  [[nodiscard]] static TextPart own(std::string_view bytes) { return TextPart(bytes, 0, {}); }

  [[nodiscard]] std::string_view bytes() const { return bytes_; }
  [[nodiscard]] std::size_t size() const { return bytes_.size(); }
  [[nodiscard]] bool empty() const { return bytes_.empty(); }
  [[nodiscard]] std::size_t mark_count() const { return touching().size(); }

  // Whole characters, as every part of a text here is.
  [[nodiscard]] TextPart part(std::size_t begin, std::size_t size = std::string_view::npos) const {
    return TextPart(bytes_.substr(begin, size), offset_ + begin, marks_);
  }
  // The part that `bytes` are, which lie inside this one's.
  [[nodiscard]] TextPart at(std::string_view bytes) const {
    return part(static_cast<std::size_t>(bytes.data() - bytes_.data()), bytes.size());
  }

  // visit(std::string_view bytes, bool foreign) for each of its runs of one origin, in order.
  template <class Visit>
  void each_run(const Visit& visit) const {
    std::size_t at = 0;
    for (const text::ByteRange& mark : touching()) {
      const std::size_t begin = std::max(mark.begin, offset_) - offset_;
      const std::size_t end = std::min(mark.end - offset_, bytes_.size());
      if (begin > at) visit(bytes_.substr(at, begin - at), false);
      visit(bytes_.substr(begin, end - begin), true);
      at = end;
    }
    if (at < bytes_.size()) visit(bytes_.substr(at), false);
  }

 private:
  TextPart(std::string_view bytes, std::size_t offset, std::span<const text::ByteRange> marks)
      : bytes_(bytes), offset_(offset), marks_(marks) {}
  [[nodiscard]] std::span<const text::ByteRange> touching() const;

  std::string_view bytes_;
  std::size_t offset_ = 0;  // of these bytes in the text whose marks these are
  std::span<const text::ByteRange> marks_;
};

void append(text::MarkedText& out, const TextPart& part);  // which is no part of `out`
void append(text::MarkedText& out, std::string_view bytes, bool foreign);

}  // namespace herd::jinja
