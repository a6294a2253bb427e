#include "runtime/tokenizer/clustered_charsmap.h"

#include <algorithm>
#include <iterator>

#include "runtime/text/utf8.h"
#include "runtime/tokenizer/marked_writer.h"
#include "runtime/unicode/properties.h"

namespace herd::tokenizer {
namespace {

using unicode::CodePointSet;

constexpr std::size_t kClusterBytesMax = 5;  // longer ones are mapped code point by code point

// Grapheme_Cluster_Break (UAX #29) of Unicode 16, as far as clusters of five bytes have it: what joins others takes eight
// bytes (flags), six (Hangul), or makes a cluster longer than five.
struct Breaks {
  CodePointSet extending;   // Extend, ZWJ and SpacingMark: never begin a cluster
  CodePointSet prepended;   // Prepend: the next code point joins
  CodePointSet control;     // stand alone
};

const Breaks& breaks() {
  static const Breaks kBreaks = [] {
    Breaks made;
    made.prepended = CodePointSet({{0x600, 0x605}, {0x6DD, 0x6DD}, {0x70F, 0x70F}, {0x890, 0x891}, {0x8E2, 0x8E2}, {0xD4E, 0xD4E},
                                   {0x110BD, 0x110BD}, {0x110CD, 0x110CD}, {0x111C2, 0x111C3}, {0x113D1, 0x113D1}, {0x1193F, 0x1193F},
                                   {0x11941, 0x11941}, {0x11A3A, 0x11A3A}, {0x11A84, 0x11A89}, {0x11D46, 0x11D46}, {0x11F02, 0x11F02}});
    const CodePointSet other_marks({{0x102B, 0x102C}, {0x1038, 0x1038}, {0x1062, 0x1064}, {0x1067, 0x106D}, {0x1083, 0x1083},
                                    {0x1087, 0x108C}, {0x108F, 0x108F}, {0x109A, 0x109C}, {0x1A61, 0x1A61}, {0x1A63, 0x1A64},
                                    {0xAA7B, 0xAA7B}, {0xAA7D, 0xAA7D}, {0x11720, 0x11721}});
    made.extending = unicode::property("M")->intersect(other_marks.complement());
    made.extending.unite(CodePointSet({{0xE33, 0xE33}, {0xEB3, 0xEB3}, {0x200C, 0x200D}, {0xFF9E, 0xFF9F}, {0x1F3FB, 0x1F3FF},
                                       {0xE0020, 0xE007F}}));
    made.control = *unicode::property("Cc");
    for (const char* name : {"Cf", "Zl", "Zp"}) made.control.unite(*unicode::property(name));
    made.control = made.control.intersect(made.prepended.complement()).intersect(made.extending.complement());
    made.control.unite(CodePointSet({{0x2065, 0x2065}, {0xFFF0, 0xFFF8}, {0xE0000, 0xE0000}, {0xE0002, 0xE001F}, {0xE0080, 0xE00FF},
                                     {0xE01F0, 0xE0FFF}}));
    return made;
  }();
  return kBreaks;
}

// The end of the cluster that begins with `text`, which is not empty.
std::size_t cluster_size(std::string_view text) {
  if (text.starts_with("\r\n")) return 2;
  // Nothing joins an ASCII character that another one follows.
  if (static_cast<unsigned char>(text[0]) < 0x80 && (text.size() == 1 || static_cast<unsigned char>(text[1]) < 0x80)) return 1;
  const Breaks& known = breaks();
  text::CodePoint last = text::first_code_point(text);
  std::size_t size = last.size;
  if (known.control.contains(last.value)) return size;
  bool only_prepended = true;
  while (size < text.size()) {
    only_prepended = only_prepended && known.prepended.contains(last.value);
    const text::CodePoint next = text::first_code_point(text.substr(size));
    if (!known.extending.contains(next.value) && (!only_prepended || known.control.contains(next.value))) break;
    size += next.size;
    last = next;
  }
  return size;
}

}  // namespace

text::MarkedText apply_to_clusters(const Charsmap& map, const text::MarkedText& text) {
  MarkReader marks(text);
  MarkedWriter out(text);
  const std::string_view bytes = text.bytes;
  const auto write = [&](std::size_t begin, std::size_t end) {
    const Charsmap::Match match = map.shortest_prefix(bytes.substr(begin, end - begin));
    if (match.size == 0) return false;
    out.append(match.text, marks.any(begin, end));
    return true;
  };
  for (std::size_t begin = 0; begin < bytes.size();) {
    const std::size_t end = begin + cluster_size(bytes.substr(begin));
    if (end - begin <= kClusterBytesMax && write(begin, end)) {
      begin = end;
      continue;
    }
    while (begin < end) {
      const std::size_t next = begin + text::first_code_point(bytes.substr(begin)).size;
      if (!write(begin, next)) out.copy(begin, next);
      begin = next;
    }
  }
  return out.take();
}

}  // namespace herd::tokenizer
