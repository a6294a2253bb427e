#pragma once
// The parts of a regular expression that stand for a set of code points: escapes (\p{L}, \s, \x{2581}) and bracketed
// classes. Part of the parser.

#include <optional>
#include <string>
#include <string_view>

#include "kernels/status.h"
#include "runtime/unicode/code_point_set.h"

namespace herd::regex {

// Where the parser stands. The pattern is valid UTF-8.
class Cursor {
 public:
  explicit Cursor(std::string_view pattern) : pattern_(pattern) {}

  [[nodiscard]] bool at_end() const { return position_ == pattern_.size(); }
  [[nodiscard]] char peek(std::size_t ahead = 0) const {  // '\0' behind the end
    return position_ + ahead < pattern_.size() ? pattern_[position_ + ahead] : '\0';
  }
  [[nodiscard]] bool looking_at(std::string_view text) const { return pattern_.substr(position_).starts_with(text); }
  [[nodiscard]] bool take(std::string_view text);  // false: something else stands here
  [[nodiscard]] char32_t take_point();             // not at the end
  // What stands before `end`, taken with it; nothing when no `end` follows.
  [[nodiscard]] std::optional<std::string_view> take_until(std::string_view end);
  [[nodiscard]] Status error(const std::string& what) const;  // with the place

 private:
  std::string_view pattern_;
  std::size_t position_ = 0;
};

// One code point or a set of them.
struct ClassItem {
  unicode::CodePointSet set;
  std::optional<char32_t> point;  // a single one: it may begin a range
};

// The cursor stands behind the backslash. Nothing: this escape stands for no code points (\b, \A), and nothing was taken.
[[nodiscard]] Expected<std::optional<ClassItem>> parse_set_escape(Cursor& cursor, bool in_class);

// \w as it stands outside a class: Oniguruma then takes the powers and fractions of Latin-1 (² ½) for word characters too.
[[nodiscard]] unicode::CodePointSet words_outside_classes();

// The cursor stands behind the '['. `ignore_case`: as if both cases of every letter were listed.
[[nodiscard]] Expected<unicode::CodePointSet> parse_class(Cursor& cursor, bool ignore_case);

// With every code point that differs from one of the set by case only.
[[nodiscard]] unicode::CodePointSet with_case_variants(const unicode::CodePointSet& set);

}  // namespace herd::regex
