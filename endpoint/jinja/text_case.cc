#include "endpoint/jinja/text_case.h"

#include <algorithm>
#include <string>
#include <vector>

#include "runtime/text/utf8.h"
#include "runtime/unicode/full_case.h"
#include "runtime/unicode/letter_case.h"

namespace herd::jinja {
namespace {

using text::is_python_space;

constexpr char32_t kSigma = U'\u03A3';
constexpr char32_t kFinalSigma = U'\u03C2';

struct Character {
  char32_t point = 0;
  bool foreign = false;
};

std::vector<Character> characters_of(const TextPart& text) {
  std::vector<Character> characters;
  text.each_run([&characters](std::string_view run, bool foreign) {
    while (!run.empty()) {
      const auto point = text::first_code_point(run);
      characters.push_back({point.value, foreign});
      run.remove_prefix(point.size);
    }
  });
  return characters;
}

// For the filter title.
bool parts_words(char32_t point) {
  return is_python_space(point) || point == '-' || point == '(' || point == '{' || point == '[' || point == '<';
}

// Whether the sigma at `at` of the word characters [begin, end) is the last letter of its word, as Unicode's Final_Sigma.
bool ends_word(const std::vector<Character>& characters, std::size_t begin, std::size_t end, std::size_t at) {
  std::size_t before = at;
  while (before > begin && unicode::is_case_ignorable(characters[before - 1].point)) --before;
  if (before == begin || !unicode::is_cased(characters[before - 1].point)) return false;
  std::size_t behind = at + 1;
  while (behind < end && unicode::is_case_ignorable(characters[behind].point)) ++behind;
  return behind == end || !unicode::is_cased(characters[behind].point);
}

class CaseChanger {
 public:
  explicit CaseChanger(const TextPart& text) : characters_(characters_of(text)) {}

  text::MarkedText run(Case how) {
    std::size_t begin = 0;  // of what a sigma may look at
    bool word_begins = true;
    for (std::size_t i = 0; i < characters_.size(); ++i) {
      const char32_t point = characters_[i].point;
      if (how == Case::kUpper) {
        put(i, unicode::append_upper_case);
      } else if (how == Case::kLower || !word_begins) {
        lower(i, begin, how == Case::kTitleFilter ? word_end(i) : characters_.size());
      } else {
        put(i, how == Case::kTitleFilter ? unicode::append_upper_case : unicode::append_title_case);
      }
      if (how == Case::kTitle) word_begins = !unicode::is_cased(point);
      if (how == Case::kCapitalize) word_begins = false;
      if (how == Case::kTitleFilter) {
        // A first letter is changed by itself: those behind it do not see it.
        if (word_begins || parts_words(point)) begin = i + 1;
        word_begins = parts_words(point);
      }
    }
    return std::move(out_);
  }

 private:
  [[nodiscard]] std::size_t word_end(std::size_t at) {
    if (word_end_ <= at) {
      word_end_ = at;
      while (word_end_ < characters_.size() && !parts_words(characters_[word_end_].point)) ++word_end_;
    }
    return word_end_;
  }

  void lower(std::size_t at, std::size_t begin, std::size_t end) {
    if (characters_[at].point == kSigma && ends_word(characters_, begin, end, at)) {
      append_character(kFinalSigma, characters_[at].foreign);
    } else {
      put(at, unicode::append_lower_case);
    }
  }

  void put(std::size_t at, void (*append_case)(char32_t point, std::u32string& out)) {
    mapped_.clear();
    append_case(characters_[at].point, mapped_);
    for (const char32_t point : mapped_) append_character(point, characters_[at].foreign);
  }

  void append_character(char32_t point, bool foreign) {
    bytes_.clear();
    text::append_utf8(point, bytes_);
    append(out_, bytes_, foreign);
  }

  std::vector<Character> characters_;
  std::size_t word_end_ = 0;
  text::MarkedText out_;
  std::u32string mapped_;
  std::string bytes_;
};

// Case by case as above, for texts whose letters are ASCII.
text::MarkedText change_ascii(const TextPart& text, Case how) {
  text::MarkedText out;
  append(out, text);
  bool begins = true;
  for (char& c : out.bytes) {
    const bool small = c >= 'a' && c <= 'z';
    const bool capital = c >= 'A' && c <= 'Z';
    const bool raises = how == Case::kUpper || (how != Case::kLower && begins);
    if (how == Case::kTitle) begins = !small && !capital;
    if (how == Case::kTitleFilter) begins = parts_words(static_cast<unsigned char>(c));
    if (how == Case::kCapitalize) begins = false;
    if (raises ? small : capital) c = static_cast<char>(c ^ 0x20);
  }
  return out;
}

}  // namespace

Value change_case(Evaluation& evaluation, const TextPart& text, Case how) {
  const bool ascii = std::ranges::all_of(text.bytes(), [](char c) { return static_cast<unsigned char>(c) < 0x80; });
  constexpr std::size_t kBytesEach = sizeof(Character) + sizeof(text::ByteRange);
  if (!(ascii ? evaluation.spend_bytes(text.size()) : evaluation.claim(kBytesEach * text.size()))) return {};
  return evaluation.text(ascii ? change_ascii(text, how) : CaseChanger(text).run(how));
}

}  // namespace herd::jinja
