#include "commands/load/decode_window.h"

#include <algorithm>
#include <limits>

namespace herd::load {

std::optional<DecodeWindow> decode_window(const std::vector<std::vector<double>>& arrivals) {
  double begin = 0.0, end = std::numeric_limits<double>::infinity();
  for (const std::vector<double>& tokens : arrivals) {
    if (tokens.empty()) return std::nullopt;
    begin = std::max(begin, tokens.front());
    end = std::min(end, tokens.back());
  }
  DecodeWindow window;
  window.steps = std::numeric_limits<std::size_t>::max();
  for (const std::vector<double>& tokens : arrivals) {
    const auto first = std::lower_bound(tokens.begin(), tokens.end(), begin);
    const auto last = std::upper_bound(first, tokens.end(), end);
    if (last - first < 2) return std::nullopt;
    const auto steps = static_cast<std::size_t>(last - first - 1);
    const double seconds = *(last - 1) - *first;
    if (seconds <= 0.0) return std::nullopt;
    window.tokens_per_s += static_cast<double>(steps) / seconds;
    window.steps = std::min(window.steps, steps);
  }
  if (arrivals.empty()) return std::nullopt;
  return window;
}

}  // namespace herd::load
