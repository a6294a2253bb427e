#pragma once
// PrefixMemory: which replica was sent a prompt with that beginning last. Until its cache tells (PrefixDirectory), who sends another
// prompt with the same beginning takes it to be there soon. Pure. Bounded: the beginning that was sent longest ago is forgotten first.
// What it remembers may be wrong, which costs a prompt computed again and no more.

#include <cstddef>
#include <cstdint>
#include <list>
#include <optional>
#include <unordered_map>

#include "cluster/routing/prompt_prefix.h"
#include "cluster/routing/replica_generation.h"
#include "runtime/clock.h"

namespace herd::routing {

class PrefixMemory {
 public:
  static constexpr std::uint32_t kPieceTokens = 64;  // beginnings are whole pieces; shorter prompts have none
  static constexpr std::size_t kPiecesMax = 64;      // of one prompt; what lies behind them does not count
  static constexpr std::size_t kBeginningsMax = 16'384;

  explicit PrefixMemory(std::size_t beginnings_max = kBeginningsMax) : beginnings_max_(beginnings_max) {}

  // `computed_by`: its cache has told by then whether it holds it.
  void remember(const PromptPrefix& prompt, ReplicaGeneration sent_to, Instant computed_by);
  struct Held {
    ReplicaGeneration by;
    std::uint64_t tokens = 0;
    Instant computed_by;
  };
  // Of the longest beginning that is remembered.
  [[nodiscard]] std::optional<Held> find(const PromptPrefix& prompt) const;
  [[nodiscard]] std::size_t size() const { return known_.size(); }

 private:
  using Ages = std::list<kv::BlockKey>;  // sent longest ago first
  struct Known {
    ReplicaGeneration by;
    Instant computed_by;
    Ages::iterator age;
  };
  std::size_t beginnings_max_;
  Ages ages_;
  std::unordered_map<kv::BlockKey, Known> known_;  // look-up only
};

}  // namespace herd::routing
