#include "runtime/regex/class_parser.h"

#include <utility>

#include "runtime/text/hex.h"
#include "runtime/text/utf8.h"
#include "runtime/unicode/letter_case.h"
#include "runtime/unicode/properties.h"

namespace herd::regex {
namespace {

using unicode::CodePointSet;

constexpr int kClassDepthMax = 16;

ClassItem single(char32_t point) { return {CodePointSet({{point, point}}), point}; }

ClassItem set_of(CodePointSet set, bool negative = false) { return {negative ? set.complement() : std::move(set), std::nullopt}; }

// \p{name}, \p{^name}, \P{name}; the cursor stands at the brace.
Expected<ClassItem> parse_property(Cursor& cursor, bool negative, bool in_class) {
  if (!cursor.take("{")) return fail(cursor.error("a property is written \\p{name}"));
  if (cursor.take("^")) negative = !negative;
  const auto name = cursor.take_until("}");
  if (!name) return fail(cursor.error("\\p{ without }"));
  auto set = unicode::property(*name);
  if (!set) return fail(cursor.error("property '" + std::string(*name) + "' is not known"));
  if (!in_class && *set == unicode::words()) set = words_outside_classes();
  return set_of(std::move(*set), negative);
}

// At most `digits_max` hexadecimal digits.
Expected<ClassItem> parse_hex(Cursor& cursor, int digits_min, int digits_max, char32_t last) {
  char32_t value = 0;
  int count = 0;
  for (; count < digits_max; ++count) {
    const int digit = text::hex_value(cursor.peek());
    if (digit < 0) break;
    (void)cursor.take_point();
    value = value * 16 + static_cast<char32_t>(digit);
  }
  if (count < digits_min || value > last || (value >= 0xD800 && value < 0xE000)) {
    return fail(cursor.error("not a code point in hexadecimal digits"));
  }
  return single(value);
}

Expected<ClassItem> parse_x(Cursor& cursor) {
  if (!cursor.take("{")) return parse_hex(cursor, 1, 2, 0x7F);
  auto item = parse_hex(cursor, 1, 8, unicode::kCodePointMax);
  if (item && !cursor.take("}")) return fail(cursor.error("\\x{ without }"));
  return item;
}

std::optional<char32_t> control_escape(char c) {
  switch (c) {
    case 't': return U'\t';
    case 'n': return U'\n';
    case 'r': return U'\r';
    case 'f': return U'\f';
    case 'v': return U'\v';
    case 'a': return U'\a';
    case 'e': return U'\x1B';
    default: return std::nullopt;
  }
}

std::optional<CodePointSet> set_escape(char c, bool in_class) {
  const CodePointSet hex({{'0', '9'}, {'A', 'F'}, {'a', 'f'}});
  switch (c) {
    case 'd': return unicode::decimal_digits();
    case 'D': return unicode::decimal_digits().complement();
    case 'w': return in_class ? unicode::words() : words_outside_classes();
    case 'W': return (in_class ? unicode::words() : words_outside_classes()).complement();
    case 's': return unicode::white_space();
    case 'S': return unicode::white_space().complement();
    case 'h': return hex;
    case 'H': return hex.complement();
    case 'N': return CodePointSet({{'\n', '\n'}}).complement();
    case 'O': return CodePointSet({{0, unicode::kCodePointMax}});
    default: return std::nullopt;
  }
}

// [:name:] and [:^name:]; nothing when no such bracket stands here.
Expected<std::optional<ClassItem>> parse_posix(Cursor& cursor) {
  if (!cursor.looking_at("[:")) return std::optional<ClassItem>();
  Cursor ahead = cursor;
  (void)ahead.take("[:");
  const bool negative = ahead.take("^");
  const auto name = ahead.take_until(":]");
  if (!name) return std::optional<ClassItem>();
  auto set = unicode::property(*name);
  if (!set) return fail(cursor.error("bracket '[:" + std::string(*name) + ":]' is not known"));
  if (*name == "punct") set->unite(*unicode::property("S"));
  cursor = ahead;
  return std::optional(set_of(std::move(*set), negative));
}

class ClassParser {
 public:
  ClassParser(Cursor& cursor, bool ignore_case) : cursor_(cursor), ignore_case_(ignore_case) {}

