#pragma once
// Going through a text whose bytes are marked, and writing what it becomes with its marks.

#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "runtime/text/marked_text.h"
#include "runtime/text/utf8.h"

namespace herd::tokenizer {

// Reads the marks of a text from left to right.
class MarkReader {
 public:
  explicit MarkReader(const text::MarkedText& text) : ranges_(text.foreign) {}

  // Whether bytes [begin, end) hold a foreign one; calls come in the order of the text.
  bool any(std::size_t begin, std::size_t end) {
    while (next_ < ranges_.size() && ranges_[next_].end <= begin) ++next_;
    return next_ < ranges_.size() && ranges_[next_].begin < end;
  }

 private:
  const std::vector<text::ByteRange>& ranges_;
  std::size_t next_ = 0;
};

// Writes a text with its marks, parts of it copied from another one.
class MarkedWriter {
 public:
  explicit MarkedWriter(const text::MarkedText& from) : from_(from) {}

  void append(std::string_view bytes, bool foreign) {
    if (bytes.empty()) return;
    const std::size_t begin = text_.bytes.size();
    text_.bytes.append(bytes);
    if (!foreign) return;
    if (!text_.foreign.empty() && text_.foreign.back().end == begin) {
      text_.foreign.back().end = text_.bytes.size();
    } else {
      text_.foreign.push_back({begin, text_.bytes.size()});
    }
  }
  void append(char32_t point, bool foreign) {
    std::string bytes;
    text::append_utf8(point, bytes);
    append(bytes, foreign);
  }
  // Bytes [begin, end) with their own marks; calls come in the order of the text.
  void copy(std::size_t begin, std::size_t end) {
    const std::vector<text::ByteRange>& ranges = from_.foreign;
    while (begin < end) {
      while (next_ < ranges.size() && ranges[next_].end <= begin) ++next_;
      const bool foreign = next_ < ranges.size() && ranges[next_].begin <= begin;
      const std::size_t border = next_ == ranges.size() ? end : foreign ? ranges[next_].end : ranges[next_].begin;
      const std::size_t stop = std::min(end, border);
      append(std::string_view(from_.bytes).substr(begin, stop - begin), foreign);
      begin = stop;
    }
  }
  [[nodiscard]] text::MarkedText take() { return std::move(text_); }

 private:
  const text::MarkedText& from_;
  std::size_t next_ = 0;  // among its foreign ranges
  text::MarkedText text_;
};

}  // namespace herd::tokenizer
