#include "cluster/config/problem.h"

#include <algorithm>
#include <cctype>
#include <limits>

#include "runtime/text/utf8.h"

namespace herd::config {
namespace {

constexpr std::size_t kQuotedBytesMax = 60;
constexpr std::size_t kKeyBytesMax = 200;
constexpr std::size_t kWhatBytesMax = 1500;
constexpr std::size_t kWordBytesMax = 64;  // longer ones are no slip of the keyboard

// Insertions, deletions, replacements and swaps of neighbours that lead from one to the other (optimal string alignment).
std::size_t distance(const std::string& from, const std::string& to) {
  std::vector<std::size_t> before(to.size() + 1), last(to.size() + 1), row(to.size() + 1);
  for (std::size_t j = 0; j <= to.size(); ++j) last[j] = j;
  for (std::size_t i = 1; i <= from.size(); ++i) {
    row[0] = i;
    for (std::size_t j = 1; j <= to.size(); ++j) {
      row[j] = std::min({last[j] + 1, row[j - 1] + 1, last[j - 1] + (from[i - 1] == to[j - 1] ? 0 : 1)});
      if (i > 1 && j > 1 && from[i - 1] == to[j - 2] && from[i - 2] == to[j - 1]) row[j] = std::min(row[j], before[j - 2] + 1);
    }
    before.swap(last);
    last.swap(row);
  }
  return last[to.size()];
}

// As a key would be spelt: lower case, with underscores.
std::string as_key(const std::string& word) {
  std::string key;
  for (const char letter : word)
    key += letter == '-' ? '_' : static_cast<char>(std::tolower(static_cast<unsigned char>(letter)));
  key.erase(0, std::min(key.find_first_not_of('_'), key.size()));
  return key;
}

// Fit for a terminal: valid UTF-8 without control characters, cut at `bytes_max`.
std::string shown(const std::string& text, std::size_t bytes_max) {
  std::size_t end = std::min(text.size(), bytes_max);
  while (end > 0 && end < text.size() && (static_cast<unsigned char>(text[end]) & 0xC0U) == 0x80U) --end;
  std::string clean = text::replace_invalid_utf8(text.substr(0, end));
  for (char& letter : clean)
    if (static_cast<unsigned char>(letter) < 0x20 || letter == 0x7F) letter = '?';
  return end < text.size() ? clean + "…" : clean;
}

}  // namespace

std::string problem_text(const std::string& file, const Problem& problem) {
  std::string text = file + ":";
  if (problem.line > 0) text += std::to_string(problem.line) + ":";
  if (!problem.key.empty()) text += problem.key + ":";
  return text + " " + problem.what;
}

void ProblemList::add(int line, const std::string& key, const std::string& what) {
  if (!full()) problems_.push_back({line, shown(key, kKeyBytesMax), shown(what, kWhatBytesMax)});
}

std::vector<Problem> ProblemList::sorted() const {
  std::vector<Problem> sorted = problems_;
  if (full()) sorted.resize(kMax);
  std::stable_sort(sorted.begin(), sorted.end(), [](const Problem& a, const Problem& b) { return a.line < b.line; });
  if (full()) sorted.push_back({0, "", "there are more problems than these " + std::to_string(kMax)});
  return sorted;
}

std::string quoted(const std::string& text) {
  std::string word = "\"";
  return word.append(shown(text, kQuotedBytesMax)).append("\"");
}

std::string nearest_word(const std::string& word, const std::vector<std::string>& words) {
  if (word.size() > kWordBytesMax) return {};
  const std::string key = as_key(word);
  std::string nearest;
  std::size_t least = std::numeric_limits<std::size_t>::max();
  for (const std::string& candidate : words) {
    const std::size_t far = std::min(distance(key, candidate), distance(word, candidate));
    if (far >= least) continue;
    least = far;
    nearest = candidate;
  }
  // A third of the letters may be wrong, of short words one.
  return least <= std::max<std::size_t>(1, std::min<std::size_t>(word.size(), nearest.size()) / 3) ? nearest : std::string();
}

}  // namespace herd::config