  // Behind the '['.
  Expected<CodePointSet> parse(int depth) {
    if (depth > kClassDepthMax) return fail(cursor_.error("classes nested too deeply"));
    const bool negative = cursor_.take("^");
    std::optional<CodePointSet> intersection;  // of the parts before the last '&&'
    CodePointSet part;
    for (bool first = true; first || !cursor_.looking_at("]"); first = false) {
      if (cursor_.at_end()) return fail(cursor_.error("[ without ]"));
      if (cursor_.take("&&")) {
        intersection = intersection ? intersection->intersect(part) : std::move(part);
        part = {};
        continue;
      }
      auto range = parse_range(depth);
      if (!range) return fail(range.error());
      part.unite(*range);
    }
    (void)cursor_.take("]");
    if (intersection) part = intersection->intersect(part);
    // Both cases of what is listed, not of what is left out.
    if (ignore_case_ && depth == 0) part = with_case_variants(part);
    return negative ? part.complement() : part;
  }

 private:
  // One item, or two with a '-' between them.
  Expected<CodePointSet> parse_range(int depth) {
    auto first = parse_item(depth);
    if (!first) return fail(first.error());
    if (!first->point || cursor_.peek() != '-' || cursor_.peek(1) == ']' || cursor_.peek(1) == '[' || cursor_.peek(1) == '\0') {
      return first->set;
    }
    (void)cursor_.take("-");
    auto last = parse_item(depth);
    if (!last) return fail(last.error());
    if (!last->point) return fail(cursor_.error("a range ends with a set"));
    if (*last->point < *first->point) return fail(cursor_.error("a range ends before it begins"));
    return CodePointSet({{*first->point, *last->point}});
  }

  Expected<ClassItem> parse_item(int depth) {
    auto posix = parse_posix(cursor_);
    if (!posix) return fail(posix.error());
    if (*posix) return std::move(**posix);
    if (cursor_.take("[")) {
      auto nested = parse(depth + 1);
      if (!nested) return fail(nested.error());
      return set_of(std::move(*nested));
    }
    if (!cursor_.take("\\")) return single(cursor_.take_point());
    if (cursor_.take("b")) return single(U'\b');
    auto escape = parse_set_escape(cursor_, true);
    if (!escape) return fail(escape.error());
    if (!*escape) return fail(cursor_.error("escape without meaning in a class"));
    return std::move(**escape);
  }

  Cursor& cursor_;
  bool ignore_case_;
};

}  // namespace

bool Cursor::take(std::string_view text) {
  if (!looking_at(text)) return false;
  position_ += text.size();
  return true;
}

char32_t Cursor::take_point() {
  const text::CodePoint next = text::first_code_point(pattern_.substr(position_));
  position_ += next.size;
  return next.value;
}

std::optional<std::string_view> Cursor::take_until(std::string_view end) {
  const std::size_t found = pattern_.find(end, position_);
  if (found == std::string_view::npos) return std::nullopt;
  const std::string_view text = pattern_.substr(position_, found - position_);
  position_ = found + end.size();
  return text;
}

Status Cursor::error(const std::string& what) const {
  return bad_input("regular expression, byte " + std::to_string(position_) + ": " + what);
}

CodePointSet words_outside_classes() {
  CodePointSet set = unicode::words();
  set.unite(CodePointSet({{0xB2, 0xB3}, {0xB9, 0xB9}, {0xBC, 0xBE}}));
  return set;
}

Expected<std::optional<ClassItem>> parse_set_escape(Cursor& cursor, bool in_class) {
  if (cursor.at_end()) return fail(cursor.error("\\ at the end"));
  const char c = cursor.peek();
  const auto known = [](Expected<ClassItem> item) -> Expected<std::optional<ClassItem>> {
    if (!item) return fail(item.error());
    return std::optional(std::move(*item));
  };
  if (const auto point = control_escape(c)) {
    (void)cursor.take_point();
    return std::optional(single(*point));
  }
  if (auto set = set_escape(c, in_class)) {
    (void)cursor.take_point();
    return std::optional(set_of(std::move(*set)));
  }
  if (cursor.take("p")) return known(parse_property(cursor, false, in_class));
  if (cursor.take("P")) return known(parse_property(cursor, true, in_class));
  if (cursor.take("x")) return known(parse_x(cursor));
  if (cursor.take("u")) return known(parse_hex(cursor, 4, 4, 0xFFFF));
  const bool word = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
  if (word) return std::optional<ClassItem>();
  return std::optional(single(cursor.take_point()));
}

Expected<CodePointSet> parse_class(Cursor& cursor, bool ignore_case) { return ClassParser(cursor, ignore_case).parse(0); }

CodePointSet with_case_variants(const CodePointSet& set) {
  std::vector<unicode::CodePointRange> ranges = set.ranges();
  for (const auto& [point, other] : unicode::case_pairs()) {
    if (set.contains(point)) ranges.push_back({other, other});
  }
  return CodePointSet(std::move(ranges));
}

}  // namespace herd::regex
