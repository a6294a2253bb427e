#include "cluster/routing/prefix_memory.h"

#include <vector>

namespace herd::routing {
namespace {

// How many keys of the prompt name each of its beginnings that count, shortest first.
std::vector<std::size_t> pieces_of(const PromptPrefix& prompt) {
  std::vector<std::size_t> pieces;
  for (std::size_t keys = 1; keys <= prompt.keys.size() && pieces.size() < PrefixMemory::kPiecesMax; ++keys)
    if (prompt.tokens_of(keys) % PrefixMemory::kPieceTokens == 0) pieces.push_back(keys);
  return pieces;
}

}  // namespace

void PrefixMemory::remember(const PromptPrefix& prompt, ReplicaGeneration sent_to, Instant computed_by) {
  for (const std::size_t keys : pieces_of(prompt)) {
    const kv::BlockKey beginning = prompt.keys[keys - 1];
    if (const auto known = known_.find(beginning); known != known_.end()) {
      known->second = {sent_to, computed_by, known->second.age};
      ages_.splice(ages_.end(), ages_, known->second.age);
      continue;
    }
    known_.emplace(beginning, Known{sent_to, computed_by, ages_.insert(ages_.end(), beginning)});
    if (known_.size() <= beginnings_max_) continue;
    known_.erase(ages_.front());
    ages_.pop_front();
  }
}

std::optional<PrefixMemory::Held> PrefixMemory::find(const PromptPrefix& prompt) const {
  // Who was sent a beginning was sent every shorter one, and these are forgotten first: the longest is found by halving, and where a
  // shorter one was forgotten already, so may this be.
  const std::vector<std::size_t> pieces = pieces_of(prompt);
  std::optional<Held> held;
  for (std::size_t from = 0, to = pieces.size(); from < to;) {
    const std::size_t middle = from + (to - from) / 2;
    const auto known = known_.find(prompt.keys[pieces[middle] - 1]);
    if (known == known_.end()) {
      to = middle;
      continue;
    }
    held = Held{known->second.by, prompt.tokens_of(pieces[middle]), known->second.computed_by};
    from = middle + 1;
  }
  return held;
}

}  // namespace herd::routing
