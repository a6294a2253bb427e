#include "endpoint/jinja/lexer.h"

#include <algorithm>
#include <array>
#include <optional>

#include "endpoint/jinja/string_literal.h"
#include "runtime/text/hex.h"
#include "runtime/text/utf8.h"

namespace herd::jinja {
namespace {

using text::first_code_point;
using text::is_python_space;

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_word(char c) {
  return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

std::string with_line_feeds(std::string_view source) {
  std::string out;
  for (std::size_t i = 0; i < source.size(); ++i) {
    if (source[i] == '\r' && i + 1 < source.size() && source[i + 1] == '\n') continue;
    out += source[i] == '\r' ? '\n' : source[i];
  }
  if (!out.empty() && out.back() == '\n') out.pop_back();
  return out;
}

class Lexer {
 public:
  Lexer(std::string_view source, const Limits& limits) : source_(source), limits_(limits) {}

  Expected<std::vector<Token>> run() {
    while (!at_end() && error_.empty()) text();
    if (!error_.empty()) return fail(bad_input(at_place(error_at_.line, error_at_.column, error_)));
    add(TokenKind::kEnd, {});
    return std::move(tokens_);
  }

 private:
  struct Place {
    std::size_t at = 0;
    int line = 1;
    int column = 1;
  };

  [[nodiscard]] bool ahead(std::string_view what) const { return source_.substr(place_.at, what.size()) == what; }
  [[nodiscard]] bool at_end() const { return place_.at >= source_.size(); }
  [[nodiscard]] char here() const { return source_[place_.at]; }
  void add(TokenKind kind, std::string text) { add(kind, place_, std::move(text)); }
  void add(TokenKind kind, const Place& begin, std::string text) {
    if (tokens_.size() >= limits_.tokens_max) refuse("more than " + std::to_string(limits_.tokens_max) + " words and signs", begin);
    tokens_.push_back({kind, begin.line, begin.column, std::move(text)});
  }
  void refuse(std::string what, const Place& where) {
    error_ = std::move(what);
    error_at_ = where;
  }

  void advance(std::size_t bytes) {
    for (const char c : source_.substr(place_.at, bytes)) {
      ++place_.at;
      const bool continues = (static_cast<unsigned char>(c) & 0xC0U) == 0x80U;  // the character of the byte before
      place_.column = c == '\n' ? 1 : place_.column + (continues ? 0 : 1);
      place_.line += c == '\n' ? 1 : 0;
    }
  }

  void skip_spaces() {
    while (!at_end()) {
      const auto point = first_code_point(source_.substr(place_.at));
      if (!is_python_space(point.value)) return;
      advance(point.size);
    }
  }

  // What stands before a tag, and the tag: the text is cut as the tag's sign and the settings want it.
  void text() {
    std::size_t tag = place_.at;
    while (tag < source_.size() &&
           !(source_[tag] == '{' && tag + 1 < source_.size() &&
             (source_[tag + 1] == '%' || source_[tag + 1] == '{' || source_[tag + 1] == '#'))) {
      ++tag;
    }
    const std::string_view before = source_.substr(place_.at, tag - place_.at);
    if (tag == source_.size()) {
      if (!before.empty()) add(TokenKind::kText, std::string(before));
      advance(before.size());
      return;
    }
    const char kind = source_[tag + 1];
    const char sign = tag + 2 < source_.size() ? source_[tag + 2] : ' ';
    const bool signed_tag = sign == '-' || sign == '+';
    const std::string_view kept = kept_before(before, signed_tag ? sign : ' ', kind == '{');
    if (!kept.empty()) add(TokenKind::kText, std::string(kept));
    advance(before.size());
    const Place begin = place_;
    advance(signed_tag ? 3 : 2);
    line_begins_ = false;
    if (kind == '#') {
      comment(begin);
    } else if (kind == '%' && raw_begins()) {
      raw(begin);
    } else {
      add(kind == '{' ? TokenKind::kOutputBegin : TokenKind::kBlockBegin, begin, {});
      inside(kind == '{' ? TokenKind::kOutputEnd : TokenKind::kBlockEnd, begin);
    }
  }

  [[nodiscard]] std::string_view kept_before(std::string_view text, char sign, bool is_output) const {
    if (sign == '-') return rstrip(text);
    if (sign == '+' || is_output) return text;
    const std::size_t line_start = text.rfind('\n') + 1;  // npos + 1 is 0
    if (line_start == 0 && !line_begins_) return text;
    return text::strip(text.substr(line_start)).empty() ? text.substr(0, line_start) : text;
  }

  static std::string_view rstrip(std::string_view text) {
    const std::string_view stripped = text::strip(text);
    if (stripped.empty()) return {};
    return text.substr(0, static_cast<std::size_t>(stripped.data() - text.data()) + stripped.size());
  }

  // "-%}", "+%}", "%}" and what each takes after itself. `close` is "%}" or "#}".
  bool closes(std::string_view close) {
    if ((ahead("-") || ahead("+")) && source_.substr(place_.at + 1, 2) == close) {
      const bool strips = ahead("-");
      advance(3);
      if (strips) skip_spaces();
    } else if (ahead(close)) {
      advance(2);
      if (ahead("\n")) advance(1);
    } else {
      return false;
    }
    line_begins_ = place_.at > 0 && source_[place_.at - 1] == '\n';
    return true;
  }

  void comment(const Place& begin) {
    while (!at_end()) {
      if (closes("#}")) return;
      advance(1);
    }
    refuse("a comment is not closed", begin);
  }

  // At "raw %}" behind an opening sign: eats it.
  bool raw_begins() {
    const Place begin = place_;
    skip_spaces();
    if (ahead("raw") && (place_.at + 3 == source_.size() || !is_word(source_[place_.at + 3]))) {
      advance(3);
      skip_spaces();
      const bool strips = ahead("-%}");
      if (strips || ahead("%}")) {
        advance(strips ? 3 : 2);
        if (strips) skip_spaces();
        return true;
      }
    }
    place_ = begin;
    return false;
  }

  void raw(const Place& tag) {
    const std::size_t begin = place_.at;
    while (!at_end()) {
      const Place end = place_;
      if (ahead("{%")) {
        advance(2);
        const char sign = ahead("-") || ahead("+") ? here() : ' ';
        if (sign != ' ') advance(1);
        skip_spaces();
        if (ahead("endraw")) {
          advance(6);
          skip_spaces();
          if (closes("%}")) {
            const bool line_begins = line_begins_;
            line_begins_ = false;
            const std::string_view kept = kept_before(source_.substr(begin, end.at - begin), sign, false);
            if (!kept.empty()) add(TokenKind::kText, tag, std::string(kept));
            line_begins_ = line_begins;
            return;
          }
        }
        place_ = end;
      }
      advance(1);
    }
    refuse("{% raw %} is not closed", tag);
  }

  void inside(TokenKind end, const Place& tag) {
    int open = 0;  // brackets: "}}" closes a dict before it closes the tag
    while (error_.empty()) {
      skip_spaces();
      if (at_end()) return refuse("a tag is not closed", tag);
      if (open == 0 && tag_ends(end)) return;
      const char c = here();
      if (is_digit(c)) {
        number();
      } else if (is_word(c)) {
        const Place begin = place_;
        std::size_t size = 0;
        while (place_.at + size < source_.size() && is_word(source_[place_.at + size])) ++size;
        advance(size);
        add(TokenKind::kName, begin, std::string(source_.substr(begin.at, size)));
      } else if (c == '\'' || c == '"') {
        string();
      } else {
        punctuation(open);
      }
    }
  }

  bool tag_ends(TokenKind end) {
    const Place begin = place_;
    if (end == TokenKind::kBlockEnd) {
      if (!closes("%}")) return false;
      add(end, begin, {});
      return true;
    }
    const bool strips = ahead("-}}");
    if (!strips && !ahead("}}")) return false;
    advance(strips ? 3 : 2);
    if (strips) skip_spaces();
    add(end, begin, {});
    line_begins_ = strips && source_[place_.at - 1] == '\n';
    return true;
  }

  // Python's numbers: 1_000, 0x1f, 0o17, 0b101, 1.5, 1e-3. Behind a '.' there are only digits: x.0.1.
  void number() {
    const Place begin = place_;
    const bool after_dot = begin.at > 0 && source_[begin.at - 1] == '.';
    TokenKind kind = TokenKind::kInteger;
    const char prefix = place_.at + 1 < source_.size() ? static_cast<char>(source_[place_.at + 1] | 0x20) : ' ';
    if (here() == '0' && (prefix == 'x' || prefix == 'o' || prefix == 'b')) {
      advance(2);
      take_digits(prefix == 'x' ? 16 : prefix == 'o' ? 8 : 2);
    } else {
      take_digits(10);
      if (!after_dot && ahead(".") && place_.at + 1 < source_.size() && is_digit(source_[place_.at + 1])) {
        kind = TokenKind::kFloat;
        advance(1);
        take_digits(10);
      }
      if (!after_dot && (ahead("e") || ahead("E"))) {
        const std::size_t sign = ahead("e-") || ahead("e+") || ahead("E-") || ahead("E+") ? 2 : 1;
        if (place_.at + sign < source_.size() && is_digit(source_[place_.at + sign])) {
          kind = TokenKind::kFloat;
          advance(sign);
          take_digits(10);
        }
      }
    }
    std::string digits;
    for (const char c : source_.substr(begin.at, place_.at - begin.at)) {
      if (c != '_') digits += c;
    }
    const bool zeros = digits.find_first_not_of('0') == std::string::npos;
    const bool leading_zero = kind == TokenKind::kInteger && digits.size() > 1 && is_digit(digits[1]) && digits[0] == '0' && !zeros;
    const bool prefix_alone = digits.size() == 2 && !is_digit(digits[1]);
    if ((!at_end() && is_word(here())) || leading_zero || prefix_alone)
      return refuse("this spelling of a number is not supported", begin);
    add(kind, begin, std::move(digits));
  }

  // Digits, with single '_' between them.
  void take_digits(int base) {
    const auto is_one = [&](std::size_t ahead) {
      const int value = place_.at + ahead < source_.size() ? text::hex_value(source_[place_.at + ahead]) : -1;
      return value >= 0 && value < base;
    };
    while (is_one(0) || (ahead("_") && is_one(1))) advance(1);
  }

  void string() {
    const Place begin = place_;
    const char quote = here();
    std::size_t end = begin.at + 1;
    while (end < source_.size() && source_[end] != quote) end += source_[end] == '\\' ? 2 : 1;
    if (end >= source_.size()) return refuse("a string is not closed", begin);
    auto meant = unescape(source_.substr(begin.at + 1, end - begin.at - 1));
    if (!meant) return refuse(meant.error().message(), begin);
    add(TokenKind::kString, begin, std::move(*meant));
    advance(end + 1 - begin.at);
  }

  void punctuation(int& open) {
    constexpr std::array<std::string_view, 6> kDouble = {"//", "**", "==", "!=", ">=", "<="};
    constexpr std::string_view kSingle = "+-/*%~[](){}><=.:|,;";
    for (const std::string_view two : kDouble) {
      if (!ahead(two)) continue;
      add(TokenKind::kOperator, std::string(two));
      return advance(2);
    }
    const char c = here();
    if (kSingle.find(c) == std::string_view::npos) return refuse("unexpected character in a tag", place_);
    if (c == '(' || c == '[' || c == '{') ++open;
    if (c == ')' || c == ']' || c == '}') --open;
    if (open < 0) return refuse(std::string("unexpected '") + c + "'", place_);
    add(TokenKind::kOperator, std::string(1, c));
    advance(1);
  }

  std::string_view source_;
  const Limits& limits_;
  Place place_;
  bool line_begins_ = true;  // what was taken last ended a line
  std::vector<Token> tokens_;
  std::string error_;
  Place error_at_;
};

}  // namespace

std::string at_place(int line, int column, std::string_view what) {
  return ("line " + std::to_string(line) + ", column " + std::to_string(column) + ": ").append(what);
}

Expected<std::vector<Token>> tokenize(std::string_view source, const Limits& limits) {
  if (source.size() > limits.template_bytes_max)
    return fail(bad_input("longer than " + std::to_string(limits.template_bytes_max) + " bytes"));
  if (!text::is_valid_utf8(source)) return fail(bad_input("not UTF-8"));
  const std::string normalised = with_line_feeds(source);
  return Lexer(normalised, limits).run();
}

}  // namespace herd::jinja
