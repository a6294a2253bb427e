#pragma once
// PrefixMemory: which replica was sent a prompt with that beginning last, since its prefix cache probably holds it. Pure. Bounded:
// the beginning that was sent longest ago is forgotten first. What it remembers may be wrong (a cache forgets too), which costs a
// prompt computed again and no more.

#include <cstddef>
#include <cstdint>
#include <list>
#include <map>
#include <optional>
#include <span>
#include <vector>

#include "cluster/routing/replica_generation.h"
#include "runtime/ids.h"
#include "runtime/kv/block_hash.h"

namespace herd::routing {

class PrefixMemory {
 public:
  static constexpr std::uint32_t kPieceTokens = 64;  // beginnings are whole pieces; shorter prompts have none
  static constexpr std::size_t kPiecesMax = 64;      // of one prompt; what lies behind them does not count
  static constexpr std::size_t kBeginningsMax = 16'384;

  explicit PrefixMemory(std::size_t beginnings_max = kBeginningsMax) : beginnings_max_(beginnings_max) {}

  // The names of a prompt's beginnings, shortest first. `salt`: prompts of different ones share nothing.
  [[nodiscard]] static std::vector<kv::BlockHash> beginnings_of(std::span<const TokenId> tokens, std::uint64_t salt);

  void remember(std::span<const kv::BlockHash> beginnings, ReplicaGeneration sent_to);
  struct Held {
    ReplicaGeneration by;
    std::uint64_t tokens = 0;
  };
  // Of the longest beginning that is remembered.
  [[nodiscard]] std::optional<Held> find(std::span<const kv::BlockHash> beginnings) const;
  [[nodiscard]] std::size_t size() const { return known_.size(); }

 private:
  using Ages = std::list<kv::BlockHash>;  // sent longest ago first
  struct Known {
    ReplicaGeneration by;
    Ages::iterator age;
  };
  std::size_t beginnings_max_;
  Ages ages_;
  std::map<kv::BlockHash, Known> known_;
};

}  // namespace herd::routing
