#pragma once
// OutputLines: what a child process writes on one of its streams, cut into lines; and the end of it, kept for the day the child
// dies. Pure.

#include <cstddef>
#include <deque>
#include <string>
#include <string_view>
#include <vector>

namespace herd::children {

inline constexpr std::size_t kLineBytesMax = 16 * 1024;       // what a line is longer by is left out
inline constexpr std::size_t kLastWordsBytesMax = 64 * 1024;  // line feeds included

class OutputLines {
 public:
  // The lines that `bytes` complete, without their line feeds.
  [[nodiscard]] std::vector<std::string> add(std::string_view bytes);
  // The stream has ended: its last line when that one has no line feed, else nothing.
  [[nodiscard]] std::vector<std::string> finish();
  // The last of all lines that were complete, each with a line feed: as many as fit.
  [[nodiscard]] std::string last_words() const;

 private:
  std::string end_line();

  std::string open_;  // the line that is not complete
  std::deque<std::string> last_;
  std::size_t last_bytes_ = 0;  // of `last_`, line feeds included
};

}  // namespace herd::children
