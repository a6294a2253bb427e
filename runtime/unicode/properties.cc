#include "runtime/unicode/properties.h"

#include <array>
#include <cstdint>
#include <string>
#include <utility>

namespace herd::unicode {
namespace {

// The names are Unicode's own, in the table's order.
enum class Category : std::uint8_t {
  kCc, kCf, kCn, kCo, kCs, kLl, kLm, kLo, kLt, kLu, kMc, kMe, kMn, kNd, kNl,
  kNo, kPc, kPd, kPe, kPf, kPi, kPo, kPs, kSc, kSk, kSm, kSo, kZl, kZp, kZs,
};

// Spelled as fold_name() leaves it.
struct CategoryName {
  std::string_view brief;
  std::string_view full;
};
constexpr std::array<CategoryName, 30> kCategoryNames = {{
    {"cc", "control"}, {"cf", "format"}, {"cn", "unassigned"}, {"co", "privateuse"}, {"cs", "surrogate"},
    {"ll", "lowercaseletter"}, {"lm", "modifierletter"}, {"lo", "otherletter"}, {"lt", "titlecaseletter"}, {"lu", "uppercaseletter"},
    {"mc", "spacingmark"}, {"me", "enclosingmark"}, {"mn", "nonspacingmark"},
    {"nd", "decimalnumber"}, {"nl", "letternumber"}, {"no", "othernumber"},
    {"pc", "connectorpunctuation"}, {"pd", "dashpunctuation"}, {"pe", "closepunctuation"}, {"pf", "finalpunctuation"},
    {"pi", "initialpunctuation"}, {"po", "otherpunctuation"}, {"ps", "openpunctuation"},
    {"sc", "currencysymbol"}, {"sk", "modifiersymbol"}, {"sm", "mathsymbol"}, {"so", "othersymbol"},
    {"zl", "lineseparator"}, {"zp", "paragraphseparator"}, {"zs", "spaceseparator"},
}};
constexpr std::array<CategoryName, 7> kGroupNames = {{{"c", "other"}, {"l", "letter"}, {"m", "mark"}, {"n", "number"},
                                                      {"p", "punctuation"}, {"s", "symbol"}, {"z", "separator"}}};

struct CategoryRun {
  char32_t first;
  Category category;
};
constexpr CategoryRun kCategories[] = {
#include "runtime/unicode/categories.inc"
};

struct ScriptRun {
  std::string_view full;
  std::string_view brief;
  char32_t first;
  char32_t last;
};
constexpr ScriptRun kScripts[] = {
#include "runtime/unicode/scripts.inc"
};

constexpr CodePointRange kAlphabetic[] = {
#include "runtime/unicode/alphabetic.inc"
};

template <class Wanted>
CodePointSet with_category(Wanted wanted) {
  std::vector<CodePointRange> ranges;
  for (std::size_t i = 0; i < std::size(kCategories); ++i) {
    if (!wanted(kCategoryNames[static_cast<std::size_t>(kCategories[i].category)].brief)) continue;
    const char32_t last = i + 1 < std::size(kCategories) ? kCategories[i + 1].first - 1 : kCodePointMax;
    ranges.push_back({kCategories[i].first, last});
  }
  return CodePointSet(std::move(ranges));
}

CodePointSet of_category(std::string_view brief) {
  return with_category([brief](std::string_view name) { return name.starts_with(brief); });
}

CodePointSet of_script(std::string_view name) {
  std::vector<CodePointRange> ranges;
  for (const ScriptRun& run : kScripts) {
    if (run.full == name || run.brief == name) ranges.push_back({run.first, run.last});
  }
  return CodePointSet(std::move(ranges));
}

CodePointSet alphabetic() { return CodePointSet({std::begin(kAlphabetic), std::end(kAlphabetic)}); }

CodePointSet united(CodePointSet set, std::initializer_list<CodePointSet> others) {
  for (const CodePointSet& other : others) set.unite(other);
  return set;
}

std::string fold_name(std::string_view name) {
  std::string folded;
  for (const char c : name) {
    if (c == ' ' || c == '_' || c == '-') continue;
    folded += static_cast<char>(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
  }
  return folded;
}

// POSIX brackets as Oniguruma has them for Unicode, and properties of other kinds.
std::optional<CodePointSet> posix(std::string_view name) {
  if (name == "alpha" || name == "alphabetic") return alphabetic();
  if (name == "alnum") return united(alphabetic(), {decimal_digits()});
  if (name == "blank") return united(of_category("zs"), {CodePointSet({{'\t', '\t'}})});
  if (name == "cntrl") return of_category("cc");
  if (name == "digit") return decimal_digits();
  if (name == "space" || name == "whitespace") return white_space();
  if (name == "word") return words();
  if (name == "xdigit") return CodePointSet({{'0', '9'}, {'A', 'F'}, {'a', 'f'}});
  if (name == "ascii") return CodePointSet({{0, 0x7F}});
  if (name == "any") return CodePointSet({{0, kCodePointMax}});
  if (name == "punct") return punctuation();
  if (name == "assigned") return of_category("cn").complement();
  if (name == "lc") return united(of_category("lu"), {of_category("ll"), of_category("lt")});
  const auto invisible = [] {
    return united(white_space(), {of_category("cc"), of_category("cn"), of_category("cs")});
  };
  if (name == "graph") return invisible().complement();
  if (name == "print") return united(invisible().complement(), {of_category("zs")});
  return std::nullopt;
}

}  // namespace

std::optional<CodePointSet> property(std::string_view name) {
  const std::string folded = fold_name(name);
  for (const CategoryName& category : kCategoryNames) {
    if (folded == category.brief || folded == category.full) return of_category(category.brief);
  }
  for (const CategoryName& group : kGroupNames) {
    if (folded == group.brief || folded == group.full) return of_category(group.brief);
  }
  if (auto set = posix(folded)) return set;
  if (CodePointSet set = of_script(folded); !set.empty()) return set;
  return std::nullopt;
}

const CodePointSet& letters() {
  static const CodePointSet kSet = of_category("l");
  return kSet;
}

const CodePointSet& numbers() {
  static const CodePointSet kSet = of_category("n");
  return kSet;
}

const CodePointSet& decimal_digits() {
  static const CodePointSet kSet = of_category("nd");
  return kSet;
}

const CodePointSet& punctuation() {
  static const CodePointSet kSet = of_category("p");
  return kSet;
}

const CodePointSet& words() {
  static const CodePointSet kSet = united(alphabetic(), {of_category("m"), of_category("nd"), of_category("pc")});
  return kSet;
}

const CodePointSet& white_space() {
  static const CodePointSet kSet({{0x09, 0x0D}, {0x20, 0x20}, {0x85, 0x85}, {0xA0, 0xA0}, {0x1680, 0x1680}, {0x2000, 0x200A},
                                  {0x2028, 0x2029}, {0x202F, 0x202F}, {0x205F, 0x205F}, {0x3000, 0x3000}});
  return kSet;
}

}  // namespace herd::unicode
