#pragma once
// How fast sequences decode while all of them run: from the last one's first token until one finishes. Before, steps
// compute prompts too; after, they hold fewer sequences. Pure.

#include <cstddef>
#include <optional>
#include <vector>

namespace herd::load {

struct DecodeWindow {
  double tokens_per_s = 0.0;  // of all sequences together
  std::size_t steps = 0;      // of the sequence that has fewest in the window
};

// arrivals: of each sequence, when its tokens came, ascending; seconds from any beginning. Each is judged by its own
// first and last token in the window, so that the order within a step does not count. None when a sequence has fewer
// than two tokens there: they never decode together.
[[nodiscard]] std::optional<DecodeWindow> decode_window(const std::vector<std::vector<double>>& arrivals);

}  // namespace herd::load
