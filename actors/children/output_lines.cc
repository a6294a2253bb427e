#include "actors/children/output_lines.h"

#include <algorithm>
#include <utility>

namespace herd::children {

std::vector<std::string> OutputLines::add(std::string_view bytes) {
  std::vector<std::string> lines;
  while (!bytes.empty()) {
    const std::size_t end = bytes.find('\n');
    const std::string_view part = bytes.substr(0, end);
    open_.append(part.substr(0, kLineBytesMax - std::min(kLineBytesMax, open_.size())));
    if (end == std::string_view::npos) break;
    lines.push_back(end_line());
    bytes.remove_prefix(end + 1);
  }
  return lines;
}

std::vector<std::string> OutputLines::finish() {
  std::vector<std::string> lines;
  if (!open_.empty()) lines.push_back(end_line());
  return lines;
}

std::string OutputLines::end_line() {
  std::string line = std::exchange(open_, {});
  last_bytes_ += line.size() + 1;
  last_.push_back(line);
  while (last_bytes_ > kLastWordsBytesMax) {
    last_bytes_ -= last_.front().size() + 1;
    last_.pop_front();
  }
  return line;
}

std::string OutputLines::last_words() const {
  std::string text;
  text.reserve(last_bytes_);
  for (const std::string& line : last_) text.append(line).push_back('\n');
  return text;
}

}  // namespace herd::children
