#include "endpoint/jinja/lexer.h"

#include <algorithm>
#include <array>
#include <optional>

#include "endpoint/jinja/string_literal.h"
#include "runtime/text/utf8.h"

namespace herd::jinja {
namespace {

using tokenizer::first_code_point;
using tokenizer::is_python_space;

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
  explicit Lexer(std::string_view source) : source_(source) {}

  Expected<std::vector<Token>> run() {
    while (at_ < source_.size() && error_.empty()) text();
    if (!error_.empty()) return fail(bad_input("line " + std::to_string(line_) + ": " + error_));
    add(TokenKind::kEnd, {});
    return std::move(tokens_);
  }

 private:
  [[nodiscard]] bool ahead(std::string_view what) const { return source_.substr(at_, what.size()) == what; }
  void add(TokenKind kind, std::string text) { tokens_.push_back({kind, line_, std::move(text)}); }

  void advance(std::size_t bytes) {
    const std::string_view passed = source_.substr(at_, bytes);
    line_ += static_cast<int>(std::count(passed.begin(), passed.end(), '\n'));
    at_ += passed.size();
  }

  void skip_spaces() {
    while (at_ < source_.size()) {
      const auto point = first_code_point(source_.substr(at_));
      if (!is_python_space(point.value)) return;
      advance(point.size);
    }
  }

  // What stands before a tag, and the tag: the text is cut as the tag's sign and the settings want it.
  void text() {
    std::size_t tag = at_;
    while (tag < source_.size() &&
           !(source_[tag] == '{' && tag + 1 < source_.size() &&
             (source_[tag + 1] == '%' || source_[tag + 1] == '{' || source_[tag + 1] == '#'))) {
      ++tag;
    }
    const std::string_view before = source_.substr(at_, tag - at_);
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
    advance(before.size() + 2 + (signed_tag ? 1 : 0));
    line_begins_ = false;
    if (kind == '#') {
      comment();
    } else if (kind == '%' && raw_begins()) {
      raw();
    } else {
      add(kind == '{' ? TokenKind::kOutputBegin : TokenKind::kBlockBegin, {});
      inside(kind == '{' ? TokenKind::kOutputEnd : TokenKind::kBlockEnd);
    }
  }

  [[nodiscard]] std::string_view kept_before(std::string_view text, char sign, bool is_output) const {
    if (sign == '-') return rstrip(text);
    if (sign == '+' || is_output) return text;
    const std::size_t line_start = text.rfind('\n') + 1;  // npos + 1 is 0
    if (line_start == 0 && !line_begins_) return text;
    return tokenizer::strip(text.substr(line_start)).empty() ? text.substr(0, line_start) : text;
  }

  static std::string_view rstrip(std::string_view text) {
    const std::string_view stripped = tokenizer::strip(text);
    if (stripped.empty()) return {};
    return text.substr(0, static_cast<std::size_t>(stripped.data() - text.data()) + stripped.size());
  }

  // "-%}", "+%}", "%}" and what each takes after itself. `close` is "%}" or "#}".
  bool closes(std::string_view close) {
    if ((ahead("-") || ahead("+")) && source_.substr(at_ + 1, 2) == close) {
      const bool strips = ahead("-");
      advance(3);
      if (strips) skip_spaces();
    } else if (ahead(close)) {
      advance(2);
      if (ahead("\n")) advance(1);
    } else {
      return false;
    }
    line_begins_ = at_ > 0 && source_[at_ - 1] == '\n';
    return true;
  }

  void comment() {
    while (at_ < source_.size()) {
      if (closes("#}")) return;
      advance(1);
    }
    error_ = "a comment is not closed";
  }

  // At "raw %}" behind an opening sign: eats it.
  bool raw_begins() {
    const std::size_t at = at_;
    const int line = line_;
    skip_spaces();
    if (ahead("raw") && (at_ + 3 == source_.size() || !is_word(source_[at_ + 3]))) {
      advance(3);
      skip_spaces();
      const bool strips = ahead("-%}");
      if (strips || ahead("%}")) {
        advance(strips ? 3 : 2);
        if (strips) skip_spaces();
        return true;
      }
    }
    at_ = at;
    line_ = line;
    return false;
  }

  void raw() {
    const std::size_t begin = at_;
    while (at_ < source_.size()) {
      const std::size_t end = at_;
      const int line = line_;
      if (ahead("{%")) {
        advance(2);
        const char sign = ahead("-") || ahead("+") ? source_[at_] : ' ';
        if (sign != ' ') advance(1);
        skip_spaces();
        if (ahead("endraw")) {
          advance(6);
          skip_spaces();
          if (closes("%}")) {
            const bool line_begins = line_begins_;
            line_begins_ = false;
            const std::string_view kept = kept_before(source_.substr(begin, end - begin), sign, false);
            if (!kept.empty()) add(TokenKind::kText, std::string(kept));
            line_begins_ = line_begins;
            return;
          }
        }
        at_ = end;
        line_ = line;
      }
      advance(1);
    }
    error_ = "{% raw %} is not closed";
  }

