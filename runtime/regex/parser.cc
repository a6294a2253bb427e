#include "runtime/regex/parser.h"

#include <array>
#include <string>
#include <utility>

#include "runtime/regex/class_parser.h"
#include "runtime/text/utf8.h"

namespace herd::regex {
namespace {

using unicode::CodePointSet;

constexpr int kGroupDepthMax = 64;
constexpr int kQuantifiersMax = 8;  // of one atom
constexpr std::uint32_t kRepeatMax = 1000;

struct Options {
  bool ignore_case = false;
  bool dot_takes_newline = false;
  bool extended = false;  // white space and comments mean nothing
};

Node of_kind(Node::Kind kind) {
  Node node;
  node.kind = kind;
  return node;
}

Node with_children(Node::Kind kind, std::vector<Node> children) {
  Node node = of_kind(kind);
  node.children = std::move(children);
  return node;
}

Node of_set(CodePointSet set) {
  Node node = of_kind(Node::Kind::kSet);
  node.set = std::move(set);
  return node;
}

Node look(Node::Kind kind, bool negative, Node inside) {
  std::vector<Node> children;
  children.push_back(std::move(inside));
  Node node = with_children(kind, std::move(children));
  node.negative = negative;
  return node;
}

template <class... Nodes>
std::vector<Node> list(Nodes&&... nodes) {
  std::vector<Node> all;
  (all.push_back(std::forward<Nodes>(nodes)), ...);
  return all;
}

CodePointSet newline() { return CodePointSet({{'\n', '\n'}}); }

Node line_begin() {
  auto behind = list(look(Node::Kind::kLookBehind, false, of_set(newline())),
                     look(Node::Kind::kLookAhead, true, of_kind(Node::Kind::kTextEnd)));
  return with_children(Node::Kind::kAlternatives,
                       list(of_kind(Node::Kind::kTextBegin), with_children(Node::Kind::kSequence, std::move(behind))));
}

Node line_end() {
  return with_children(Node::Kind::kAlternatives, list(of_kind(Node::Kind::kTextEnd),
                                                       look(Node::Kind::kLookAhead, false, of_set(newline()))));
}

// The end of the text, or the newline that ends it.
Node last_line_end() {
  Node last = with_children(Node::Kind::kSequence, list(of_set(newline()), of_kind(Node::Kind::kTextEnd)));
  return with_children(Node::Kind::kAlternatives,
                       list(of_kind(Node::Kind::kTextEnd), look(Node::Kind::kLookAhead, false, std::move(last))));
}

// A word character on one side and none on the other; `negative`: on both sides or on none.
Node word_border(bool negative) {
  const CodePointSet words = words_outside_classes();
  const auto side = [&](bool before, bool after) {
    return with_children(Node::Kind::kSequence, list(look(Node::Kind::kLookBehind, !before, of_set(words)),
                                                     look(Node::Kind::kLookAhead, !after, of_set(words))));
  };
  return with_children(Node::Kind::kAlternatives, list(side(true, negative), side(false, !negative)));
}

Node general_newline() {
  CodePointSet one({{'\n', '\r'}, {0x85, 0x85}, {0x2028, 0x2029}});
  Node both = with_children(Node::Kind::kSequence, list(of_set(CodePointSet({{'\r', '\r'}})), of_set(newline())));
  return with_children(Node::Kind::kAtomic,
                       list(with_children(Node::Kind::kAlternatives, list(std::move(both), of_set(std::move(one))))));
}

// Whether Oniguruma, ignoring case, takes more than one letter for this one (ss for ß).
bool folds_to_several(char32_t point) {
  constexpr std::array<unicode::CodePointRange, 14> kFolding = {{{0xDF, 0xDF}, {0x130, 0x130}, {0x149, 0x149}, {0x1F0, 0x1F0},
      {0x390, 0x390}, {0x3B0, 0x3B0}, {0x587, 0x587}, {0x1E96, 0x1E9A}, {0x1E9E, 0x1E9E}, {0x1F50, 0x1F56}, {0x1F80, 0x1FAF},
      {0x1FB2, 0x1FFC}, {0xFB00, 0xFB06}, {0xFB13, 0xFB17}}};
  for (const auto& [first, last] : kFolding) {
    if (point >= first && point <= last) return true;
  }
  return false;
}

// Two letters that one letter folds to.
bool is_folded_pair(char32_t first, char32_t second) {
  const auto lower = [](char32_t c) { return c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c; };
  first = lower(first);
  second = lower(second);
  return (first == 's' && (second == 's' || second == 't')) || (first == 'f' && (second == 'f' || second == 'i' || second == 'l')) ||
         first == 0x2BC || second == 0x2BE || (second >= 0x300 && second < 0x370);
}

class Parser {
 public:
  explicit Parser(std::string_view pattern) : cursor_(pattern) {}

