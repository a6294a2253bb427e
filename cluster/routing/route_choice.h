#pragma once
// RouteChoice: which of the replicas that could take a sequence shall, by what they have to do and what they have of its prompt. Pure;
// for one sequence: made, asked, forgotten.

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "cluster/routing/cluster_view.h"
#include "cluster/routing/prompt_holders.h"
#include "cluster/routing/replica_load.h"

namespace herd::routing {

// A replica, as a choice sees it. What it points to outlives the choice.
struct Candidate {
  const ReplicaView* view = nullptr;
  const LoadEstimate* load = nullptr;
  std::uint32_t running = 0;  // of this gateway

  [[nodiscard]] ReplicaGeneration generation() const { return view->route.generation; }
  [[nodiscard]] std::uint32_t sequences() const { return load->sequences(running); }
};

class RouteChoice {
 public:
  // `tokens`: that are computed before the sequence's next one. `givers`: those that others may take KV blocks from.
  RouteChoice(std::uint64_t tokens, PromptHolders::Holdings holdings, std::vector<Candidate> givers)
      : tokens_(tokens), holdings_(std::move(holdings)), givers_(std::move(givers)) {}

  // The index of the one that shall take it. `able`: those that have room, in turn; not empty.
  [[nodiscard]] std::size_t best_of(std::span<const Candidate> able) const;
  // Of the tokens, those that it does not have to compute.
  [[nodiscard]] std::uint64_t held_by(ReplicaGeneration replica) const { return std::min(holdings_.tokens(replica), tokens_); }

  struct Giver {
    const ReplicaView* view = nullptr;  // null: there is none
    std::uint64_t tokens = 0;           // of the prompt that it has
  };
  // Who can give most of the prompt to that one.
  [[nodiscard]] Giver giver_for(const ReplicaView& taker) const;

 private:
  // The two that can give most to replicas of these numerics.
  struct Best {
    Giver first, second;
    [[nodiscard]] const Giver& but(const ReplicaView& taker) const { return first.view == &taker ? second : first; }
  };
  [[nodiscard]] Best best_givers(const NumericsId& numerics) const;
  // The tokens that it would compute, and of those that it would be given, as many as take as long.
  [[nodiscard]] std::uint64_t tokens_to_compute(const Candidate& candidate, std::uint64_t held, const Giver& giver) const;

  const std::uint64_t tokens_;
  const PromptHolders::Holdings holdings_;
  const std::vector<Candidate> givers_;
};

}  // namespace herd::routing
