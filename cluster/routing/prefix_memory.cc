#include "cluster/routing/prefix_memory.h"

#include <algorithm>

namespace herd::routing {

std::vector<kv::BlockHash> PrefixMemory::beginnings_of(std::span<const TokenId> tokens, std::uint64_t salt) {
  return kv::hash_blocks(tokens.first(std::min(tokens.size(), kPiecesMax * kPieceTokens)), kPieceTokens, salt);
}

void PrefixMemory::remember(std::span<const kv::BlockHash> beginnings, ReplicaGeneration sent_to) {
  for (const kv::BlockHash& beginning : beginnings) {
    if (const auto known = known_.find(beginning); known != known_.end()) {
      known->second.by = sent_to;
      ages_.splice(ages_.end(), ages_, known->second.age);
      continue;
    }
    known_.emplace(beginning, Known{sent_to, ages_.insert(ages_.end(), beginning)});
    if (known_.size() <= beginnings_max_) continue;
    known_.erase(ages_.front());
    ages_.pop_front();
  }
}

std::optional<PrefixMemory::Held> PrefixMemory::find(std::span<const kv::BlockHash> beginnings) const {
  for (std::size_t pieces = beginnings.size(); pieces > 0; --pieces) {
    const auto known = known_.find(beginnings[pieces - 1]);
    if (known != known_.end()) return Held{known->second.by, pieces * kPieceTokens};
  }
  return std::nullopt;
}

}  // namespace herd::routing