  Expected<Node> parse() {
    auto node = parse_alternatives({}, 0);
    if (node && !cursor_.at_end()) return fail(cursor_.error("unmatched )"));
    return node;
  }

 private:
  Expected<Node> parse_alternatives(Options options, int depth);
  Expected<Node> parse_sequence(Options options, int depth);
  Expected<Node> parse_atom(Options options, int depth);
  Expected<Node> parse_group(Options options, int depth);
  Expected<Node> parse_options(Options options, int depth);
  Expected<Node> parse_inside(Options options, int depth);  // up to and with the ')'
  Expected<Node> parse_escape(Options options);
  Expected<Node> parse_literal(Options options);
  Expected<Node> parse_quantifiers(Node atom, Options options);
  bool take_interval(std::uint32_t& minimum, std::uint32_t& maximum, bool& exact);
  std::optional<std::uint32_t> take_number();
  void skip_extended(Options options);
  bool take_comment();

  Cursor cursor_;
  std::optional<char32_t> last_literal_;  // that stands right before, ignoring case
};

bool Parser::take_comment() { return cursor_.take("(?#") && cursor_.take_until(")").has_value(); }

void Parser::skip_extended(Options options) {
  while (true) {
    if (cursor_.looking_at("(?#")) {
      if (!take_comment()) return;
    } else if (options.extended && !cursor_.at_end() && std::string_view(" \t\n\r\f\v").find(cursor_.peek()) != std::string_view::npos) {
      (void)cursor_.take_point();
    } else if (options.extended && cursor_.peek() == '#') {
      while (!cursor_.at_end() && cursor_.peek() != '\n') (void)cursor_.take_point();
    } else {
      return;
    }
  }
}

Expected<Node> Parser::parse_alternatives(Options options, int depth) {
  if (depth > kGroupDepthMax) return fail(cursor_.error("groups nested too deeply"));
  std::vector<Node> alternatives;
  do {
    auto sequence = parse_sequence(options, depth);
    if (!sequence) return sequence;
    alternatives.push_back(std::move(*sequence));
  } while (cursor_.take("|"));
  if (alternatives.size() == 1) return std::move(alternatives.front());
  return with_children(Node::Kind::kAlternatives, std::move(alternatives));
}

Expected<Node> Parser::parse_sequence(Options options, int depth) {
  std::vector<Node> items;
  last_literal_.reset();
  while (true) {
    skip_extended(options);
    if (cursor_.at_end() || cursor_.peek() == '|' || cursor_.peek() == ')') break;
    auto atom = parse_atom(options, depth);
    if (!atom) return atom;
    skip_extended(options);
    auto item = parse_quantifiers(std::move(*atom), options);
    if (!item) return item;
    items.push_back(std::move(*item));
  }
  if (items.size() == 1) return std::move(items.front());
  return with_children(Node::Kind::kSequence, std::move(items));
}

Expected<Node> Parser::parse_atom(Options options, int depth) {
  if (cursor_.peek() != '\\' && std::string_view("([.^$*+?").find(cursor_.peek()) == std::string_view::npos) {
    return parse_literal(options);
  }
  if (cursor_.peek() == '\\') return parse_escape(options);
  last_literal_.reset();
  if (cursor_.take("(")) return parse_group(options, depth);
  if (cursor_.take("[")) {
    auto set = parse_class(cursor_, options.ignore_case);
    if (!set) return fail(set.error());
    return of_set(std::move(*set));
  }
  if (cursor_.take(".")) {
    return of_set(options.dot_takes_newline ? CodePointSet({{0, unicode::kCodePointMax}}) : newline().complement());
  }
  if (cursor_.take("^")) return line_begin();
  if (cursor_.take("$")) return line_end();
  return fail(cursor_.error("nothing stands before the quantifier"));
}

Expected<Node> Parser::parse_literal(Options options) {
  const char32_t point = cursor_.take_point();
  CodePointSet set({{point, point}});
  if (options.ignore_case) {
    if (folds_to_several(point) || (last_literal_ && is_folded_pair(*last_literal_, point))) {
      return fail(cursor_.error("letters that fold to more than one, ignoring case, are not supported"));
    }
    set = with_case_variants(set);
    last_literal_ = point;
  }
  return of_set(std::move(set));
}

Expected<Node> Parser::parse_escape(Options options) {
  (void)cursor_.take("\\");
  auto escape = parse_set_escape(cursor_, false);
  if (!escape) return fail(escape.error());
  if (*escape) {
    last_literal_.reset();
    const bool fold = options.ignore_case && (*escape)->point;
    return of_set(fold ? with_case_variants((*escape)->set) : std::move((*escape)->set));
  }
  if (cursor_.take("b")) return word_border(false);
  if (cursor_.take("B")) return word_border(true);
  if (cursor_.take("A")) return of_kind(Node::Kind::kTextBegin);
  if (cursor_.take("z")) return of_kind(Node::Kind::kTextEnd);
  if (cursor_.take("Z")) return last_line_end();
  if (cursor_.take("R")) return general_newline();
  return fail(cursor_.error(std::string("\\") + cursor_.peek() + " is not supported"));
}

// Behind the '('.
Expected<Node> Parser::parse_group(Options options, int depth) {
  if (!cursor_.take("?")) {
    if (cursor_.peek() == '*') return fail(cursor_.error("callouts are not supported"));
    return parse_inside(options, depth);
  }
  struct Kind {
    std::string_view spelling;
    Node::Kind kind;
    bool negative;
  };
  constexpr std::array<Kind, 6> kKinds = {{{":", Node::Kind::kSequence, false}, {"=", Node::Kind::kLookAhead, false},
      {"!", Node::Kind::kLookAhead, true}, {"<=", Node::Kind::kLookBehind, false}, {"<!", Node::Kind::kLookBehind, true},
      {">", Node::Kind::kAtomic, false}}};
  for (const Kind& kind : kKinds) {
    if (!cursor_.take(kind.spelling)) continue;
    auto inside = parse_inside(options, depth);
    if (!inside || kind.kind == Node::Kind::kSequence) return inside;
    return look(kind.kind, kind.negative, std::move(*inside));
  }
  constexpr std::array<std::pair<std::string_view, std::string_view>, 2> kQuotes = {{{"<", ">"}, {"'", "'"}}};
  for (const auto& [open, close] : kQuotes) {  // a name; nothing can refer to it
    if (!cursor_.take(open)) continue;
    if (!cursor_.take_until(close)) return fail(cursor_.error("a group's name does not end"));
    return parse_inside(options, depth);
  }
  return parse_options(options, depth);
}

// (?imx-imx) holds up to the end of the group around it, (?imx-imx:…) inside its own.
Expected<Node> Parser::parse_options(Options options, int depth) {
  bool value = true;
  while (!cursor_.at_end()) {
    if (cursor_.take("-")) {
      value = false;
    } else if (cursor_.take("i")) {
      options.ignore_case = value;
    } else if (cursor_.take("m")) {
      options.dot_takes_newline = value;
    } else if (cursor_.take("x")) {
      options.extended = value;
    } else if (cursor_.take(":")) {
      return parse_inside(options, depth);
    } else if (cursor_.take(")")) {
      return parse_alternatives(options, depth + 1);
    } else {
      break;
    }
  }
  return fail(cursor_.error("this kind of group is not supported"));
}

Expected<Node> Parser::parse_inside(Options options, int depth) {
  auto inside = parse_alternatives(options, depth + 1);
  last_literal_.reset();
  if (inside && !cursor_.take(")")) return fail(cursor_.error("( without )"));
  return inside;
}

std::optional<std::uint32_t> Parser::take_number() {
  std::optional<std::uint32_t> number;
  while (cursor_.peek() >= '0' && cursor_.peek() <= '9') {
    number = std::min<std::uint32_t>(number.value_or(0) * 10 + static_cast<std::uint32_t>(cursor_.peek() - '0'), 100'000);
    (void)cursor_.take_point();
  }
  return number;
}

// {n,m} {n,} {,m} {n}; anything else is text.
bool Parser::take_interval(std::uint32_t& minimum, std::uint32_t& maximum, bool& exact) {
  const Cursor before = cursor_;
  if (cursor_.take("{")) {
    const auto low = take_number();
    exact = !cursor_.take(",");
    const auto high = exact ? low : take_number();
    if ((low || high) && cursor_.take("}")) {
      minimum = low.value_or(0);
      maximum = high.value_or(kNoMaximum);
      return true;
    }
  }
  cursor_ = before;
  return false;
}

Expected<Node> Parser::parse_quantifiers(Node atom, Options options) {
  for (int depth = 0;; ++depth) {
    skip_extended(options);
    Node repeat = of_kind(Node::Kind::kRepeat);
    bool interval = false;
    bool exact = false;
    if (cursor_.take("*")) {
      repeat.minimum = 0;
    } else if (cursor_.take("+")) {
      repeat.minimum = 1;
    } else if (cursor_.take("?")) {
      repeat.maximum = 1;
    } else if (take_interval(repeat.minimum, repeat.maximum, exact)) {
      interval = true;
    } else {
      return atom;
    }
    if (depth == kQuantifiersMax) return fail(cursor_.error("too many quantifiers in a row"));
    last_literal_.reset();
    const bool around = atom.kind == Node::Kind::kLookAhead || atom.kind == Node::Kind::kLookBehind;
    if (around) return fail(cursor_.error("a look-around cannot repeat"));
    if (repeat.minimum > repeat.maximum || repeat.minimum > kRepeatMax ||
        (repeat.maximum != kNoMaximum && repeat.maximum > kRepeatMax)) {
      return fail(cursor_.error("repeat counts must ascend and be at most " + std::to_string(kRepeatMax)));
    }
    // {n}? is an optional {n}, and {n}+ repeats it: Oniguruma has neither lazy exact nor possessive intervals.
    if (!exact && cursor_.take("?")) {
      repeat.greed = Node::Greed::kLazy;
    } else if (!interval && cursor_.take("+")) {
      repeat.greed = Node::Greed::kPossessive;
    }
    repeat.children.push_back(std::move(atom));
    atom = std::move(repeat);
  }
}

}  // namespace

Expected<Node> parse(std::string_view pattern) {
  if (pattern.size() > kPatternBytesMax) {
    return fail(bad_input("regular expression longer than " + std::to_string(kPatternBytesMax) + " bytes"));
  }
  if (!text::is_valid_utf8(pattern)) return fail(bad_input("regular expression: not UTF-8"));
  return Parser(pattern).parse();
}

}  // namespace herd::regex
