#pragma once
// PrefixMemory: which replica was sent a prompt with that beginning last. Until its cache tells (PrefixDirectory), who sends another
// prompt with the same beginning takes it to be there soon. Pure. Bounded: a beginning has its place among four, and of those four the
// one that was sent longest ago is forgotten first. What it remembers may be wrong, which costs a prompt computed again and no more.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "cluster/routing/prompt_prefix.h"
#include "cluster/routing/replica_generation.h"
#include "runtime/clock.h"

namespace herd::routing {

class PrefixMemory {
 public:
  static constexpr std::uint32_t kPieceTokens = 64;  // beginnings are whole pieces; shorter prompts have none
  static constexpr std::size_t kPiecesMax = 64;      // of one prompt; what lies behind them does not count
  static constexpr std::size_t kSetsMax = 4096;      // of four beginnings each

  explicit PrefixMemory(std::size_t sets = kSetsMax) : known_(sets * kWays) {}

  // `computed_by`: its cache has told by then whether it holds it.
  void remember(const PromptPrefix& prompt, ReplicaGeneration sent_to, Instant computed_by);
  struct Held {
    ReplicaGeneration by;
    std::uint64_t tokens = 0;
    Instant computed_by;
  };
  // Of the longest beginning that is remembered.
  [[nodiscard]] std::optional<Held> find(const PromptPrefix& prompt) const;
  [[nodiscard]] std::size_t size() const;

 private:
  static constexpr std::size_t kWays = 4;
  struct Known {
    kv::BlockKey beginning = 0;
    std::uint64_t sent = 0;  // the number of the prompt; 0: the place is free
    ReplicaGeneration by;
    Instant computed_by;
  };
  // The first of the places that it may have.
  [[nodiscard]] std::size_t set_of(kv::BlockKey beginning) const { return beginning % (known_.size() / kWays) * kWays; }

  std::vector<Known> known_;  // sets of kWays, one behind the other
  std::uint64_t sent_ = 0;    // prompts
};

}  // namespace herd::routing
