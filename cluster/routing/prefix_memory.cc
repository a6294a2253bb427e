#include "cluster/routing/prefix_memory.h"

#include <algorithm>
#include <numeric>
#include <span>

namespace herd::routing {
namespace {

// Piece number n (from 1) of a prompt ends with its key number n * keys.
struct Pieces {
  explicit Pieces(const PromptPrefix& prompt) {
    if (prompt.empty()) return;
    const std::uint64_t tokens = prompt.tokens_of(1);
    keys = std::lcm(tokens, std::uint64_t{PrefixMemory::kPieceTokens}) / tokens;
    count = std::min(prompt.keys.size() / keys, PrefixMemory::kPiecesMax);
  }
  std::size_t keys = 1;
  std::size_t count = 0;
};

}  // namespace

void PrefixMemory::remember(const PromptPrefix& prompt, ReplicaGeneration sent_to, Instant computed_by) {
  ++sent_;
  const Pieces pieces(prompt);
  for (std::size_t piece = 1; piece <= pieces.count; ++piece) {
    const kv::BlockKey beginning = prompt.keys[piece * pieces.keys - 1];
    const std::span set = std::span(known_).subspan(set_of(beginning), kWays);
    Known* place = &set[0];
    for (Known& known : set) {
      if (known.sent > 0 && known.beginning == beginning) {
        place = &known;
        break;
      }
      if (known.sent < place->sent) place = &known;
    }
    *place = {beginning, sent_, sent_to, computed_by};
  }
}

std::optional<PrefixMemory::Held> PrefixMemory::find(const PromptPrefix& prompt) const {
  // Who was sent a beginning was sent every shorter one: the longest is found by halving, and where a shorter one was forgotten, so may
  // this be.
  const Pieces pieces(prompt);
  std::optional<Held> held;
  for (std::size_t from = 1, to = pieces.count + 1; from < to;) {
    const std::size_t middle = from + (to - from) / 2;
    const std::size_t keys = middle * pieces.keys;
    const kv::BlockKey beginning = prompt.keys[keys - 1];
    const std::span set = std::span(known_).subspan(set_of(beginning), kWays);
    const auto known = std::ranges::find_if(set, [&](const Known& one) { return one.sent > 0 && one.beginning == beginning; });
    if (known == set.end()) {
      to = middle;
      continue;
    }
    held = Held{known->by, prompt.tokens_of(keys), known->computed_by};
    from = middle + 1;
  }
  return held;
}

std::size_t PrefixMemory::size() const {
  return static_cast<std::size_t>(std::ranges::count_if(known_, [](const Known& known) { return known.sent > 0; }));
}

}  // namespace herd::routing