  void inside(TokenKind end) {
    int open = 0;  // brackets: "}}" closes a dict before it closes the tag
    while (error_.empty()) {
      skip_spaces();
      if (at_ >= source_.size()) {
        error_ = "a tag is not closed";
        return;
      }
      if (open == 0 && tag_ends(end)) return;
      const char c = source_[at_];
      if (is_digit(c)) {
        number();
      } else if (is_word(c)) {
        const std::size_t begin = at_;
        while (at_ < source_.size() && is_word(source_[at_])) ++at_;
        add(TokenKind::kName, std::string(source_.substr(begin, at_ - begin)));
      } else if (c == '\'' || c == '"') {
        string();
      } else {
        punctuation(open);
      }
    }
  }

  bool tag_ends(TokenKind end) {
    if (end == TokenKind::kBlockEnd) {
      const int line = line_;
      if (!closes("%}")) return false;
      tokens_.push_back({end, line, {}});
      return true;
    }
    const bool strips = ahead("-}}");
    if (!strips && !ahead("}}")) return false;
    add(end, {});
    advance(strips ? 3 : 2);
    if (strips) skip_spaces();
    line_begins_ = strips && source_[at_ - 1] == '\n';
    return true;
  }

  void number() {
    const std::size_t begin = at_;
    while (at_ < source_.size() && is_digit(source_[at_])) ++at_;
    TokenKind kind = TokenKind::kInteger;
    const bool after_dot = begin > 0 && source_[begin - 1] == '.';
    if (!after_dot && ahead(".") && at_ + 1 < source_.size() && is_digit(source_[at_ + 1])) {
      kind = TokenKind::kFloat;
      ++at_;
      while (at_ < source_.size() && is_digit(source_[at_])) ++at_;
    }
    const std::string_view digits = source_.substr(begin, at_ - begin);
    const bool zeros = digits.find_first_not_of('0') == std::string_view::npos;
    if ((at_ < source_.size() && is_word(source_[at_])) ||
        (kind == TokenKind::kInteger && digits.size() > 1 && digits.front() == '0' && !zeros)) {
      error_ = "a number that is not plainly decimal is not supported";
      return;
    }
    add(kind, std::string(digits));
  }

  void string() {
    const char quote = source_[at_];
    std::size_t end = at_ + 1;
    while (end < source_.size() && source_[end] != quote) end += source_[end] == '\\' ? 2 : 1;
    if (end >= source_.size()) {
      error_ = "a string is not closed";
      return;
    }
    auto meant = unescape(source_.substr(at_ + 1, end - at_ - 1));
    if (!meant) {
      error_ = meant.error().message();
      return;
    }
    add(TokenKind::kString, std::move(*meant));
    advance(end + 1 - at_);
  }

  void punctuation(int& open) {
    constexpr std::array<std::string_view, 6> kDouble = {"//", "**", "==", "!=", ">=", "<="};
    constexpr std::string_view kSingle = "+-/*%~[](){}><=.:|,;";
    for (const std::string_view two : kDouble) {
      if (ahead(two)) {
        add(TokenKind::kOperator, std::string(two));
        at_ += 2;
        return;
      }
    }
    const char c = source_[at_];
    if (kSingle.find(c) == std::string_view::npos) {
      error_ = "unexpected character in a tag";
      return;
    }
    if (c == '(' || c == '[' || c == '{') ++open;
    if (c == ')' || c == ']' || c == '}') --open;
    if (open < 0) {
      error_ = std::string("unexpected '") + c + "'";
      return;
    }
    add(TokenKind::kOperator, std::string(1, c));
    ++at_;
  }

  std::string_view source_;
  std::size_t at_ = 0;
  int line_ = 1;
  bool line_begins_ = true;  // what was taken last ended a line
  std::vector<Token> tokens_;
  std::string error_;
};

}  // namespace

Expected<std::vector<Token>> tokenize(std::string_view source, const Limits& limits) {
  if (source.size() > limits.template_bytes_max)
    return fail(bad_input("longer than " + std::to_string(limits.template_bytes_max) + " bytes"));
  if (!tokenizer::is_valid_utf8(source)) return fail(bad_input("not UTF-8"));
  const std::string normalised = with_line_feeds(source);
  return Lexer(normalised).run();
}

}  // namespace herd::jinja
