#pragma once
// Problem: one thing that is wrong with a cluster file, for the person who wrote it.

#include <compare>
#include <string>
#include <vector>

namespace herd::config {

struct Problem {
  int line = 0;      // from 1; 0: of no line
  std::string key;   // "nodes[1].devices"; empty: of no key
  std::string what;  // what is wrong, and what would be right
  auto operator<=>(const Problem&) const = default;
};

// "FILE:LINE:KEY: what"; a part that is not known is left out.
[[nodiscard]] std::string problem_text(const std::string& file, const Problem& problem);

// All that is wrong with a file, but no more of them than a person reads.
class ProblemList {
 public:
  static constexpr std::size_t kMax = 50;

  // Both texts may hold bytes of the file: what is kept of them is fit for a terminal.
  void add(int line, const std::string& key, const std::string& what);
  [[nodiscard]] bool empty() const { return problems_.empty(); }
  [[nodiscard]] bool full() const { return problems_.size() > kMax; }
  // By line. When there are more than kMax the last one says so.
  [[nodiscard]] std::vector<Problem> sorted() const;

 private:
  std::vector<Problem> problems_;  // at most kMax + 1
};

// Text out of a file as it may stand in a message: in quotes, cut at 60 bytes, control characters and invalid UTF-8 replaced.
[[nodiscard]] std::string quoted(const std::string& text);

// The word nearest to `word`, if one is near enough to be a slip of the keyboard; else empty.
[[nodiscard]] std::string nearest_word(const std::string& word, const std::vector<std::string>& words);

}  // namespace herd::config
